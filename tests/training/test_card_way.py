"""What members together take, as on a card, against members one by one, as on a CPU: whole steps in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.packs import small_pack, trial, vae_gradients
from training.test_capturable import METHODS

from vmi.data import dataset as data
from vmi.nn import ops
from vmi.training import step
from vmi.training.pack import Pack
from vmi.training.train import launch_steps

NETWORKS = {"mlp": {"hidden": "24-12"}, "conv": {"network": "conv", "hidden": "4-8-16"}}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("phase_order", ["q_first", "vae_first"])
def test_steps_of_every_method_are_those_of_members_one_by_one(
    monkeypatch: pytest.MonkeyPatch, phase_order: str, network: str
) -> None:
    """To 1e-6, as Adam divides a rounding by itself where a gradient is 0."""
    digits, found = data.load("digits"), []
    for together in (False, True):
        monkeypatch.setattr(ops, "on_card", lambda _, together=together: together)
        fields: dict[str, Any] = {"phase_order": phase_order, **NETWORKS[network]}
        pack = Pack([trial(seed=i, **m, **fields) for i, m in enumerate(METHODS)], dtype=torch.float64)
        pack.train_mode(True)
        launch_steps(pack, digits, 3)
        found.append(pack.tensors())
    alone, on_card = found
    assert alone.keys() == on_card.keys()
    for name, tensor in alone.items():
        torch.testing.assert_close(on_card[name], tensor, rtol=1e-6, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")
    if network == "conv":  # of fully connected layers the last bits are the same
        assert any(not torch.equal(on_card[name], tensor) for name, tensor in alone.items()), "there were two ways"


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_of_a_step_are_those_of_members_one_by_one(monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    digits, found = data.load("digits"), []
    for together in (False, True):
        monkeypatch.setattr(ops, "on_card", lambda _, together=together: together)
        pack = small_pack(3, torch.float64, tc_weight=5.0, **NETWORKS[network])
        pack.train_mode(True)
        images_KBD = digits.images(digits.train, pack.minibatches.next(), pack.dtype)
        found.append(vae_gradients(pack, images_KBD, step.encode_decode(pack, images_KBD, pack.noise())))
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-11)
