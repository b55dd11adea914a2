"""Small packs for the tests of training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training import step
from vmi.training.pack import Pack

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


def vae_gradients(pack: Pack, images: Tensor, forward: step.Forward) -> Tensor:
    """Phase 2, and the gradients that it handed its optimiser, as one row per member."""
    handed: list[Tensor] = []
    inner = pack.vae_adam.step
    pack.vae_adam.step = lambda gradients: (handed.extend(gradients), inner(gradients))[1]  # type: ignore[method-assign]
    step.vae_phase(pack, images, forward)
    del pack.vae_adam.step
    assert [g.shape for g in handed] == [p.shape for p in pack.vae_parameters]
    return torch.cat([g.reshape(pack.size, -1) for g in handed], dim=1)
