"""Tasks with a known answer, on which every estimator of mutual information here is calibrated.

A task is a fixed model, made by hand, and a source of data whose joint distribution is known: what each quantity of
the MI card should say follows by enumeration (discrete channels) or in closed form (Gaussian pairs).
Shapes: N images, D pixels, M symbols of the image, C categories of the code, Y symbols of the reconstruction, Z dims.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vmi.data.dataset import Dataset, Split
from vmi.data.random_streams import seeded
from vmi.estimation.encoding import View, gathered
from vmi.estimation.model import FixedModel, Parameters
from vmi.information.bounds import entropy
from vmi.spec.datasets import DatasetSpec

LEVELS = 65_535
# A Gaussian pixel shows x in [-5, 5]; what lies beyond is one in two million.
HALF_RANGE = 5.0
# The log probability of what a noiseless channel never does.
NEVER = -60.0
BAR_SIDE = 8


class Task(NamedTuple):
    """`truths`: the exact value, in nats, of the MI (or rate) that each quantity speaks of, by its stored name.

    `draw(images, generator)` gives pixels [N, D] as integers up to LEVELS; `change` is applied to the model's view.
    """

    name: str
    model: FixedModel
    draw: Callable[[int, Generator], Tensor]
    truths: Mapping[str, float]
    change: Callable[[View], View] = lambda seen: seen


def dataset(task: Task, train: int, held_out: int, seed: int) -> Dataset:
    """A fresh sample of the task's images, all of one class."""
    generator = seeded(seed, f"calibration {task.name}")
    splits = [Split(task.draw(count, generator), torch.zeros(count, dtype=torch.int64)) for count in (train, held_out)]
    shape = (1, splits[0].pixels_ND.shape[1])
    spec = DatasetSpec(task.name, shape, 1, train, held_out, LEVELS, "", {}, "vmi.estimation.known_answers")
    return Dataset(spec, *splits)


@dataclass(frozen=True)
class Channel:
    """x shows symbol m; q(c|x) = channel[m]; the decoder shows symbol y with probability reading[c, y].

    The decoder is deterministic: the noise of `reading` comes from the second block, a standard Normal that
    ignores x. `read` finds the symbol in an image, `show` paints one.
    """

    channel_MC: Tensor
    reading_CY: Tensor
    read: Callable[[Tensor], Tensor]
    show: Callable[[Tensor], Tensor]

    @property
    def layout(self) -> str:
        return f"c{self.channel_MC.shape[1]}+n1"

    def encode(self, images_ND: Tensor) -> Sequence[Parameters]:
        log_channel_MC = self.channel_MC.log().clamp_min(NEVER).to(images_ND.dtype)
        zeros_N1 = torch.zeros(len(images_ND), 1, dtype=images_ND.dtype)
        return [log_channel_MC[self.read(images_ND)], (zeros_N1, zeros_N1)]

    def decode(self, code_NL: Tensor) -> Tensor:
        ends_NY = self.reading_CY.cumsum(-1)[code_NL[:, :-1].argmax(-1)].contiguous()
        uniform_N1 = torch.special.ndtr(code_NL[:, -1:].double())
        symbol_N = torch.searchsorted(ends_NY, uniform_N1)[:, 0].clamp_max(self.reading_CY.shape[1] - 1)
        return self.show(symbol_N).to(code_NL.dtype)


def channel_truths(source_M: Tensor, channel_MC: Tensor, reading_CY: Tensor) -> dict[str, float]:
    """By enumeration: I(x;c), the rate ln C - E H(q), H(m), I(c;y)."""
    marginal_C, categories = source_M @ channel_MC, channel_MC.shape[1]
    conditional = float(source_M @ entropy(channel_MC))
    own = float(entropy(marginal_C)) - conditional
    shown = float(entropy(marginal_C @ reading_CY) - marginal_C @ entropy(reading_CY))
    block = f"c{categories}"
    return {
        f"mi_encoder_{block}_nats": own,
        f"mi_real_bound_{block}_nats": own,
        f"rate_{block}_nats": math.log(categories) - conditional,
        f"category_entropy_{block}_nats": float(entropy(marginal_C)),
        f"mi_decoder_bound_{block}_nats": shown,
        f"mi_paper_{block}_nats": shown,
    }


