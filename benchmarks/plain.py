"""The peer: one trial trained the straightforward way, as most published VAE code does it.

A torch DataLoader over PIL images with torchvision transforms per image (ToTensor, then Normalize to [-1, 1], on which
the VMI authors' own code works), ordinary modules, two full forward passes a step, gradients of everything including
those of Q that nobody reads in the second phase, `.item()` every step, Adam as it comes. Same networks, same objective,
same batch size, same number of steps as a member of a pack.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise, repeat

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from vmi.data.dataset import Dataset
from vmi.spec.config import TrialConfig

TO_TENSOR = transforms.ToTensor()
TRANSFORM = transforms.Compose([TO_TENSOR, transforms.Normalize((0.5,), (0.5,))])


class Images(TorchDataset[torch.Tensor]):
    """The training images, each made a PIL image and transformed on access, as torchvision's data sets do it."""

    def __init__(self, data: Dataset, transform: transforms.Compose = TRANSFORM) -> None:
        pixels = (data.train.pixels_ND.float() * (255 / data.spec.levels)).round().byte()
        self.pixels, self.transform = pixels.reshape(-1, *data.spec.image_shape).numpy(), transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> torch.Tensor:
        x: torch.Tensor = self.transform(Image.fromarray(self.pixels[index]))
        return x


def mlp(widths: list[int]) -> nn.Sequential:
    """Linear, batch norm, LeakyReLU for each hidden width, then one linear layer."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def conv_encoder(hidden: tuple[int, ...], outputs: int, side: int) -> nn.Sequential:
    """4 x 4 convolutions of stride 2 with batch norm and LeakyReLU, a hidden layer, a linear one."""
    layers: list[nn.Module] = []
    for i, o in pairwise((1, *hidden[:-1])):
        layers += [nn.Conv2d(i, o, 4, 2, 1), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]
    plane = side // 2 ** (len(hidden) - 1)
    return nn.Sequential(*layers, mlp([hidden[-2] * plane**2, hidden[-1], outputs]))


def conv_decoder(code: int, hidden: tuple[int, ...], side: int) -> nn.Sequential:
    """The encoder mirrored."""
    channels, plane = hidden[:-1][::-1], side // 2 ** (len(hidden) - 1)
    layers: list[nn.Module] = [mlp([code, hidden[-1], channels[0] * plane**2])]
    layers.append(nn.Unflatten(1, (channels[0], plane, plane)))
    for i, o in pairwise((*channels, 1)):
        layers += [nn.BatchNorm2d(i), nn.LeakyReLU(0.2), nn.ConvTranspose2d(i, o, 4, 2, 1)]
    return nn.Sequential(*layers, nn.Flatten())


class Plain:
    """The layout n16+c10* with one informed categorical block."""

    def __init__(self, config: TrialConfig, pixels: int) -> None:
        hidden, self.config = config.architecture.widths, config
        if config.network == "conv":
            side = round(pixels**0.5)
            self.encoder, self.decoder = conv_encoder(hidden, 42, side), conv_decoder(26, hidden, side)
            self.auxiliary = nn.Sequential(nn.Unflatten(1, (1, side, side)), conv_encoder(hidden, 10, side))
        else:
            self.encoder, self.decoder = mlp([pixels, *hidden, 42]), mlp([26, *hidden[::-1], pixels])
            self.auxiliary = mlp([pixels, *hidden, 10])
        vae = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.vae_adam = torch.optim.Adam(vae, config.learning_rate)
        self.q_adam = torch.optim.Adam(self.auxiliary.parameters(), config.learning_rate)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mean, log_variance, logits = self.encoder(x).split([16, 16, 10], dim=-1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        c = nn.functional.gumbel_softmax(logits, tau=self.config.temperature)
        return mean, log_variance, logits, c, self.decoder(torch.cat([z, c], -1)).tanh()

    def step(self, x: torch.Tensor) -> float:
        """One minibatch of images [B, 1, H, W] on [-1, 1]: Q's phase, then the VAE's on a forward pass of its own."""
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
        # On [-1, 1] a squared error is four times that on [0, 1].
        distortion = (x.flatten(1) - x_hat).square().sum(-1).mean() / (8 * self.config.likelihood_variance)
        entropy = -(m * m.log()).sum()
        loss = distortion + kl_z + kl_c - self.config.mi_weight * (log_q + self.config.entropy_weight * entropy)
        loss.backward()
        self.vae_adam.step()
        return loss.item() + q_loss.item()


def batches(data: Dataset, batch: int, transform: transforms.Compose = TRANSFORM) -> Iterator[torch.Tensor]:
    """Minibatches without end, epoch by epoch."""
    loader = DataLoader(Images(data, transform), batch, shuffle=True, drop_last=True)
    return chain.from_iterable(repeat(loader))
