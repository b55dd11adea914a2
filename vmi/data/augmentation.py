"""Random views of images: what a code that is to be the same for all of them can't spend itself on.

A view reads pixel p of the image at c (A M p + t) + o + e(p), with A = R(angle) S(shear) / scale; M mirrors left and
right or does nothing; c and o cut out a part of the image; e bends it. Angle, log scale, shear and shift are uniform in
[-s, s] times the member's ranges, s its strength; c is uniform in [1 - s crop, 1], o in [c - 1, 1 - c]; e goes from
point to point of a grid of 4 x 4, each moved by up to s elastic. Bilinear between pixels, black outside. Each member
draws from its own streams, mirror, crop and bend from a second one, so that none of it changes what others are. A
code q(c|view) that must rebuild the clean image, or another view of it, is asked to keep what views share (denoising
criterion: Im et al. 2017; two views and MI: Hu et al. 2017, Ji et al. 2019; elastic: Simard et al. 2003).
Shapes: K member, B batch, D pixels, P parameters, C channels, H x W image plane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

PARAMETERS = 5
# Mirror, size of the part, its place across and down; then the moved points of the grid, across and down.
GRID = 4
MORE_PARAMETERS = 4 + 2 * GRID * GRID
# The smallest part of each side that is left, however strong a view is.
LEAST = 0.1


class Ranges(NamedTuple):
    """How far views go at strength 1, [K] each; `more`: whether some member mirrors, cuts or bends, and one bends."""

    angle_K: Tensor
    log_scale_K: Tensor
    shear_K: Tensor
    shift_K: Tensor
    flip_K: Tensor
    crop_K: Tensor
    elastic_K: Tensor
    more: tuple[bool, bool]

    @classmethod
    def of(cls, configs: Sequence[object], dtype: torch.dtype, device: torch.device) -> Ranges:
        """From the fields `view_angle` (degrees), `view_log_scale` and so on of K configurations."""
        names = ("angle", "log_scale", "shear", "shift", "flip", "crop", "elastic")
        values = {name: [float(getattr(config, f"view_{name}")) for config in configs] for name in names}
        columns = (torch.tensor(values[name], dtype=dtype, device=device) for name in names)
        angle_K, log_scale_K, shear_K, shift_K, flip_K, crop_K, elastic_K = columns
        bends = any(values["elastic"])
        more = bends or any(values["flip"]) or any(values["crop"])
        turned_K = angle_K * (math.pi / 180)
        return cls(turned_K, log_scale_K, shear_K, shift_K, flip_K, crop_K, elastic_K, (more, bends))


def view(
    images_KBD: Tensor,
    shape: tuple[int, int, int],
    strength_K: Tensor,
    ranges: Ranges,
    uniform_KBP: Tensor,
    more_KBP: Tensor | None = None,
) -> Tensor:
    """One random view of every image, [K, B, D], the same for its C planes [H, W]: `shape` is (C, H, W).

    It is made of PARAMETERS numbers of each image that are uniform in [-1, 1], and where a member mirrors, cuts or
    bends (`ranges.more`) of MORE_PARAMETERS others. Members whose strength is 0 get the very images.
    """
    members, batch, _ = images_KBD.shape
    height, width = shape[1:]
    theta_KB23 = affine(uniform_KBP * strength_K[:, None, None], ranges)
    if height != width:  # grids are in halves of each side, angles in pixels
        theta_KB23[..., 0, 1].mul_(height / width)
        theta_KB23[..., 1, 0].mul_(width / height)
    if more_KBP is not None:
        theta_KB23 = mirrored_and_cut(theta_KB23, more_KBP[..., :4], strength_K, ranges)
    stacked = images_KBD.reshape(members * batch, *shape)
    grid = functional.affine_grid(theta_KB23.flatten(0, 1), list(stacked.shape), align_corners=False)
    if more_KBP is not None and ranges.more[1]:
        moved_KBP = more_KBP[..., 4:] * (strength_K * ranges.elastic_K)[:, None, None]
        points = moved_KBP.reshape(members * batch, 2, GRID, GRID)
        bend = functional.interpolate(points, size=[height, width], mode="bicubic", align_corners=True)
        grid = grid + bend.permute(0, 2, 3, 1)
    seen_KBD = functional.grid_sample(stacked, grid, align_corners=False).reshape(images_KBD.shape)
    return torch.where(strength_K[:, None, None] > 0, seen_KBD, images_KBD)


def affine(parameters_KBP: Tensor, ranges: Ranges) -> Tensor:
    """The matrices [A | t], [K, B, 2, 3], of parameters in [-1, 1]: angle, log scale, shear, shift x, shift y."""
    angle, log_scale, shear, across, down = parameters_KBP.unbind(-1)
    angle_K1, log_scale_K1, shear_K1, shift_K1 = (each[:, None] for each in ranges[:4])
    cosine, sine = (f(angle_K1 * angle) * torch.exp(-log_scale_K1 * log_scale) for f in (torch.cos, torch.sin))
    # R S: the shear acts first, so its column is the rotated one.
    first = [cosine, cosine * (shear_K1 * shear) - sine, shift_K1 * across]
    second = [sine, sine * (shear_K1 * shear) + cosine, shift_K1 * down]
    return torch.stack([torch.stack(first, -1), torch.stack(second, -1)], -2)


def mirrored_and_cut(theta_KB23: Tensor, uniform_KB4: Tensor, strength_K: Tensor, ranges: Ranges) -> Tensor:
    """c [A M | t] + o, of parameters in [-1, 1]: mirror, size of the part, its place across and down."""
    mirror, size, across, down = uniform_KB4.unbind(-1)
    turned_KB = 1 - 2 * ((mirror + 1) / 2 < ranges.flip_K[:, None]).to(theta_KB23.dtype)
    cut_KB = (strength_K * ranges.crop_K)[:, None] * (size + 1) / 2
    part_KB = (1 - cut_KB).clamp_min(LEAST)
    column_KB3 = torch.stack([turned_KB, torch.ones_like(turned_KB), torch.ones_like(turned_KB)], -1)
    offset_KB2 = (1 - part_KB)[..., None] * torch.stack([across, down], -1)
    theta_KB23 = theta_KB23 * column_KB3[:, :, None, :] * part_KB[..., None, None]
    return torch.cat([theta_KB23[..., :2], theta_KB23[..., 2:] + offset_KB2[..., None]], -1)


def drawn(images_KBD: Tensor, count: int, generators: Sequence[Generator]) -> Tensor:
    """`count` numbers uniform in [-1, 1] for every image, each member's from its own generator: [K, B, count]."""
    members, batch, _ = images_KBD.shape
    uniform_KBP = torch.empty(members, batch, count, dtype=images_KBD.dtype, device=images_KBD.device)
    for k, generator in enumerate(generators):
        uniform_KBP[k].uniform_(-1.0, 1.0, generator=generator)
    return uniform_KBP
