"""A restored pack goes on bitwise; a damaged or hostile file is refused by name; one member can be taken out."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from support.packs import small_pack

from vmi.data import dataset as data
from vmi.training import checkpoint
from vmi.training.train import train


@pytest.mark.parametrize("layout", ["n16+c10*", "n2*+n30"])
def test_killed_and_resumed_at_every_report_is_bitwise_the_uninterrupted_run(tmp_path: Path, layout: str) -> None:
    digits = data.load("digits")
    expected = list(train(small_pack(3, layout=layout), digits))
    for stop in range(len(expected) - 1):
        run = train(small_pack(3, layout=layout), digits)
        for _ in range(stop + 1):
            progress = next(run)
        assert progress.pack is not None
        checkpoint.save(progress.pack, tmp_path / "pack.pt", "notes")
        restored, notes = checkpoint.restore(tmp_path / "pack.pt")
        rest = list(train(restored, digits))
        assert notes == "notes"
        assert [p.reports for p in rest] == [p.reports for p in expected[stop + 1 :]]
        for name, tensor in rest[-1].pack.tensors().items():
            assert torch.equal(tensor, expected[-1].pack.tensors()[name]), (name, stop)


def test_every_kept_tensor_and_generator_matters(tmp_path: Path) -> None:
    """Spoiling any one entry of the checkpoint changes what follows: nothing is kept in vain, nothing is ignored."""
    digits = data.load("digits")
    run = train(small_pack(2, steps=30), digits)
    next(run)
    checkpoint.save(next(run).pack, tmp_path / "pack.pt")
    content = torch.load(tmp_path / "pack.pt", weights_only=True)
    expected = list(train(checkpoint.restore(tmp_path / "pack.pt")[0], digits))
    names = [n for n in content["tensors"] if not n.startswith("broken")]
    for name in names:
        spoiled = {**content, "tensors": {**content["tensors"], name: content["tensors"][name].flip(-1) + 1}}
        if name == "order":
            spoiled["tensors"][name] = content["tensors"][name].flip(-1)
        torch.save(spoiled, tmp_path / "spoiled.pt")
        found = list(train(checkpoint.restore(tmp_path / "spoiled.pt")[0], digits))
        ends = [run[-1].pack.tensors() for run in (found, expected)]
        unlike = [not torch.equal(ends[0][key], ends[1][key]) for key in ("statistics_0", name)]
        assert any(unlike) or [p.reports for p in found] != [p.reports for p in expected], name


def test_one_member_is_extracted_as_a_pack_of_one(tmp_path: Path) -> None:
    pack = small_pack(3)
    checkpoint.save(pack, tmp_path / "pack.pt")
    one = checkpoint.extract(tmp_path / "pack.pt", pack.trials[1].trial_id)
    assert one.trials == pack.trials[1:2]
    assert torch.equal(one.vae_adam.flat_KP[0], pack.vae_adam.flat_KP[1])
    with pytest.raises(KeyError, match=pack.trials[0].trial_id):
        checkpoint.extract(tmp_path / "pack.pt", "0000")


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


def test_a_hostile_or_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    path, pack = tmp_path / "pack.pt", small_pack(1)
    path.write_bytes(pickle.dumps(Hostile(tmp_path / "owned")))
    with pytest.raises(checkpoint.CheckpointError, match=r"pack\.pt"):
        checkpoint.restore(path)
    torch.save({"format": 1, "tensors": Hostile(tmp_path / "owned")}, path)
    with pytest.raises(checkpoint.CheckpointError, match=r"pack\.pt"):
        checkpoint.restore(path)
    assert not (tmp_path / "owned").exists()
    checkpoint.save(pack, path)
    whole = path.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(checkpoint.CheckpointError, match=r"pack\.pt"):
            checkpoint.restore(path)
    torch.save({"format": 99}, path)
    with pytest.raises(checkpoint.CheckpointError, match="format 2"):
        checkpoint.restore(path)


def test_saving_replaces_in_one_step_and_leaves_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        checkpoint.save(small_pack(1), tmp_path / "deep" / "pack.pt")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["pack.pt"]
