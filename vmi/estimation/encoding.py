"""A fixed model seen on a data set: its posteriors, codes and reconstructions, checked before anything is trained.

Shapes: K member of Q, N images, B batch, D pixels, L width of the code, Z Normal dimensions, C categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vmi.data.dataset import Dataset, Split
from vmi.estimation.model import FixedModel, Parameters, name_of
from vmi.nn.distributions import Categorical, DiagonalNormal, Distribution
from vmi.objective.codes import draw_noise, sample
from vmi.spec.errors import InputError, Problem
from vmi.spec.layout import Block, Layout, parse
from vmi.training.view_scores import Compared, compared_with_views

CHUNK = 1000
PROBE = 64
# A sigmoid may round; a decoder that means [-1, 1] is far outside.
PIXEL_TOLERANCE = 1e-3


class View(NamedTuple):
    """A model and its posteriors on both splits, [1, N, ...] per block; images are float32, as packs train on."""

    model: FixedModel
    layout: Layout
    data: Dataset
    train: tuple[Distribution, ...]
    held_out: tuple[Distribution, ...]

    @property
    def device(self) -> torch.device:
        return self.data.train.pixels_ND.device

    def images(self, split: Split, index: Tensor | slice) -> Tensor:
        """Images of a split [..., D] as the model reads them."""
        return self.data.images(split, index, torch.float32)

    @torch.no_grad()
    def draw(self, posterior: Sequence[Distribution], generators: Sequence[Generator]) -> tuple[Tensor, ...]:
        """One hard code per image and block, [K, B, ...] each, K = len(generators)."""
        first = posterior[0][0]
        noise = draw_noise(self.layout, generators, first.shape[1], first.dtype, first.device)
        return sample(self.layout.blocks, posterior, noise, None)

    @torch.no_grad()
    def across_views(self) -> dict[int, Compared]:
        """Each categorical block on the held-out images and on views of them, by its place in the layout."""

        def encode(images_1ND: Tensor) -> tuple[Distribution, ...]:
            return _posterior(self.layout.blocks, self.model.encode(images_1ND[0]))

        chunks = (images_ND[None] for images_ND in _chunks(self.data, self.data.held_out))
        return compared_with_views(encode, self.layout, self.held_out, chunks, self.data.spec.shape)

    @torch.no_grad()
    def decode(self, codes: Sequence[Tensor]) -> Tensor:
        """Mean images [K, B, D] of codes [K, B, ...] per block, a member and a chunk at a time."""
        code_KBL = torch.cat(list(codes), -1)
        return torch.stack(
            [torch.cat([self.model.decode(c) for c in torch.split(code_BL, CHUNK)]) for code_BL in code_KBL]
        )


@torch.no_grad()
def view(model: FixedModel, data: Dataset) -> View:
    """Encode both splits of the data. Raises InputError naming model, expected and found where shapes disagree."""
    layout = parse(model.layout)
    check(model, layout, data)
    train, held_out = (_encode(model, layout, data, split) for split in (data.train, data.held_out))
    return View(model, layout, data, train, held_out)


@torch.no_grad()
def check(model: FixedModel, layout: Layout, data: Dataset) -> None:
    """One call of encode and of decode on a few held-out images: shapes, finite values, pixels in [0, 1]."""
    where = f"model {name_of(model)} on {data.spec.name}"
    images_ND = data.images(data.held_out, slice(PROBE), torch.float32)
    shape, blocks = list(images_ND.shape), layout.blocks
    expected = f"for images {shape}: " + " and ".join(_expected(block, shape[0]) for block in blocks)
    try:
        parameters = list(model.encode(images_ND))
    except Exception as error:  # whatever a foreign model raises: it does not take these images
        raise InputError([Problem("encode", _said(error), expected)], where) from error
    if [_shapes(p) for p in parameters] != [_wanted(block, shape[0]) for block in blocks]:
        raise InputError([Problem("encode", [_shapes(p) for p in parameters], expected)], where)
    posterior = _posterior(blocks, parameters)
    if not all(torch.isfinite(p).all() for q in posterior for p in q):
        raise InputError([Problem("encode", "a value that is not finite", "finite parameters")], where)
    code_NL = torch.cat([_mean(q)[0] for q in posterior], -1)
    expected = f"for codes {list(code_NL.shape)} of layout {layout}: images {shape} in [0, 1]"
    try:
        decoded_ND = model.decode(code_NL)
    except Exception as error:
        raise InputError([Problem("decode", _said(error), expected)], where) from error
    if _shapes(decoded_ND) != shape:
        raise InputError([Problem("decode", _shapes(decoded_ND), expected)], where)
    low, high = float(decoded_ND.min()), float(decoded_ND.max())
    if not (low >= -PIXEL_TOLERANCE and high <= 1 + PIXEL_TOLERANCE):
        raise InputError([Problem("decode", f"pixels from {low:.3g} to {high:.3g}", expected)], where)


def gathered(posterior: Sequence[Distribution], index_KB: Tensor) -> tuple[Distribution, ...]:
    """The posteriors [1, N, ...] of the images of each member's minibatch: [K, B, ...]."""
    return tuple(type(q)(*(parameter[0][index_KB] for parameter in q)) for q in posterior)


def _encode(model: FixedModel, layout: Layout, data: Dataset, split: Split) -> tuple[Distribution, ...]:
    chunks = [_posterior(layout.blocks, model.encode(images_ND)) for images_ND in _chunks(data, split)]
    return tuple(
        type(qs[0])(*(torch.cat(parts, 1) for parts in zip(*qs, strict=True))) for qs in zip(*chunks, strict=True)
    )


def _chunks(data: Dataset, split: Split) -> Iterator[Tensor]:
    for start in range(0, len(split.labels_N), CHUNK):
        yield data.images(split, slice(start, start + CHUNK), torch.float32)


def _posterior(blocks: Sequence[Block], parameters: Sequence[Parameters]) -> tuple[Distribution, ...]:
    return tuple(
        Categorical.from_logits(p[None]) if isinstance(p, Tensor) else DiagonalNormal(p[0][None], p[1][None])
        for _, p in zip(blocks, parameters, strict=True)
    )


def _mean(distribution: Distribution) -> Tensor:
    return distribution.log_probs_KBC.exp() if isinstance(distribution, Categorical) else distribution.mean_KBZ


def _shapes(parameters: object) -> object:
    """The shape of logits, or the two of a pair; of anything else, its type."""
    if isinstance(parameters, Tensor):
        return list(parameters.shape)
    if isinstance(parameters, tuple | list) and all(isinstance(p, Tensor) for p in parameters):
        return tuple(list(p.shape) for p in parameters)
    return type(parameters).__name__


def _wanted(block: Block, images: int) -> object:
    shape = [images, block.size]
    return shape if block.is_categorical else (shape, shape)


def _expected(block: Block, images: int) -> str:
    shape = [images, block.size]
    kind = f"logits {shape}" if block.is_categorical else f"mean and log variance {shape} each"
    return f"{block.name} as {kind}"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
