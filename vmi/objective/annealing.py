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
