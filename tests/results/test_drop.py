"""Dropped trials: gone for every reader at once, never back, kept in quarantine, and trained again when asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.crash_model import Logged, after_crashes
from support.store_lab import LAYOUT, content, fresh, killed, parts, record, three_commits, tree, trial

from vmi.results.compaction import compact, finish
from vmi.results.drop import drop, matching
from vmi.results.dropped import Drop, in_force
from vmi.results.fsck import check
from vmi.results.lineage import shares
from vmi.results.quarantine import quarantine
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.spec.errors import StoreError
from vmi.storage import folder
from vmi.storage.durable import Files

CONDITION = "seed in (1, 2, 4)"
AT = datetime(2026, 11, 27, 7, 30, tzinfo=UTC)
DROPPED, LEFT = ({trial(seed).trial_id for seed in seeds} for seeds in ((1, 2, 4), (0, 3, 5)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three commits of two trials each: the dropped ones are half of two parts and all but half of none."""
    return three_commits(tmp_path)


def dropped(store: Store, condition: str = CONDITION) -> list[str]:
    ids = matching(store, condition).stored
    drop(store, ids, condition, AT)
    return ids


def compacted(store: Store) -> None:
    for table in TABLES:
        compact(store.folder_of(table), table, store.files)


def originals(store: Store) -> dict[str, bytes]:
    return {name: data for name, data in tree(store.folder).items() if "part-" in name and "quarantine" not in name}


