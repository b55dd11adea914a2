"""Codes: drawn from the posterior or the prior, by noise that is handed in.

Shapes: K member, B batch, Z all Normal dimensions, C all categories, L width of the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vmi.nn.distributions import Categorical, Distribution, gumbel_from_uniform
from vmi.spec.layout import Block, Layout


class Noise(NamedTuple):
    """The randomness of one step: standard Normal [K, B, all Normal dimensions], Gumbel [K, B, all categories]."""

    normal_KBZ: Tensor
    gumbel_KBC: Tensor


def sample(
    blocks: Sequence[Block], posterior: Sequence[Distribution], noise: Noise, temperature_K: Tensor | None
) -> tuple[Tensor, ...]:
    """One code per block: relaxed at `temperature_K` for categorical blocks, hard one-hot where it is None."""
    codes, z, c = [], 0, 0
    for block, q in zip(blocks, posterior, strict=True):
        if isinstance(q, Categorical):
            gumbel = noise.gumbel_KBC[..., c : c + block.size]
            codes.append(q.hard_sample(gumbel) if temperature_K is None else q.rsample(gumbel, temperature_K))
            c += block.size
        else:
            codes.append(q.rsample(noise.normal_KBZ[..., z : z + block.size]))
            z += block.size
    return tuple(codes)


def side_by_side(codes: Sequence[Tensor]) -> Tensor:
    """One code of all blocks, [K, B, L], with the images innermost in memory, as the networks have them."""
    return torch.cat([code.mT for code in codes], dim=-2).mT


def prior_codes(blocks: Sequence[Block], noise: Noise) -> tuple[Tensor, ...]:
    """One hard code per block from the prior: standard Normal, uniform one-hot (the Gumbel's argmax)."""
    codes, z, c = [], 0, 0
    for block in blocks:
        if block.is_categorical:
            gumbel = noise.gumbel_KBC[..., c : c + block.size]
            # Not by torch's one_hot, which reads the largest index back to the host.
            codes.append(torch.zeros_like(gumbel).scatter_(-1, gumbel.argmax(-1, keepdim=True), 1.0))
            c += block.size
        else:
            codes.append(noise.normal_KBZ[..., z : z + block.size])
            z += block.size
    return tuple(codes)


def draw_noise(
    layout: Layout, generators: Sequence[Generator], batch: int, dtype: torch.dtype, device: torch.device
) -> Noise:
    """Standard Normal and Gumbel noise for every block, filled member by member."""
    normal = torch.empty(len(generators), batch, sum(b.size for b in layout.normal), dtype=dtype, device=device)
    uniform = torch.empty(len(generators), batch, sum(b.size for b in layout.categorical), dtype=dtype, device=device)
    for k, generator in enumerate(generators):
        if normal.shape[-1]:
            normal[k].normal_(generator=generator)
        if uniform.shape[-1]:
            uniform[k].uniform_(generator=generator)
    # With the images innermost, as the networks' outputs have them.
    return noise_of(normal.mT.contiguous().mT, uniform.mT.contiguous().mT)


def noise_of(normal_KBZ: Tensor, uniform_KBC: Tensor) -> Noise:
    """Of standard Normal numbers and of numbers uniform on [0, 1)."""
    return Noise(normal_KBZ, gumbel_from_uniform(uniform_KBC.mT).mT)
