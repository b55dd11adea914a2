"""A trained VAE of plain torch layers. It needs torch and safetensors, and no other file than those beside it.

    from model import load

    model = load()  # weights and config.json beside this file; on the CPU, in evaluation mode
    posterior = model.encode(images)  # {"n16": Normal(mean, log_variance), "c10": probabilities}
    rebuilt = model.decode(model.code(images))
    new = model.sample(16, torch.Generator().manual_seed(0))
    classes = model.classify(images)

Images are numbers in [0, 1], [N, C, H, W] or flat [N, D]. Without a need of gradients, call it under `torch.no_grad()`.
Shapes: N images, C channels, H x W image plane, D = C H W pixels, L width of the code (its blocks side by side).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn

WEIGHTS, CONFIG = "model.safetensors", "config.json"
KERNEL, STRIDE, PADDING, SLOPE = 4, 2, 1, 0.2


class Normal(NamedTuple):
    """q(z|x) of a Normal block: mean and log variance, [N, Z] each."""

    mean: Tensor
    log_variance: Tensor

    @property
    def scale(self) -> Tensor:
        """The standard deviation, [N, Z]."""
        return (0.5 * self.log_variance).exp()


class Model(nn.Module):
    """Encoder q(z,c|x) and decoder p(x|z,c) of one trial. `config` is what config.json holds."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = dict(config)
        self.shape: tuple[int, ...] = tuple(config["data"]["shape"])
        self.blocks: list[tuple[str, str, int]] = [(b["name"], b["kind"], b["size"]) for b in config["blocks"]]
        width = sum(size for _, _, size in self.blocks)
        layers = (self.shape, config["network"]["hidden"], width, sum(self._outputs))
        self.encoder, self.decoder = (_conv if config["network"]["kind"] == "conv" else _mlp)(*layers)

    def encode(self, images: Tensor) -> dict[str, Normal | Tensor]:
        """The parameters of q(z,c|x) by block: a `Normal`, or the probabilities of the categories, [N, categories]."""
        return {
            name: raw.softmax(-1) if isinstance(raw, Tensor) else raw
            for (name, _, _), raw in zip(self.blocks, self.heads(images), strict=True)
        }

    def heads(self, images: Tensor) -> list[Normal | Tensor]:
        """What the encoder says of each block: a `Normal`, or the logits of the categories."""
        pieces = self.encoder(self._flat(images)).split(self._outputs, dim=-1)
        kinds = (kind for _, kind, _ in self.blocks)
        return [
            piece if kind == "categorical" else Normal(*piece.chunk(2, dim=-1))
            for kind, piece in zip(kinds, pieces, strict=True)
        ]

    def code(self, images: Tensor) -> Tensor:
        """The most probable code of each image, [N, L]: means, and the likeliest category as one-hot."""
        found = [raw.mean if isinstance(raw, Normal) else _one_hot(raw) for raw in self.heads(images)]
        return torch.cat(found, dim=-1)

    def decode(self, code: Tensor) -> Tensor:
        """The decoder's mean images [N, C, H, W] of codes [N, L], one-hot in categorical blocks."""
        images: Tensor = self.decoder(code).sigmoid()
        return images.view(code.shape[0], *self.shape)

    def prior(self, count: int, generator: Generator | None = None) -> Tensor:
        """Codes of the prior, [count, L]: standard Normal, and one-hot with equal chances. On the model's device."""
        device, drawn = next(self.parameters()).device, []
        for _, kind, size in self.blocks:
            draw = torch.rand if kind == "categorical" else torch.randn
            noise = draw(count, size, generator=generator, device=device)
            drawn.append(_one_hot(noise) if kind == "categorical" else noise)
        return torch.cat(drawn, dim=-1)

    def sample(self, count: int, generator: Generator | None = None) -> Tensor:
        """Mean images [count, C, H, W] of codes drawn from the prior."""
        return self.decode(self.prior(count, generator))

    def classify(self, images: Tensor) -> Tensor:
        """The class of each image, [N]: the majority class, on the training split, of its likeliest category.

        -1 where that category was given to no training image. config.json names the classes where they have names.
        Raises ValueError where the model has no such map: no categorical block, or images without labels.
        """
        mapped = self.config["category_classes"]
        if mapped is None:
            raise ValueError("no classes: the model has no categorical block, or its images had no labels")
        place = [name for name, _, _ in self.blocks].index(mapped["block"])
        raw = self.heads(images)[place]
        assert isinstance(raw, Tensor)
        return torch.tensor(mapped["classes"], device=raw.device)[raw.argmax(-1)]

    def save(self, folder: str | Path) -> None:
        """Write model.safetensors and config.json into a folder, for `load`."""
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, Path(folder) / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(self.config, indent=2, ensure_ascii=False)
        (Path(folder) / CONFIG).write_text(f"{text}\n", encoding="utf-8")

    @property
    def _outputs(self) -> list[int]:
        """Numbers that the encoder gives for each block."""
        return [size if kind == "categorical" else 2 * size for _, kind, size in self.blocks]

    def _flat(self, images: Tensor) -> Tensor:
        if images.shape[1:].numel() != math.prod(self.shape):
            wanted = list(self.shape)
            raise ValueError(f"images of {wanted}, or flat with {math.prod(wanted)} pixels, not {list(images.shape)}")
        return images.flatten(1)


