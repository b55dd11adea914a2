"""The arrays a member leaves beside its metrics: assignment counts, probability histograms, latent manipulations.

All pictures start from the same held-out images, whatever the trial: the first one of each class, then the first ones.
Where no image has a label, the images nearest to each category stand for the counts.

Shapes: N images, D pixels, L width of the code; C categories, of pictures channels. Arrays are NumPy, as
`vmi.spec.arrays` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vmi.data.dataset import Dataset
from vmi.nn.distributions import Categorical, DiagonalNormal, Distribution
from vmi.spec.arrays import (
    GALLERY_IMAGES,
    HISTOGRAM_BINS,
    MANIPULATED_INPUTS,
    TRAVERSAL_RANGE,
    TRAVERSAL_ROWS,
    TRAVERSAL_STEPS,
    array_shapes,
    layout_shapes,
)
from vmi.spec.datasets import spec_of
from vmi.training.accuracy import contingency
from vmi.training.pack import Pack

Array = NDArray[np.generic]
HISTOGRAM_IMAGES = 1000


def member_arrays(pack: Pack, data: Dataset, posterior: Sequence[Distribution], k: int) -> dict[str, Array]:
    """Every array of member k, from the posterior of the held-out images."""
    arrays: dict[str, Array] = {}
    inputs = _inputs(data)
    codes_RL = torch.cat([_mode(q, k)[inputs] for q in posterior], dim=-1)
    start = 0
    for block, q in zip(pack.layout.blocks, posterior, strict=True):
        shapes = array_shapes(block, data.spec.name)
        shape = shapes[f"traversal_{block.name}"]
        place = slice(start, start + block.size)
        if isinstance(q, Categorical):
            probs_NC = q.log_probs_KBC[k].exp()
            if data.spec.is_labelled:
                arrays[f"assignments_{block.name}"] = _assignments(probs_NC, data)
            arrays[f"probabilities_{block.name}"] = _histograms(probs_NC)
            moved = _each_category(codes_RL, place)
        else:
            moved = _each_dimension(codes_RL[0], place, shape[0], shape[1])
        arrays[f"traversal_{block.name}"] = _decode(pack, moved, k).reshape(shape)
        start += block.size
    of_layout = _of_layout(pack, data, inputs, codes_RL, k) | _galleries(pack, data, posterior, k)
    shapes = layout_shapes(pack.layout, data.spec.name)
    return arrays | {name: array.reshape(shapes[name]) for name, array in of_layout.items()}


def _inputs(data: Dataset) -> list[int]:
    """Places of the first held-out image of each class, then of the first others, TRAVERSAL_ROWS in all."""
    labels = data.held_out.labels_N.tolist()
    first_of_class = [labels.index(y) for y in sorted(set(labels))] if data.spec.is_labelled else []
    others = (i for i in range(len(labels)) if i not in first_of_class)
    return [*first_of_class, *islice(others, TRAVERSAL_ROWS)][:TRAVERSAL_ROWS]


def _galleries(pack: Pack, data: Dataset, posterior: Sequence[Distribution], k: int) -> dict[str, Array]:
    """The held-out images nearest to each category of the primary block, where none has a label: [C * images, ...]."""
    block = pack.layout.primary("c")
    if block is None or data.spec.is_labelled:
        return {}
    q = posterior[pack.layout.blocks.index(block)]
    assert isinstance(q, Categorical)
    # Equals in their order: a code that is sure gives many images log q = 0.
    nearest_NC = q.log_probs_KBC[k].argsort(dim=0, descending=True, stable=True)
    index_CG = nearest_NC[:GALLERY_IMAGES].T.contiguous()
    images_ND = data.images(data.held_out, index_CG, pack.dtype).flatten(0, 1)
    return {f"gallery_{block.name}": _pictures(images_ND, data.spec.shape)}


def _of_layout(pack: Pack, data: Dataset, images: list[int], codes_RL: Tensor, k: int) -> dict[str, Array]:
    """The arrays of the layout as a whole: inputs, reconstructions, and the primary Normal block moved."""
    shapes = layout_shapes(pack.layout, data.spec.name)
    index_R = torch.tensor(images, device=codes_RL.device)
    inputs_RD = data.images(data.held_out, index_R, pack.dtype)
    arrays = {"inputs": _pictures(inputs_RD, data.spec.shape), "reconstructions": _decode(pack, codes_RL, k)}
    block = pack.layout.primary("n")
    if block is not None:
        start = sum(b.size for b in pack.layout.blocks[: pack.layout.blocks.index(block)])
        place = slice(start, start + block.size)
        dims = shapes[f"manipulation_{block.name}"][0]
        moved = [_each_dimension(code_L, place, dims, TRAVERSAL_STEPS) for code_L in codes_RL[:MANIPULATED_INPUTS]]
        moved_ZRSL = torch.stack([m.reshape(dims, TRAVERSAL_STEPS, -1) for m in moved], 1)
        arrays[f"manipulation_{block.name}"] = _decode(pack, moved_ZRSL.flatten(0, 2), k)
        if f"plane_{block.name}" in shapes:
            arrays[f"plane_{block.name}"] = _decode(pack, _plane(codes_RL[0], place), k)
    return arrays


@torch.no_grad()
def probability_histograms(pack: Pack, data: Dataset) -> list[dict[str, list[int]]]:
    """For every member and categorical block, a histogram of q(c|x), all categories together, in evaluation mode.

    Over the first held-out images, the same at every step and for every member; running statistics stay as they are.
    """
    images_ND = data.images(data.held_out, slice(0, HISTOGRAM_IMAGES), pack.dtype)
    pack.encoder.eval()
    posterior = pack.encoder(images_ND.expand(pack.size, *images_ND.shape))
    pack.encoder.train()
    pairs = [(b, q) for b, q in zip(pack.layout.blocks, posterior, strict=True) if isinstance(q, Categorical)]
    return [
        {f"probabilities_{b.name}": _histogram(q.log_probs_KBC[k].exp()).tolist() for b, q in pairs}
        for k in range(pack.size)
    ]


def _mode(q: Distribution, k: int) -> Tensor:
    """The most probable code of every image, [N, size]."""
    if isinstance(q, DiagonalNormal):
        return q.mean_KBZ[k]
    log_probs_NC = q.log_probs_KBC[k]
    return torch.nn.functional.one_hot(log_probs_NC.argmax(-1), log_probs_NC.shape[-1]).to(log_probs_NC.dtype)


def _assignments(probs_NC: Tensor, data: Dataset) -> Array:
    labels = data.held_out.labels_N.cpu().numpy()
    return contingency(probs_NC.argmax(-1).cpu().numpy(), labels, probs_NC.shape[1], data.spec.classes).astype(np.int32)


def _histograms(probs_NC: Tensor) -> Array:
    return np.stack([_histogram(column_N) for column_N in probs_NC.T])


def _histogram(probabilities: Tensor) -> NDArray[np.int32]:
    counts, _ = np.histogram(probabilities.double().cpu().numpy(), HISTOGRAM_BINS, (0.0, 1.0))
    return counts.astype(np.int32)


def _each_category(codes_RL: Tensor, place: slice) -> Tensor:
    """Every row with each category of the block in turn: [R * C, L]."""
    size = place.stop - place.start
    moved_RCL = codes_RL[:, None, :].repeat(1, size, 1)
    moved_RCL[:, :, place] = torch.eye(size, dtype=codes_RL.dtype, device=codes_RL.device)
    return moved_RCL.flatten(0, 1)


def _each_dimension(code_L: Tensor, place: slice, dims: int, steps: int) -> Tensor:
    """One code with each of the block's first dimensions moved through [-2, 2]: [dims * steps, L]."""
    moved_ZSL = code_L.repeat(dims, steps, 1)
    for dim in range(dims):
        moved_ZSL[dim, :, place.start + dim] = _values(code_L, steps)
    return moved_ZSL.flatten(0, 1)


