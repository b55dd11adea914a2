"""What lets a step be captured as a CUDA graph, checked on a CPU: it never waits for a number to come to the host."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from packs import trial
from torch import Tag, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vmi import data, step
from vmi.pack import Pack

# One member of each method, so that every term of the objective is there.
METHODS: tuple[dict[str, Any], ...] = (
    {"mi_weight": 4},
    {"mi_weight": 0, "kl_weight": 0, "capacity_weight": 30, "capacity_normal_nats": 5, "capacity_steps": 8},
    {"mi_weight": 0, "tc_weight": 5},
    {"mi_weight": 0, "factor_weight": 10},
    {"mi_weight": 0, "mmd_weight": 100},
    {"mi_weight": 0, "generator_mi_weight": 4},
    {"view_strength": 1.0, "view_target_strength": 0.5},
)


class Waits(TorchDispatchMode):
    """Notes the operators whose result, or its shape, has to come to the host, and those that change the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        tags = Tag.data_dependent_output in func.tags or Tag.dynamic_output_shape in func.tags
        if func is torch.ops.aten.index.Tensor:
            # With whole numbers the shape is known beforehand.
            tags = any(isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1])
        moved = (
            func is torch.ops.aten._to_copy.default and (kwargs or {}).get("device", args[0].device) != args[0].device
        )
        if tags or moved:
            self.seen.add(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("network", [{}, {"network": "conv", "hidden": "4-8-16"}, {"precision": "bfloat16"}])
@pytest.mark.parametrize("phase_order", ["q_first", "vae_first"])
def test_a_step_of_every_method_waits_for_nothing(network: dict[str, Any], phase_order: str) -> None:
    digits = data.load("digits")
    trials = [trial(seed=i, phase_order=phase_order, **fields, **network) for i, fields in enumerate(METHODS)]
    pack = Pack(trials)
    pack.train_mode(True)
    index_KB = pack.minibatches.next()
    with Waits() as waits:
        images_KBD = digits.images(digits.train, index_KB, pack.dtype)
        pack.window.add(step.train_step(pack, images_KBD, pack.noise()))
    assert waits.count > 100
    assert not waits.seen


def test_what_reads_a_number_back_is_noticed() -> None:
    with Waits() as waits:
        torch.ones(3).nonzero()
        torch.ones(1).item()
        torch.ones(3)[torch.tensor([True, False, True])]
    assert waits.seen == {"aten.nonzero.default", "aten._local_scalar_dense.default", "aten.index.Tensor"}
