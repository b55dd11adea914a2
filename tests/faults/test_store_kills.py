"""S1, S2, S4: a store that is killed, torn or refused by its disk at every single operation of everything it writes.

After each case: what was acknowledged is readable, bit for bit; nothing is there twice; nothing is there that nobody
committed; opening needs no hand; recovering twice is recovering once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import store_lab
from support.store_lab import Content, Seam, content, fresh, killed, record, tree, trial, wanted

from vmi.results.compaction import compact, finish
from vmi.results.parts import read_part
from vmi.results.quarantine import quarantine
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.spec.errors import StoreError
from vmi.storage import folder
from vmi.storage.durable import Files

BEFORE, NEXT = range(3), 3


def compacted(store: Store) -> None:
    for table in TABLES:
        compact(store.folder_of(table), table, store.files)


def finished(store: Store) -> None:
    for table in TABLES:
        finish(store.folder_of(table), table, store.files)


def interrupted(store: Store) -> None:
    """Compacted, with every old file still there."""
    kept = {path: path.read_bytes() for path in store.folder.rglob("part-*")}
    compacted(store)
    for path, data in kept.items():
        path.write_bytes(data)


def damaged(store: Store) -> None:
    path = sorted(store.folder_of("curves").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-7])


class Story(NamedTuple):
    """What is there before (`prepare`), what is done (`act`), and what makes it whole after it was cut short."""

    prepare: Callable[[Store], object]
    act: Callable[[Store], list[str]]
    recover: Callable[[Store], object]


def nothing(store: Store) -> None:
    return


def three(store: Store, then: Callable[[Store], object] = nothing) -> None:
    for seed in BEFORE:
        record(store, [seed])
    store.write_study({"version": 1})
    then(store)


def resumed(store: Store) -> None:
    """What a resume does: train what is missing, as a new attempt, once an interrupted compaction is finished."""
    finished(store)
    if trial(NEXT).trial_id not in store.finished():
        record(store, [NEXT], store.next_attempt())


def quiet(action: Callable[[Store], object]) -> Callable[[Store], list[str]]:
    return lambda store: (action(store) and []) or []


STORIES: dict[str, Story] = {
    "first commit": Story(nothing, lambda store: record(store, [NEXT]), resumed),
    "append": Story(three, lambda store: record(store, [NEXT], 2), resumed),
    "compaction": Story(three, quiet(compacted), compacted),
    "recovery of a compaction": Story(lambda s: three(s, interrupted), quiet(finished), finished),
    "study.json": Story(three, quiet(lambda store: store.write_study({"version": 2})), finished),
    "quarantine": Story(
        lambda s: three(s, damaged), quiet(lambda s: quarantine(s.folder, s.files)), lambda s: quarantine(s.folder)
    ),
}


def of_any_attempt(kept: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a trial trained again must have in common with itself: all but the number of the attempt."""
    row, curve, pictures = kept
    return *([pair for pair in some if pair[0] != "attempt"] for some in (row, *curve)), pictures