def load(folder: str | Path | None = None, device: str | torch.device = "cpu") -> Model:
    """The model in a folder, by default the one in which this file lies, in evaluation mode."""
    place = Path(__file__).parent if folder is None else Path(folder)
    model = Model(json.loads((place / CONFIG).read_text(encoding="utf-8")))
    model.load_state_dict(load_file(place / WEIGHTS))
    return model.to(device).eval()


def _one_hot(scores: Tensor) -> Tensor:
    """1 where a row is largest."""
    return nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)


def _dense(widths: Sequence[int], outputs: int) -> list[nn.Module]:
    """Linear, batch norm, LeakyReLU for each hidden width, then one linear layer."""
    hidden = [(nn.Linear(i, o), nn.BatchNorm1d(o), nn.LeakyReLU(SLOPE)) for i, o in pairwise(widths)]
    return [*(layer for group in hidden for layer in group), nn.Linear(widths[-1], outputs)]


def _mlp(shape: Sequence[int], hidden: Sequence[int], width: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """Encoder [N, D] -> [N, outputs], and the decoder that mirrors it, [N, width] -> [N, D]."""
    pixels = math.prod(shape)
    encoder, decoder = _dense([pixels, *hidden], outputs), _dense([width, *reversed(hidden)], pixels)
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def _conv(shape: Sequence[int], hidden: Sequence[int], width: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """The same of convolutions that halve the sides, `hidden[:-1]` channels, and one hidden layer, `hidden[-1]`."""
    channels = [shape[0], *hidden[:-1]]
    planes = [(shape[1] >> depth, shape[2] >> depth) for depth in range(len(channels))]
    inner = (channels[-1], *planes[-1])
    encoder: list[nn.Module] = [nn.Unflatten(1, tuple(shape))]
    for inputs, out in pairwise(channels):
        encoder += [nn.Conv2d(inputs, out, KERNEL, STRIDE, PADDING), nn.BatchNorm2d(out), nn.LeakyReLU(SLOPE)]
    encoder += [nn.Flatten(), *_dense([math.prod(inner), hidden[-1]], outputs)]
    decoder: list[nn.Module] = [*_dense([width, hidden[-1]], math.prod(inner)), nn.Unflatten(1, inner)]
    for depth in reversed(range(len(channels) - 1)):
        inputs, out = channels[depth + 1], channels[depth]
        odd = (planes[depth][0] % 2, planes[depth][1] % 2)  # of an odd side that the encoder rounded down
        decoder += [nn.BatchNorm2d(inputs), nn.LeakyReLU(SLOPE)]
        decoder += [nn.ConvTranspose2d(inputs, out, KERNEL, STRIDE, PADDING, output_padding=odd)]
    return nn.Sequential(*encoder), nn.Sequential(*decoder, nn.Flatten())
