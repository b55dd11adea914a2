"""The peer: one trial trained the straightforward way, as most published VAE code does it.

A data loader with a transform per image, ordinary modules, a forward pass per phase, gradients of everything,
`.item()` every step, Adam as it comes. Same networks, same objective, same batch size as a pack's member.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from vmi.data import Dataset


class Images(TorchDataset[torch.Tensor]):
    """One image at a time, scaled on access."""

    def __init__(self, data: Dataset) -> None:
        self.pixels, self.levels = data.train.pixels_ND.numpy(), data.spec.levels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.pixels[index]).float() / self.levels


def mlp(widths: list[int]) -> nn.Sequential:
    """Linear, batch norm, LeakyReLU for each hidden width, then one linear layer."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


class Plain:
    """The layout n16+c10* with one informed categorical block."""

    def __init__(self, pixels: int, hidden: tuple[int, ...], variance: float, rate: float) -> None:
        self.encoder, self.decoder = mlp([pixels, *hidden, 42]), mlp([26, *hidden[::-1], pixels])
        self.auxiliary, self.variance = mlp([pixels, *hidden, 10]), variance
        self.vae_adam = torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()], rate)
        self.q_adam = torch.optim.Adam(self.auxiliary.parameters(), rate)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mean, log_variance, logits = self.encoder(x).split([16, 16, 10], dim=-1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        c = nn.functional.gumbel_softmax(logits, tau=0.5)
        return mean, log_variance, logits, c, self.decoder(torch.cat([z, c], -1)).sigmoid()

    def step(self, x: torch.Tensor, mi_weight: float = 4.0) -> float:
        *_, c, x_hat = self.forward(x)
        self.q_adam.zero_grad()
        q_loss = -(c * self.auxiliary(x_hat).log_softmax(-1)).sum(-1).mean()
        q_loss.backward()
        self.q_adam.step()
        mean, log_variance, logits, c, x_hat = self.forward(x)
        self.vae_adam.zero_grad()
        log_q = (c * self.auxiliary(x_hat).log_softmax(-1)).sum(-1).mean()
        p = logits.softmax(-1)
        m = p.mean(0)
        kl_z = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        kl_c = (p * (p * 10).log()).sum(-1).mean()
        distortion = (x - x_hat).square().sum(-1).mean() / (2 * self.variance)
        loss = distortion + kl_z + kl_c - mi_weight * (log_q - (m * m.log()).sum())
        loss.backward()
        self.vae_adam.step()
        return loss.item() + q_loss.item()


def train_plain(data: Dataset, hidden: tuple[int, ...], variance: float, rate: float, batch: int, steps: int) -> None:
    """`steps` minibatches of one trial."""
    model, done = Plain(data.spec.pixels, hidden, variance, rate), 0
    while done < steps:
        for x in DataLoader(Images(data), batch, shuffle=True, drop_last=True):
            model.step(x)
            done += 1
            if done == steps:
                return