class Cases:
    """A story, prepared once; each case is a copy of it."""

    def __init__(self, name: str, tmp_path: Path) -> None:
        self.name, self.story, self.tmp = name, STORIES[name], tmp_path
        prepared = Store(tmp_path / "prepared", "s")
        self.story.prepare(prepared)
        prepared.folder.mkdir(parents=True, exist_ok=True)
        self.expected = wanted([*BEFORE, NEXT], tmp_path / "wanted")
        self.before = content(prepared) if name not in ("first commit", "quarantine") else {}

    def copy(self) -> Store:
        """As a new process finds it: a folder that is made anew may have the inode of the last one."""
        folder._durable.clear()
        return fresh(self.tmp / "prepared", self.tmp / "case")

    def check(self, store: Store, acknowledged: list[str]) -> Content:
        """The invariants, without a hand; what is there."""
        if self.name == "quarantine":
            return self.check_damaged(store)
        found = content(store)
        assert set(self.before) | set(acknowledged) <= set(found) <= {trial(s).trial_id for s in (*BEFORE, NEXT)}
        assert all(found[trial_id] == row for trial_id, row in self.before.items())
        if NEXT_ID in found:
            assert of_any_attempt(found[NEXT_ID]) == of_any_attempt(self.expected[NEXT_ID])
        if self.before:
            assert store.read_study() in ([{"version": 1}, {"version": 2}] if self.name == "study.json" else [V1])
        return found

    def check_damaged(self, store: Store) -> Content:
        """While one part is damaged or in quarantine: the others' trials are as they were, at most one is withdrawn."""
        rows = store.read("trials").checked().to_pylist()
        ids = {row["trial_id"] for row in rows}
        assert ids <= {trial(s).trial_id for s in BEFORE} and len(ids) >= 2
        torn = [path for path in store.folder.rglob("part-*") if path.parent.name == "curves"]
        assert 3 <= len({path.name for path in torn}) <= 4
        return {}

    def recover(self, store: Store) -> None:
        """Recover, and once more: twice is once."""
        self.story.recover(store)
        once = tree(store.folder)
        self.story.recover(store)
        assert tree(store.folder) == once
        if self.name == "quarantine":
            assert len(content(store)) == 2 and len(list((store.folder / "quarantine").rglob("part-*"))) == 2
        else:
            found = self.check(store, [])
            assert (NEXT_ID in found) == (self.story.recover is resumed)


NEXT_ID, V1 = trial(NEXT).trial_id, {"version": 1}


def kills(name: str, tmp_path: Path, step: int = 1) -> int:
    """Kill a story before and after each operation; how many kills there were."""
    cases, count = Cases(name, tmp_path), 0
    for after in (False, True):
        for number in range(0, 400, step):
            store = cases.copy()

            def act(files: Files, acknowledge: Callable[[str], None], store: Store = store) -> None:
                for trial_id in cases.story.act(Store(store.root, "s", files)):
                    acknowledge(trial_id)

            acknowledged, was_killed = killed(act, number, after)
            cases.check(store, acknowledged)
            cases.recover(store)
            if not was_killed:
                break
            count += 1
        assert not was_killed
    print(f"S1 {name}: {count} kills")
    return count


LEAST = {"first commit": 50, "append": 40, "compaction": 60, "study.json": 10, "quarantine": 30}


@pytest.mark.faults
@pytest.mark.parametrize("name", STORIES)
def test_a_kill_before_or_after_any_operation_loses_nothing_doubles_nothing_and_needs_no_hand(
    name: str, tmp_path: Path
) -> None:
    assert kills(name, tmp_path) >= LEAST.get(name, 20)


@pytest.mark.parametrize("name", ["compaction", "recovery of a compaction", "quarantine"])
def test_a_kill_at_some_operations_of_what_repairs_a_store_needs_no_hand(name: str, tmp_path: Path) -> None:
    assert kills(name, tmp_path, step=11) >= 4


@pytest.mark.faults
@pytest.mark.parametrize("table", TABLES)
def test_a_torn_write_at_any_byte_of_the_last_part_is_opened_or_named(table: str, tmp_path: Path) -> None:
    """S2: under a temporary name it is ignored, under its final name it is named and kept; the others are whole."""
    store = Store(tmp_path, "s")
    three(store)
    before = content(store)
    there = set(store.folder_of(table).iterdir())
    record(store, [NEXT], 2)
    (last,) = set(store.folder_of(table).iterdir()) - there
    whole, cases = last.read_bytes(), 0
    for cut in range(len(whole)):
        last.write_bytes(whole[:cut])
        assert isinstance(read_part(last), str), cut
        cases += 1
        if cut % 211:
            continue
        found = store.read(table)
        assert [d.path for d in found.damaged] == [last], cut
        assert set(found.table["trial_id"].to_pylist()) == set(before), cut
    with pytest.raises(StoreError, match=last.name):
        content(store)
    assert last.read_bytes() == whole[:-1]
    # What a kill in mid-write leaves: the torn bytes have a temporary name, and trials are named last.
    last.rename(last.with_name(".tmp-torn"))
    if table == "trials":
        assert content(store) == before
    print(f"S2 {table}: {cases} lengths")
    assert cases > 1000


