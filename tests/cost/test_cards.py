"""What CUDA_VISIBLE_DEVICES makes of a node's GPUs and slices, and packs that are more than a GPU's memory holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cards import nvidia_smi
from support.packs import varied

from vmi.cost import sharing
from vmi.cost.cards import Card, free_on_cards, names_slices, visible
from vmi.cost.packing import pack_of
from vmi.cost.sizing import Room
from vmi.spec.errors import InputError

WHOLE = [Card("GPU-aa11", 10), Card("GPU-ab22", 20), Card("GPU-cc33", 30)]
SLICES = tuple(Card(f"MIG-{name}", free) for name, free in (("0a", 1), ("0b", 2), ("1c", 3)))
MIXED = [Card("GPU-aa11", 10, SLICES), Card("GPU-ab22", 20), Card("GPU-cc33", 30, ())]


@pytest.mark.parametrize(
    ("wanted", "free"),
    [
        (None, [10, 20, 30]), ("0,1", [10, 20]), ("2,0", [30, 10]), (" 1 , 2 ", [20, 30]), ("0", [10]),
        ("GPU-ab22", [20]), ("GPU-ab,GPU-c", [20, 30]), ("1,GPU-aa", [20, 10]),
        ("GPU-a", []), ("-1", []), ("NoDevFiles", []), ("0,-1,1", [10]), ("0,3,1", [10]), ("0,,1", [10]), ("1,1", []),
        ("MIG-0a", []), ("1,GPU-ab22", []),
    ],
)  # fmt: skip
def test_a_list_counts_as_cuda_counts_it(wanted: str | None, free: list[int]) -> None:
    assert [card.free for card in visible(WHOLE, wanted)] == free


@pytest.mark.parametrize(
    ("wanted", "free"),
    [
        (None, [1, 20]), ("0", [1]), ("MIG-0b", [2]), ("MIG-0b,MIG-1c,MIG-0a", [2, 3, 1]), ("MIG-1,1", [3, 20]),
        ("MIG-0", []), ("2", []), ("MIG-zz,1", []), ("GPU-aa11", [1]), ("MIG-0a,MIG-0a", []),
    ],
)  # fmt: skip
def test_a_slice_counts_as_a_gpu_of_its_own_memory(wanted: str | None, free: list[int]) -> None:
    assert [card.free for card in visible(MIXED, wanted)] == free


def test_the_driver_s_program_is_asked_for_gpus_and_for_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert free_on_cards({}) == []
    slices = [("MIG-0a", 9719), ("MIG-0b", 4000)]
    nvidia_smi(tmp_path, [("GPU-aa", 81000, slices), ("GPU-bb", 40000, None)])
    mib = 2**20
    assert free_on_cards({}) == [9719 * mib, 40000 * mib]
    assert free_on_cards({"CUDA_VISIBLE_DEVICES": "MIG-0b,MIG-0a"}) == [4000 * mib, 9719 * mib]
    assert free_on_cards({"CUDA_VISIBLE_DEVICES": "1"}) == [40000 * mib]
    assert free_on_cards({"CUDA_VISIBLE_DEVICES": " "}) == []
    assert names_slices({"CUDA_VISIBLE_DEVICES": "MIG-0b"}) and not names_slices({"CUDA_VISIBLE_DEVICES": "0,1"})
    assert not names_slices({})


def test_more_packs_a_gpu_than_its_memory_holds_are_refused_with_both_numbers() -> None:
    packs = [pack_of(tuple(varied(4)))]

    def check(share: float | None, gigabytes: float | None, size: int | None = None, device: str = "cuda") -> None:
        free = None if gigabytes is None else int(gigabytes * 1e9 * (share or 1))
        sharing.check(share, Room(device, free), packs, size, ())

    for allowed in ((None, 0.1), (1.0, 0.1), (0.5, 80), (0.1, None), (0.0, 0.1)):
        check(*allowed)
    check(0.01, 1, device="cpu")
    sharing.check(0.5, None, packs, None, ())
    with pytest.raises(InputError) as error:
        check(0.05, 2.5)
    (problem,) = error.value.problems
    assert problem.field == "--gpus-per-pack" and problem.value == 0.05
    assert "packs a GPU, not 20: one of 1 needs about" in problem.allowed and "2.5 GB are free" in problem.allowed
    holds = int(problem.allowed.split()[2])
    assert 1 <= holds < 20
    check(1 / holds, 2.5)
    with pytest.raises(InputError, match="not 20: one of 4 needs"):
        check(0.05, 2.5, size=8)
