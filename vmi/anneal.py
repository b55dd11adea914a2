"""Schedules as functions of the step; they return tensors [K], one value per member."""

from __future__ import annotations

from torch import Tensor


def geometric(step: int, steps: int, first_K: Tensor, last_K: Tensor) -> Tensor:
    """first * (last / first)^(step / (steps - 1)): `first` at step 0, `last` at the last one; constant if equal."""
    fraction = min(step / max(steps - 1, 1), 1.0)
    return first_K * (last_K / first_K) ** fraction