def put_back(store: Store, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (store.folder / name).write_bytes(data)


@pytest.mark.parametrize("before", [lambda store: None, compacted], ids=["plain", "compacted"])
def test_the_others_are_as_they_were_and_every_byte_is_in_quarantine(
    store: Store, before: Callable[[Store], None]
) -> None:
    before(store)
    whole, old = content(store), originals(store)
    assert set(dropped(store)) == DROPPED
    assert content(store) == {one: whole[one] for one in LEFT}
    gone = {name: data for name, data in old.items() if name not in originals(store)}
    kept = tree(store.folder / "quarantine")
    assert kept == gone and gone
    for table in TABLES:  # what tools without our lineage read
        ids = {i for path in store.folder_of(table).iterdir() for i in pq.read_table(path)["trial_id"].to_pylist()}
        assert ids == LEFT
    assert check(store.folder).sound
    assert store.drops() == (Drop(AT.isoformat(), CONDITION, dict.fromkeys(sorted(DROPPED), 1)),)


def test_neither_compaction_nor_a_part_that_comes_back_brings_dropped_trials_back(store: Store) -> None:
    old = originals(store)
    dropped(store)
    left = content(store)
    put_back(store, old)  # a put that lands late, or a removal that was cut short
    assert content(store) == left and check(store.folder).sound
    compacted(store)
    assert content(store) == left
    put_back(store, old)
    for table in TABLES:
        finish(store.folder_of(table), table)
    assert content(store) == left and parts(store) == dict.fromkeys(TABLES, 1)
    assert quarantine(store.folder) == [] and content(store) == left


def test_a_compaction_that_ran_beside_it_brings_nothing_back(store: Store, tmp_path: Path) -> None:
    record(store, [6])
    other = fresh(store.root, tmp_path / "beside")
    compacted(other)  # of the parts as they were, and of one more than the drop replaces
    dropped(store)
    left = content(store)
    for table in TABLES:
        shutil.copytree(other.folder_of(table), store.folder_of(table), dirs_exist_ok=True)
    assert content(store) == left
    compacted(store)
    assert content(store) == left and parts(store) == dict.fromkeys(TABLES, 1)


class Compacting(Files):
    """Before the n-th reading a compaction of the whole store runs."""

    def __init__(self, store: Store, number: int) -> None:
        self.store, self.left = store, number

    def read(self, path: Path) -> bytes:
        self.left -= 1
        if self.left == 0:
            compacted(self.store)
        return super().read(path)


def test_a_compaction_at_any_moment_of_it_does_no_harm(store: Store, tmp_path: Path) -> None:
    whole, number, left = content(store), 0, 0
    while left <= 0:
        number += 9
        case = fresh(store.root, tmp_path / "case")
        files = Compacting(case, number)
        dropped(Store(case.root, "s", files))
        left = files.left
        assert content(case) == {one: whole[one] for one in LEFT}
        for table in TABLES:
            for path in case.folder_of(table).iterdir():
                assert set(pq.read_table(path)["trial_id"].to_pylist()) <= LEFT
    assert number > 36


@pytest.mark.parametrize("step", [31, pytest.param(1, marks=pytest.mark.faults)])
def test_a_killed_drop_has_dropped_all_or_none_and_the_same_command_ends_it(
    store: Store, tmp_path: Path, step: int
) -> None:
    whole, seen, kills = content(store), set(), 0
    left = {one: whole[one] for one in LEFT}
    for after in (False, True):
        for number in range(0, 400, step):
            folder._durable.clear()
            case = fresh(store.root, tmp_path / "case")

            def act(files: Files, acknowledge: Callable[[str], None], case: Store = case) -> None:
                dropped(Store(case.root, "s", files))

            _, was_killed = killed(act, number, after)
            found = content(case)
            seen.add(len(found))
            assert found in (whole, left) and check(case.folder).sound
            assert bool(in_force(case.drops(), case.finished().values())) == (found == left)
            for table in TABLES:  # as the next start does
                finish(case.folder_of(table), table)
            assert content(case) == found
            if found == whole:
                dropped(case)
            kept = tree(case.folder / "quarantine")
            assert all(kept[f"trials/{name}"] for name in names_of(store) - names_of(case))
            assert content(case) == left and len(in_force(case.drops(), case.finished().values())) == 1
            if not was_killed:
                break
            kills += 1
        assert not was_killed
    print(f"drop: {kills} kills")
    assert seen == {3, 6} and kills >= 150 // step


def names_of(store: Store) -> set[str]:
    return {path.name for path in store.folder_of("trials").iterdir()}


@pytest.mark.parametrize(("most", "every"), [(2, 9), pytest.param(1 << 10, 1, marks=pytest.mark.faults)])
def test_a_power_failure_leaves_all_or_none_of_them_and_every_byte(
    store: Store, tmp_path: Path, most: int, every: int
) -> None:
    whole, before, files = content(store), originals(store), Logged()
    initial = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    dropped(Store(store.root, "s", files))
    seen, states = set(), 0
    for _, _, state in list(after_crashes(files.log, initial, most, seed=7))[::every]:
        states += 1
        shutil.rmtree(tmp_path / "case", ignore_errors=True)
        for path, data in state.items():
            place = tmp_path / "case" / path.relative_to(store.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        case = Store(tmp_path / "case", "s")
        found = content(case)
        assert found in (whole, {one: whole[one] for one in LEFT}) and check(case.folder).sound
        for table in TABLES:
            finish(case.folder_of(table), table)
        there = {Path(name).name for name in tree(case.root) if ".tmp" not in name}
        assert content(case) == found and {Path(name).name for name in before} <= there
        seen.add(len(found))
    print(f"drop: {states} states")
    assert seen == {3, 6}


def test_what_is_trained_again_counts_and_is_told_from_what_was_dropped(store: Store) -> None:
    dropped(store)
    dropped(store, "seed < 9")
    assert content(store) == {} and len(store.drops()) == 2
    assert store.next_attempt() == 2
    record(store, range(6), store.next_attempt())
    assert set(content(store)) == DROPPED | LEFT
    compacted(store)
    assert set(content(store)) == DROPPED | LEFT
    assert [len(one.attempts) for one in in_force(store.drops(), store.finished().values())] == [3, 3]
    dropped(store, "seed = 1 and attempt = 2")
    assert len(content(store)) == 5


def test_every_attempt_of_a_trial_goes(store: Store) -> None:
    record(store, [1], 2)
    assert store.finished()[trial(1).trial_id]["attempt"] == 1
    dropped(store)
    assert trial(1).trial_id not in store.finished()
    assert store.drops()[0].attempts[trial(1).trial_id] == 2


def test_another_study_does_not_hand_a_dropped_trial_back(store: Store) -> None:
    other = Store(store.root, "other")
    wanted = dict.fromkeys(DROPPED | LEFT, "custom")
    assert set(other.adopt(wanted, [LAYOUT], "digits")) == DROPPED | LEFT
    dropped(store)
    assert store.adopt(wanted, [LAYOUT], "digits") == []
    drop(other, sorted(LEFT), "chosen", AT)
    assert set(other.finished()) == DROPPED and other.adopt(wanted, [LAYOUT], "digits") == []


def test_a_damaged_study_is_left_as_it_is(store: Store) -> None:
    path = sorted(store.folder_of("curves").iterdir())[1]
    path.write_bytes(path.read_bytes()[:-1])
    before = tree(store.root)
    with pytest.raises(StoreError, match=path.name):
        drop(store, sorted(DROPPED), CONDITION, AT)
    assert tree(store.root) == before


@pytest.mark.parametrize("text", ["{", '{"a": 1}'])
def test_a_damaged_list_of_drops_is_named_and_kept(store: Store, text: str) -> None:
    path = store.folder / "dropped.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="dropped"):
        store.next_attempt()
    assert path.read_text() == text and [one for one, _ in check(store.folder).damaged] == [path]
    quarantine(store.folder)
    assert store.drops() == () and check(store.folder).sound


def test_a_file_with_fewer_rows_of_a_part_counts_for_it() -> None:
    a, b, c = "part-a", "part-b", "part-c"
    files = {"whole": ((a, 5), (b, 2), (c, 1)), "less": ((a, 3), (b, 2)), "none": ((a, 0),)}
    assert shares(files) == {"whole": ((5, 2), (7, 1)), "less": (), "none": ((0, 0),)}
    same = {"z": ((a, 5), (b, 2)), "y": ((a, 3), (b, 2))}
    assert shares(same) == {"z": (), "y": ((0, 5),)}
