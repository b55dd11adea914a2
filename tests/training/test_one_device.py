"""Every step of a card on torch's meta device: all that it touches lies on one device, and no number is asked for.

Meta tensors have shapes and no numbers, so whatever reads one raises; they go the way of a card, grouped convolutions
and whole packs at once. `OneDevice` raises where a step touches a tensor of another device, which torch itself lets
pass for a number on the CPU or an index on it: a copy that waits, on a card.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support.packs import trial
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vmi.data import dataset as data
from vmi.data.dataset import Dataset
from vmi.information.mi_card import card
from vmi.spec.presets import PRESETS
from vmi.training import cuda_graph
from vmi.training.evaluation import held_out_pass
from vmi.training.pack import Pack
from vmi.training.view_scores import view_scores

META = torch.device("meta")
NETWORKS = {"mlp": {"hidden": "24-12"}, "conv": {"network": "conv", "hidden": "4-8-16"}}
PRECISIONS, PHASE_ORDERS = ("float32", "bfloat16"), ("q_first", "vae_first")


class OneDevice(TorchDispatchMode):
    """Raises at an operator that takes or gives a tensor of another device; counts the operators."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        # Adam with a rate of the device has no kernel for meta tensors; it gives nothing.
        found = None if func is torch.ops.aten._fused_adam_.tensor_lr else func(*args, **(kwargs or {}))
        devices = {leaf.device.type for leaf in tree_leaves((args, kwargs, found)) if isinstance(leaf, Tensor)}
        if devices - {META.type}:
            raise RuntimeError(f"{func} touches {', '.join(sorted(devices))}")
        return found


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits").to(META)


def pack_of(size: int, **fields: Any) -> Pack:
    """Members that differ in seed and learning rate; on the meta device."""
    return Pack([trial(seed=k, learning_rate=(1e-3, 3e-3)[k % 2], **fields) for k in range(size)], META)


def stepped(pack: Pack, digits: Dataset, steps: int = 2) -> int:
    """Take steps as a graph captures them: how many operators."""
    pack.train_mode(True)
    batches = pack.minibatches.resident(pack.device)
    batches.renew()
    with OneDevice() as device:
        for _ in range(steps):
            cuda_graph.step(pack, digits, batches)
    return device.count


def cases() -> Iterator[Any]:
    for preset, network, order, precision in itertools.product(PRESETS, NETWORKS, PHASE_ORDERS, PRECISIONS):
        sets = PRESETS[preset].sets
        if sets.get("network", network) == network and sets.get("phase_order", order) == order:
            fields = {"preset": preset, **NETWORKS[network], "phase_order": order, "precision": precision}
            yield pytest.param(fields, id=f"{preset}-{network}-{order}-{precision}")


@pytest.mark.parametrize("fields", list(cases()))
def test_a_step_of_every_preset_stays_on_its_device(digits: Dataset, fields: dict[str, Any]) -> None:
    for size in (1, 5):
        assert stepped(pack_of(size, **fields), digits, steps=1) > 100


@pytest.mark.parametrize("fields", [
    {"layout": "n2*+n30"}, {"layout": "c10*+c3+n4*"}, {"likelihood": "bernoulli"},
    {"view_strength": 1.0, "view_target_strength": 0.5, "view_flip": 0.5, "view_crop": 0.2, "view_elastic": 0.1},
    {"mi_weight": 0, "tc_weight": 5, "tc_estimator": "stratified"}, {"learning_rate_decay": 0.1},
])  # fmt: skip
def test_so_does_one_of_other_layouts_likelihoods_and_views(digits: Dataset, fields: dict[str, Any]) -> None:
    for network in NETWORKS.values():
        stepped(pack_of(2, **fields, **network), digits)


@pytest.mark.parametrize("preset", PRESETS)
def test_members_leave_and_join_on_their_device(digits: Dataset, preset: str) -> None:
    network = {} if "network" not in PRESETS[preset].sets else NETWORKS["conv"]
    pack = pack_of(5, preset=preset, **network)
    stepped(pack, digits)
    fewer = pack.keep([3, 1])
    more = fewer.admit([trial(preset=preset, seed=9, **network)])
    for other in (fewer, more):
        assert {tensor.device for name, tensor in other.tensors().items() if name != "order"} == {META}
        stepped(other, digits)
    assert fewer.steps == [4, 4] and more.steps == [4, 4, 2]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("layout", ["n16+c10*", "n2*+n30"])
def test_an_evaluation_stays_there_until_its_numbers_are_copied_to_the_host(
    digits: Dataset, layout: str, network: str
) -> None:
    pack = pack_of(5, layout=layout, **NETWORKS[network])
    pack.train_mode(False)
    with torch.no_grad(), OneDevice():
        passed = held_out_pass(pack, digits)
        found = card(pack.layout, passed)
        chunks = [digits.images(digits.held_out, slice(None), pack.dtype).expand(5, -1, -1)]
        found |= view_scores(pack.encoder, pack.layout, passed.posterior, chunks, digits.spec.shape)
    assert {value.shape for value in found.values()} == {(5,)}


def test_a_tensor_of_another_device_and_a_number_that_is_asked_for_raise(digits: Dataset) -> None:
    pack = pack_of(2)
    pack.variance_K = pack.variance_K.new_ones(2, device="cpu")
    with pytest.raises(RuntimeError, match=r"device|touches cpu"):
        stepped(pack, digits)
    number = torch.ones((), dtype=torch.int64)
    with pytest.raises(RuntimeError, match="touches cpu, meta"), OneDevice():
        pack.step_K + number  # torch lets it pass
    on_card = pack.temperatures[0].sum()
    for asked in (bool, float, Tensor.item, Tensor.tolist, Tensor.cpu):
        with pytest.raises((RuntimeError, NotImplementedError), match="meta"), OneDevice():
            asked(on_card)
