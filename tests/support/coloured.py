"""Small data sets of any shape and colour: each of ten classes is a patch in a colour and a place of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from vmi.data.dataset import Dataset, Split, fingerprint, hold
from vmi.spec.datasets import DatasetSpec

CLASSES = 10


def held(shape: tuple[int, int, int], levels: int = 255, train: int = 512, held_out: int = 256) -> str:
    """The name of such a data set, known in this process; `levels` 0: numbers in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    channels, height, width = shape
    down, across = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    place = torch.rand(2, CLASSES, 1, 1, generator=generator)
    patch = torch.exp(-8 * ((down - place[0]).square() + (across - place[1]).square()))
    means = torch.rand(CLASSES, channels, 1, 1, generator=generator) * patch[:, None]

    def split(count: int) -> Split:
        labels = torch.arange(count) % CLASSES
        noise = torch.rand(count, *shape, generator=generator)
        return Split(_stored((0.8 * means[labels] + 0.2 * noise).flatten(1), levels), labels)

    name = f"coloured_{'x'.join(map(str, shape))}_{levels}"
    spec = DatasetSpec(name, shape[1:], CLASSES, train, held_out, levels, "", {}, "made in a test", channels=channels)
    dataset = Dataset(spec, split(train), split(held_out))
    hold(dataset._replace(spec=spec._replace(fingerprint=fingerprint(dataset))))
    return name


def _stored(images_ND: Tensor, levels: int) -> Tensor:
    return (images_ND * levels).round().byte() if levels else images_ND
