"""What lets a step be captured as a CUDA graph, checked on a CPU: it never waits for a number to come to the host.

It calls operators of a list alone. A new one fails here until somebody has looked at it: whether the shape of what it
gives follows from shapes alone, whether its CUDA code reads nothing back (no `item()`, no `nonzero`), and whether it
takes nothing from the host (`torch.tensor` of a list shows as `lift_fresh`). If so, its name goes into its group below.
Members go together (`vmi.nn.ops.on_card`), as on a card.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.coloured import held
from support.packs import trial
from torch import Tag, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vmi.data import dataset as data
from vmi.nn import ops
from vmi.training import cuda_graph as captured
from vmi.training import pack as pack_module
from vmi.training.pack import Pack

# One member of each method, so that every term of the objective is there.
METHODS: tuple[dict[str, Any], ...] = (
    {"mi_weight": 4},
    {"mi_weight": 4, "learning_rate_decay": 0.1},
    {"mi_weight": 0, "kl_weight": 0, "capacity_weight": 30, "capacity_normal_nats": 5, "capacity_steps": 8},
    {"mi_weight": 0, "tc_weight": 5},
    {"mi_weight": 0, "factor_weight": 10},
    {"mi_weight": 0, "mmd_weight": 100},
    {"mi_weight": 0, "generator_mi_weight": 4},
    {"view_strength": 1.0, "view_target_strength": 0.5},
    {"view_strength": 1.0, "view_kl_weight": 4, "view_flip": 0.5, "view_crop": 0.2, "view_elastic": 0.1},
    {"view_mi_weight": 4, "view_pair_mi_weight": 4},
    {"view_kl_weight": 30, "encoder_mi_weight": 3, "encoder_entropy_weight": 4},
)

# Of the namespace aten. An entry without an overload allows all of its overloads.
CAPTURABLE = {
    "memory and views": """alias clone copy_ detach empty empty_like expand new_zeros ones_like permute scalar_tensor
        select select_backward slice split split_with_sizes squeeze.dim transpose unbind unsqueeze view _to_copy
        _unsafe_view zeros zeros_like""",
    "number by number": """abs add add_ addcmul bitwise_and bitwise_not clamp_max clamp_min clamp_min_ cos div
        div_ eq exp exp_ gt leaky_relu leaky_relu_ leaky_relu_backward lerp_ log log_ log1p lt mul mul_ ne neg neg_ pow
        pow_.Scalar reciprocal reciprocal_ rsub sgn sigmoid sigmoid_backward sin softplus softplus_backward special_entr
        sqrt sub sub_ where.self""",
    "sums, normalised rows, sorted rows": """amax any.dim argmax cat linalg_vector_norm logsumexp mean native_batch_norm
        native_batch_norm_backward native_group_norm native_group_norm_backward _log_softmax _log_softmax_backward_data
        _softmax _softmax_backward_data sort stack sum""",
    # By whole numbers, whose count is that of the result; `Waits` looks out for masks.
    "by index": "gather index.Tensor index_copy index_put index_select scatter_.value",
    "products": """affine_grid_generator baddbmm bmm convolution convolution_backward grid_sampler_2d
        upsample_bicubic2d""",
    # From the step's own number (`vmi.data.philox`), and from no generator, which a graph would have to be told of.
    "noise": "bitwise_xor bitwise_and __rshift__ flip sqrt_",
    # Its counts are tensors of the device, its rates numbers that stay, or the device's.
    "optimiser": "_fused_adam_",
}
ALLOWED = {name for names in CAPTURABLE.values() for name in names.split()}


class Waits(TorchDispatchMode):
    """Notes the operators whose result, or its shape, has to come to the host, and those that change the device.

    `unknown` has those that are not in the list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.unknown: set[str] = set()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        name = str(func).removeprefix("aten.")
        if not {name, name.partition(".")[0]} & ALLOWED:
            self.unknown.add(name)
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


@pytest.fixture(autouse=True)
def members_as_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """All members together, as on a card."""
    monkeypatch.setattr(ops, "on_card", lambda _: True)
    monkeypatch.setattr(pack_module, "by_counter", lambda _: True)


@pytest.mark.parametrize("network", [{}, {"network": "conv", "hidden": "4-8-16"}, {"precision": "bfloat16"}])
@pytest.mark.parametrize("phase_order", ["q_first", "vae_first"])
def test_a_step_of_every_method_waits_for_nothing_and_calls_what_can_be_captured(
    network: dict[str, Any], phase_order: str
) -> None:
    digits = data.load("digits")
    trials = [trial(seed=i, phase_order=phase_order, **fields, **network) for i, fields in enumerate(METHODS)]
    pack = Pack(trials)
    pack.train_mode(True)
    batches = pack.minibatches.resident(pack.device)
    batches.renew()
    with Waits() as waits:
        captured.step(pack, digits, batches)
    assert waits.count > 100
    assert not waits.seen
    assert not waits.unknown, "see the top of this file"


def test_layouts_likelihoods_and_colours_call_nothing_else() -> None:
    oblong = {"dataset": held((3, 10, 7)), "view_strength": 1.0}
    coloured = {**oblong, "network": "conv", "hidden": "4-8-16"}
    for fields in ({"layout": "n2*+n30"}, {"layout": "c10*+c3+n4*"}, {"likelihood": "bernoulli"}, oblong, coloured):
        pack = Pack([trial(**fields)])
        pack.train_mode(True)
        batches = pack.minibatches.resident(pack.device)
        batches.renew()
        with Waits() as waits:
            captured.step(pack, data.load(pack.architecture.dataset), batches)
        assert not waits.seen and not waits.unknown, fields


def test_what_reads_a_number_back_is_noticed() -> None:
    with Waits() as waits:
        torch.ones(3).nonzero()
        torch.ones(1).item()
        torch.ones(3)[torch.tensor([True, False, True])]
    assert waits.seen == {"aten.nonzero.default", "aten._local_scalar_dense.default", "aten.index.Tensor"}


def test_what_takes_numbers_from_the_host_or_was_not_looked_at_is_noticed() -> None:
    with Waits() as waits:
        torch.tensor([1.0, 2.0])
        torch.linalg.inv(torch.eye(2))
    assert "lift_fresh.default" in waits.unknown
    assert any(name.startswith("linalg") for name in waits.unknown)