def channel_task(name: str, source_M: Tensor, channel_MC: Tensor, reading_CY: Tensor | None = None) -> Task:
    """A discrete channel on images that show one of M symbols as one bright pixel; `reading` defaults to a copy."""
    (symbols, categories), reading = channel_MC.shape, reading_CY
    reading = torch.eye(categories, dtype=torch.float64) if reading is None else reading
    pixels = max(symbols, reading.shape[1])

    def show(symbol_N: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(symbol_N, pixels).double()

    def draw(images: int, generator: Generator) -> Tensor:
        symbol_N = torch.multinomial(source_M, images, replacement=True, generator=generator)
        return (show(symbol_N) * LEVELS).int()

    model = Channel(channel_MC, reading, lambda images_ND: images_ND[:, :symbols].argmax(-1), show)
    return Task(name, model, draw, channel_truths(source_M, channel_MC, reading))


def bars_task(name: str, channel_MC: Tensor) -> Task:
    """8x8 images with one bright column, which is the known factor, under pixel noise; the code reads the column."""
    source_M = torch.full((BAR_SIDE,), 1 / BAR_SIDE, dtype=torch.float64)
    reading = torch.eye(BAR_SIDE, dtype=torch.float64)

    def show(column_N: Tensor) -> Tensor:
        bar_NX = torch.nn.functional.one_hot(column_N, BAR_SIDE).double()
        return bar_NX[:, None, :].expand(-1, BAR_SIDE, -1).flatten(1)

    def draw(images: int, generator: Generator) -> Tensor:
        column_N = torch.multinomial(source_M, images, replacement=True, generator=generator)
        brightness_N1 = 0.5 + 0.5 * torch.rand(images, 1, generator=generator, dtype=torch.float64)
        noise_ND = 0.4 * torch.rand(images, BAR_SIDE**2, generator=generator, dtype=torch.float64)
        return (torch.maximum(show(column_N) * brightness_N1, noise_ND) * LEVELS).int()

    def read(images_ND: Tensor) -> Tensor:
        return images_ND.reshape(-1, BAR_SIDE, BAR_SIDE).sum(1).argmax(-1)

    model = Channel(channel_MC, reading, read, show)
    return Task(name, model, draw, channel_truths(source_M, channel_MC, reading))


@dataclass(frozen=True)
class GaussianPairs:
    """z = scale (correlation x + noise) per dimension, x standard Normal; x_hat = reading z / scale + noise.

    The noise of x_hat comes from the second block, a standard Normal that ignores x.
    """

    dims: int
    correlation: float
    reading: float
    scale: float = 1.0

    @property
    def layout(self) -> str:
        return f"n{self.dims}+n{self.dims}"

    def encode(self, images_ND: Tensor) -> Sequence[Parameters]:
        x_NZ = (images_ND - 0.5) * 2 * HALF_RANGE
        log_variance_NZ = torch.full_like(x_NZ, math.log1p(-(self.correlation**2)) + 2 * math.log(self.scale))
        return [
            (self.scale * self.correlation * x_NZ, log_variance_NZ),
            (torch.zeros_like(x_NZ), torch.zeros_like(x_NZ)),
        ]

    def decode(self, code_NL: Tensor) -> Tensor:
        z_NZ, noise_NZ = code_NL[:, : self.dims] / self.scale, code_NL[:, self.dims :]
        shown_NZ: Tensor = self.reading * z_NZ + math.sqrt(1 - self.reading**2) * noise_NZ
        return (0.5 + shown_NZ / (2 * HALF_RANGE)).clamp(0, 1)


def gaussian_mi(dims: int, correlation: float) -> float:
    """I = -d/2 ln(1 - correlation^2) of d independent pairs, in nats."""
    return -0.5 * dims * math.log1p(-(correlation**2))


def gaussian_task(name: str, dims: int, correlation: float, reading: float, scale: float = 1.0) -> Task:
    """Gaussian pairs. At scale 1 the marginal is the prior, and the rate is the MI; the MI never sees the scale."""
    own, shown, block = gaussian_mi(dims, correlation), gaussian_mi(dims, reading), f"n{dims}"
    truths = {
        f"mi_encoder_lower_{block}_nats": own,
        f"mi_encoder_upper_{block}_nats": own,
        f"rate_{block}_nats": own + 0.5 * dims * (scale**2 - 1 - 2 * math.log(scale)),
        f"mi_decoder_bound_{block}_nats": shown,
        f"mi_paper_{block}_nats": shown,
    }

    def draw(images: int, generator: Generator) -> Tensor:
        x_NZ = torch.randn(images, dims, generator=generator, dtype=torch.float64)
        return ((0.5 + x_NZ / (2 * HALF_RANGE)).clamp(0, 1) * LEVELS).round().int()

    return Task(name, GaussianPairs(dims, correlation, reading, scale), draw, truths)


def shuffled(task: Task, name: str) -> Task:
    """The same posteriors, each given to another image: nothing that reads the images may find any MI."""

    def change(seen: View) -> View:
        orders = (torch.randperm(q[0][0].shape[1], generator=seeded(0, name)) for q in (seen.train, seen.held_out))
        train, held_out = (
            gathered(q, order_N[None]) for q, order_N in zip((seen.train, seen.held_out), orders, strict=True)
        )
        return seen._replace(train=train, held_out=held_out)

    truths = {key: 0.0 for key in task.truths if key.startswith("mi_real_bound")}
    return Task(name, task.model, task.draw, truths, change)


def random_channel(seed: int, symbols: int, categories: int, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """A source [M] and a channel [M, C] in float64, softmax of Normal numbers."""
    generator = seeded(seed, "random channel")
    source_M = torch.randn(symbols, generator=generator, dtype=torch.float64).softmax(-1)
    channel_MC = (scale * torch.randn(symbols, categories, generator=generator, dtype=torch.float64)).softmax(-1)
    return source_M, channel_MC