def _plane(code_L: Tensor, place: slice) -> Tensor:
    """One code with both dimensions of the block moved through [-2, 2], the first along rows: [S * S, L]."""
    moved_SSL = code_L.repeat(TRAVERSAL_STEPS, TRAVERSAL_STEPS, 1)
    values_S = _values(code_L, TRAVERSAL_STEPS)
    moved_SSL[:, :, place.start] = values_S[:, None]
    moved_SSL[:, :, place.start + 1] = values_S
    return moved_SSL.flatten(0, 1)


def _values(like: Tensor, steps: int) -> Tensor:
    return torch.linspace(-TRAVERSAL_RANGE, TRAVERSAL_RANGE, steps, dtype=like.dtype, device=like.device)


def _decode(pack: Pack, codes_NL: Tensor, k: int) -> Array:
    """Mean images of member k as bytes, [N, H, W, C]: the other members decode zeros beside it."""
    stacked = torch.zeros(pack.size, *codes_NL.shape, dtype=pack.dtype, device=pack.device)
    stacked[k] = codes_NL
    return _pictures(pack.decoder(stacked)[k].sigmoid(), spec_of(pack.architecture.dataset).shape)


def _pictures(images_ND: Tensor, shape: tuple[int, int, int]) -> Array:
    """Bytes [N, H, W, C] of images [N, D], planes row by row; `shape` is (C, H, W)."""
    planes = (images_ND * 255).round().to(torch.uint8).view(-1, *shape)
    pictures: Array = planes.movedim(-3, -1).contiguous().cpu().numpy()
    return pictures
