"""Schedules as functions of the step; they return tensors [K], one value per member."""

from __future__ import annotations

import torch
from torch import Tensor


def geometric(step_K: Tensor, steps: int, first_K: Tensor, last_K: Tensor) -> Tensor:
    """first * (last / first)^(step / (steps - 1)): `first` at step 0, `last` at the last one; constant if equal."""
    fraction_K = (step_K.double() / max(steps - 1, 1)).clamp_max(1.0)
    ratio_K = last_K / first_K
    # In float64, as torch does it for a few members: its float32 power differs in the last bit from 16 or 32 on.
    power_K = (ratio_K.double() ** fraction_K).to(first_K.dtype)
    # And half way as torch does it for a number: by its square root, which is not the rounded one in float32.
    return first_K * torch.where(fraction_K == 0.5, ratio_K.sqrt(), power_K)


def ramp(step_K: Tensor, steps_K: Tensor) -> Tensor:
    """min(1, step / steps), and 1 from the start where steps is 0: [K]."""
    reached_K = steps_K.clamp_min(1).reciprocal() * step_K
    return reached_K.clamp_max(1.0).where(steps_K > 0, torch.ones_like(steps_K))


def capacity(rate_K: Tensor, target_K: Tensor) -> Tensor:
    """|rate - C|: Burgess et al. 2018 (arXiv 1804.03599); per kind of block Dupont 2018 (arXiv 1804.00104)."""
    return (rate_K - target_K).abs()
