"""Checkpoints of a pack: the last two, found damaged by any bit, and claimed by one worker at a time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from vmi.in_flight.checkpoints import Checkpoints, clear_all, packs_begun
from vmi.results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "s")


def names(kept: Checkpoints) -> list[str]:
    return sorted(path.name for path in kept.folder.iterdir())


def test_the_last_two_are_kept_newest_first_by_whoever_reads(store: Store) -> None:
    kept = Checkpoints(store, "p")
    for number in range(5):
        kept.write(bytes([number]))
    found = list(Checkpoints(store, "p").newest_first())
    assert [data for _, data in found] == [b"\x04", b"\x03"]
    assert [path.name[:9] for path, _ in found] == ["00000005-", "00000004-"]
    assert Checkpoints(store, "p").write(b"next").startswith("00000006-")


def test_one_that_members_still_wait_in_is_kept_as_well(store: Store) -> None:
    kept = Checkpoints(store, "p")
    waiting = kept.write(b"first")
    for number in range(4):
        kept.write(bytes([number]), [waiting])
    assert kept.read(waiting) == b"first" and len(names(kept)) == 3


def test_a_damaged_one_is_not_counted_among_the_two(store: Store) -> None:
    kept = Checkpoints(store, "p")
    kept.write(b"one")
    newest = kept.write(b"two")
    (kept.folder / newest).write_bytes(b"tw0")
    again = Checkpoints(store, "p")
    assert [data for _, data in again.newest_first()] == [None, b"one"]
    again.write(b"three")
    assert [data for _, data in Checkpoints(store, "p").newest_first()] == [b"three", b"one"]


def test_every_flipped_bit_and_every_cut_is_found(store: Store) -> None:
    kept, draw = Checkpoints(store, "p"), random.Random(0)
    data = draw.randbytes(97)
    path = kept.folder / kept.write(data)
    for bit in range(8 * len(data)):
        spoiled = bytearray(data)
        spoiled[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoiled)
        assert kept.read(path.name) is None, bit
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert kept.read(path.name) is None, length
    path.write_bytes(data)
    assert kept.read(path.name) == data


@pytest.mark.parametrize("name", ["../trials/x", "00000001-zz.pt", "", "pack-" + "0" * 32 + ".json"])
def test_a_name_that_is_none_of_ours_is_not_read(store: Store, name: str) -> None:
    assert Checkpoints(store, "p").read(name) is None


def test_what_was_said_of_the_pack_is_read_back_unless_it_is_damaged(store: Store) -> None:
    kept = Checkpoints(store, "p")
    assert kept.plan() is None
    kept.write_plan(b"{}")
    assert Checkpoints(store, "p").plan() == b"{}"
    (plan,) = kept.folder.iterdir()
    plan.write_bytes(b"[]")
    assert kept.plan() is None
    kept.write_plan(b"{}")
    assert kept.plan() == b"{}" and names(kept) == [plan.name]


def test_whoever_claims_last_has_the_pack(store: Store) -> None:
    first, second = Checkpoints(store, "p"), Checkpoints(store, "p")
    first.claim()
    assert first.is_ours and not second.is_ours
    second.claim()
    assert second.is_ours and not first.is_ours and len(names(first)) == 1


def test_a_finished_pack_leaves_its_plan_and_a_finished_study_nothing(store: Store) -> None:
    kept = Checkpoints(store, "p")
    kept.write_plan(b"{}")
    kept.claim()
    kept.write(b"x")
    (kept.folder / ".tmp-1").write_bytes(b"torn")
    kept.clear_torn()
    assert not any(name.startswith(".tmp-") for name in names(kept))
    kept.clear_checkpoints()
    assert kept.plan() == b"{}" and kept.is_ours and not list(kept.folder.glob("*.pt"))
    (store.checkpoints / "abc.started").touch()  # as an earlier version left them
    assert packs_begun(store) == ["abc.started", "p"]
    clear_all(store)
    assert not store.checkpoints.exists() and packs_begun(store) == []