class Failing:
    """Fails at the n-th operation, before or after it was done, and keeps what was done since."""

    def __init__(self, number: int, error: int, after: bool) -> None:
        self.left, self.error, self.hit = number, error, ""
        self.given: tuple[Any, ...] = ()
        self.since: list[tuple[str, tuple[Any, ...]]] = []
        self.files = Seam(self.noted, lambda name, given, result: self.strike(name, given) if after else None)
        self.after = after

    def noted(self, name: str, given: tuple[Any, ...]) -> None:
        if self.hit:
            self.since.append((name, given))
        elif not self.after:
            self.strike(name, given)

    def strike(self, name: str, given: tuple[Any, ...]) -> None:
        if self.hit:
            return
        self.left -= 1
        if self.left == -1:
            self.hit, self.given = name, given
            raise OSError(self.error, os.strerror(self.error))


def failures(name: str, tmp_path: Path, errors: Sequence[int], after: bool) -> Iterator[str]:
    """Fail each operation of a story in turn, with these errors in turn; the operations that were hit."""
    cases = Cases(name, tmp_path)
    for number in range(400):
        error = errors[number % len(errors)]
        store, fault = cases.copy(), Failing(number, error, after)
        acknowledged: list[str] = []
        try:
            acknowledged = cases.story.act(Store(store.root, "s", fault.files))
        except OSError as raised:
            assert raised.errno == error and str(store.root) in str(raised.filename), (fault.hit, raised)
        else:
            # Only what is done after a file is durable under its name may fail unsaid.
            assert not fault.hit or fault.hit in ("unlink",), fault.hit
        if fault.hit == "sync":  # a failed fsync is not tried again, and its file gets no name
            assert ("sync", fault.given) not in fault.since
            assert not {"link", "replace"} & {what for what, _ in fault.since}
        if fault.hit == "sync_folder":
            gone = [given[0] for what, given in fault.since if what == "unlink"]
            assert name != "compaction" or not [path for path in gone if path.name.startswith("part-")]
        cases.check(store, acknowledged)
        cases.recover(store)
        if not fault.hit:
            return
        yield fault.hit


ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
each_end = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
each_story = pytest.mark.parametrize("name", ["append", "compaction", "recovery of a compaction", "quarantine"])


def failing_disk(name: str, errors: Sequence[int], after: bool, tmp_path: Path) -> None:
    hit = list(failures(name, tmp_path, errors, after))
    said = "/".join(errno.errorcode[error] for error in errors)
    print(f"S4 {name}, {said} {'after' if after else 'before'}: {len(hit)} operations")
    assert {"sync", "close", "sync_folder", "unlink", "write"} <= set(hit)


@pytest.mark.faults
@each_end
@each_story
def test_a_disk_that_fails_at_any_operation_acknowledges_nothing_false_and_names_the_file(
    name: str, after: bool, tmp_path: Path
) -> None:
    failing_disk(name, ERRORS, after, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@each_end
@each_story
def test_a_disk_that_fails_in_any_way_at_any_operation_acknowledges_nothing_false(
    name: str, error: int, after: bool, tmp_path: Path
) -> None:
    failing_disk(name, (error,), after, tmp_path)


class Short(Files):
    """A disk that takes a few bytes at a time."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, data[:701])


class Full(Files):
    """A disk that takes no bytes and says nothing."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return 0


def test_short_writes_are_continued_and_a_disk_that_takes_nothing_is_full(tmp_path: Path) -> None:
    store = Store(tmp_path, "s", Short())
    three(store, compacted)
    assert content(store) == content(store_lab.hooked(store)) and store_lab.parts(store) == dict.fromkeys(TABLES, 1)
    with pytest.raises(OSError, match="No space left"):
        record(store_lab.hooked(store, Full()), [NEXT])
    assert len(content(store)) == 3
