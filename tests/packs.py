"""Small packs for the tests of training."""

from __future__ import annotations

from typing import Any

import torch

from vmi.config import resolve
from vmi.pack import Pack
from vmi.trial import Trial

SMALL = {"hidden": "24-12", "batch_size": 64, "steps": 12}


def trial(**fields: Any) -> Trial:
    config = resolve({**SMALL, **fields})
    return Trial(config.trial_id, config.suggestion_id, config)


def varied(count: int, **fields: Any) -> list[Trial]:
    """Trials that differ in every swept weight, in their learning rate and in their seed."""
    return [
        trial(
            mi_weight=(0.0, 4.0, 8.0, 2.0)[k % 4],
            entropy_weight=(1.0, 0.0, 0.5)[k % 3],
            kl_weight=(1.0, 2.0)[k % 2],
            temperature=(0.5, 1.0, 0.2)[k % 3],
            learning_rate=(1e-3, 3e-3)[k % 2],
            seed=k,
            **fields,
        )
        for k in range(count)
    ]


def small_pack(count: int = 3, dtype: torch.dtype = torch.float32, **fields: Any) -> Pack:
    return Pack(varied(count, **fields), dtype=dtype)
