"""Random affine views of images: what a code that is to be the same for all of them can't spend itself on.

A view reads pixel p of the image at A p + t, with A = R(angle) S(shear) / scale, every parameter uniform in
[-s, s] times its full range (below), s the member's strength; bilinear between pixels, black outside. Each member draws
from its own generator. A code q(c|view) that must rebuild the clean image, or another view of it, is asked to keep what
views share (denoising criterion: Im et al. 2017; two views and MI: Hu et al. 2017, Ji et al. 2019).
Shapes: K member, B batch, D pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

# Full ranges at strength 1: angle (radians), log scale, shear, and the shift as a part of half the image's side.
ANGLE, LOG_SCALE, SHEAR, SHIFT = math.radians(15), 0.1, 0.2, 1 / 7
PARAMETERS = 5


def view(images_KBD: Tensor, shape: tuple[int, int], strength_K: Tensor, generators: Sequence[Generator]) -> Tensor:
    """One random view of every image, [K, B, D]; the very images of members whose strength is 0."""
    members, batch, _ = images_KBD.shape
    uniform_KBP = torch.empty(members, batch, PARAMETERS, dtype=images_KBD.dtype, device=images_KBD.device)
    for k, generator in enumerate(generators):
        uniform_KBP[k].uniform_(-1.0, 1.0, generator=generator)
    theta_KB23 = affine(uniform_KBP * strength_K[:, None, None])
    stacked = images_KBD.reshape(members * batch, 1, *shape)
    grid = functional.affine_grid(theta_KB23.flatten(0, 1), list(stacked.shape), align_corners=False)
    seen_KBD = functional.grid_sample(stacked, grid, align_corners=False).reshape(images_KBD.shape)
    return torch.where(strength_K[:, None, None] > 0, seen_KBD, images_KBD)


def affine(parameters_KBP: Tensor) -> Tensor:
    """The matrices [A | t], [K, B, 2, 3], of parameters in [-1, 1]: angle, log scale, shear, shift x, shift y."""
    angle, log_scale, shear, across, down = parameters_KBP.unbind(-1)
    cosine, sine = (f(ANGLE * angle) * torch.exp(-LOG_SCALE * log_scale) for f in (torch.cos, torch.sin))
    # R S: the shear acts first, so its column is the rotated one.
    first = [cosine, cosine * (SHEAR * shear) - sine, SHIFT * across]
    second = [sine, sine * (SHEAR * shear) + cosine, SHIFT * down]
    return torch.stack([torch.stack(first, -1), torch.stack(second, -1)], -2)
