"""The arrays a member leaves beside its metrics: assignment counts, probability histograms, latent traversals.

Shapes: N images, C categories, H x W pixels, L width of the code. Arrays are NumPy, names and shapes as `vmi.arrays`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vmi.accuracy import contingency
from vmi.arrays import HISTOGRAM_BINS, TRAVERSAL_RANGE, TRAVERSAL_ROWS, array_shapes
from vmi.data import Dataset
from vmi.distributions import Categorical, DiagonalNormal, Distribution
from vmi.pack import Pack

Array = NDArray[np.generic]
HISTOGRAM_IMAGES = 1000


def member_arrays(pack: Pack, data: Dataset, posterior: Sequence[Distribution], k: int) -> dict[str, Array]:
    """Every array of member k, from the posterior of the held-out images."""
    arrays: dict[str, Array] = {}
    first_of_class = [int((data.held_out.labels_N == y).nonzero()[0]) for y in range(data.spec.classes)]
    codes_RL = torch.cat([_mode(q, k)[first_of_class] for q in posterior], dim=-1)
    start = 0
    for block, q in zip(pack.layout.blocks, posterior, strict=True):
        shapes = array_shapes(block, data.spec.name)
        shape = shapes[f"traversal_{block.name}"]
        place = slice(start, start + block.size)
        if isinstance(q, Categorical):
            probs_NC = q.log_probs_KBC[k].exp()
            arrays[f"assignments_{block.name}"] = _assignments(probs_NC, data)
            arrays[f"probabilities_{block.name}"] = _histograms(probs_NC)
            moved = _each_category(codes_RL[:TRAVERSAL_ROWS], place)
        else:
            moved = _each_dimension(codes_RL[0], place, shape[0], shape[1])
        arrays[f"traversal_{block.name}"] = _decode(pack, moved, k).reshape(shape)
        start += block.size
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
    values = torch.linspace(-TRAVERSAL_RANGE, TRAVERSAL_RANGE, steps, dtype=code_L.dtype, device=code_L.device)
    for dim in range(dims):
        moved_ZSL[dim, :, place.start + dim] = values
    return moved_ZSL.flatten(0, 1)


def _decode(pack: Pack, codes_NL: Tensor, k: int) -> Array:
    """Mean images of member k as bytes, [N, D]: the other members decode zeros beside it."""
    stacked = torch.zeros(pack.size, *codes_NL.shape, dtype=pack.dtype, device=pack.device)
    stacked[k] = codes_NL
    bytes_ND: Array = (pack.decoder(stacked)[k].sigmoid() * 255).round().to(torch.uint8).cpu().numpy()
    return bytes_ND
