"""bfloat16 as an opt-in: part of a trial's identity, products alone, and a member still independent of its pack."""

from __future__ import annotations

import pytest
import torch
from support.packs import trial, varied

from vmi.cost.measurements import kind_of
from vmi.data import dataset as data
from vmi.data.dataset import Dataset
from vmi.spec.errors import InputError
from vmi.spec.resolving import resolve
from vmi.training.pack import Pack
from vmi.training.train import train
from vmi.worker.work import prepare


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


def test_precision_decides_identity_and_pack_and_float32_renames_no_trial() -> None:
    low, full = resolve({"precision": "bfloat16"}), resolve({"precision": "float32"})
    assert full.trial_id == resolve({}).trial_id != low.trial_id
    assert full.architecture == resolve({}).architecture != low.architecture
    assert kind_of(low.architecture, [low]) != kind_of(full.architecture, [full])
    with pytest.raises(InputError, match=r"one of bfloat16, float32|one of float32, bfloat16"):
        resolve({"precision": "bfloat"})


def test_on_a_card_float32_is_float32_in_convolutions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's default is TF32 for these alone."""
    monkeypatch.setattr("vmi.worker.work.keep_freed_memory", lambda: None)
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = cudnn.allow_tf32, matmul.allow_bf16_reduced_precision_reduction
    cudnn.allow_tf32 = matmul.allow_bf16_reduced_precision_reduction = True
    try:
        prepare("cuda")
        assert not cudnn.allow_tf32 and not matmul.allow_tf32
        assert not matmul.allow_bf16_reduced_precision_reduction
    finally:
        cudnn.allow_tf32, matmul.allow_bf16_reduced_precision_reduction = before


@pytest.mark.parametrize("network", [{"hidden": "24-12"}, {"network": "conv", "hidden": "4-8-16"}])
def test_a_bfloat16_member_is_bitwise_the_same_in_packs_of_1_2_5_and_16(
    digits: Dataset, network: dict[str, str]
) -> None:
    trials = varied(16, precision="bfloat16", **(network | {"steps": 4}))
    ends = {}
    for size in (1, 2, 5, 16):
        (*_, last) = train(Pack(trials[:size]), digits)
        assert last.pack is not None
        ends[size] = (last.pack.tensors(), last.reports)
    for size in (1, 2, 5):
        for name, tensor in ends[size][0].items():
            assert torch.equal(tensor, ends[16][0][name][:size]), (name, size)
        assert ends[size][1] == ends[16][1][:size]


def test_only_products_are_rounded(digits: Dataset) -> None:
    """Parameters, moments and statistics stay float32, and the loss is that of float32 to bfloat16's three digits."""
    ends = {}
    for precision in ("float32", "bfloat16"):
        (*_, last) = train(Pack([trial(precision=precision, steps=40)]), digits)
        assert last.pack is not None
        assert all(t.dtype == torch.float32 for n, t in last.pack.tensors().items() if n.startswith(("vae", "q_")))
        ends[precision] = last.reports[0].metrics["loss_nats"]
    assert ends["bfloat16"] != ends["float32"]
    assert ends["bfloat16"] == pytest.approx(ends["float32"], rel=0.02)
