"""What the writer of W&B's runs reads of the store: each trial's rows once, and none in memory that nobody asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis.factory import curves, publish, trial
from vmi.mirror.stored_rows import StoredRows
from vmi.results.compaction import compact
from vmi.results.store import Store
from vmi.spec.trial import Row

STEPS = [report["step"] for report in curves(trial())]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "lambda").mkdir()
    return Store(tmp_path, "lambda")


def commit(store: Store, *seeds: int) -> list[str]:
    """A pack's trials as one part of each table; their ids."""
    rows = [trial(seed=seed) for seed in seeds]
    folder = Path(str(store.folder))
    publish(folder, "curves", [report for row in rows for report in curves(row)])
    publish(folder, "trials", rows)
    return [row["trial_id"] for row in rows]


def compacted(store: Store) -> None:
    for table in ("trials", "curves"):
        assert compact(store.folder_of(table), table, store.files).after == 1


def are_whole(ids: list[str], taken: tuple[list[Row], list[Row]]) -> bool:
    """Whether these are each trial's row, and each of its reports, once."""
    rows, reports = taken
    steps = {i: [report["step"] for report in reports if report["trial_id"] == i] for i in ids}
    return [row["trial_id"] for row in rows] == ids and steps == dict.fromkeys(ids, STEPS)


def is_empty(rows: StoredRows) -> bool:
    return not rows._trials and not rows._curves


def test_what_was_taken_is_not_read_into_memory_again_by_a_compaction(store: Store) -> None:
    rows = StoredRows(store)
    for seed in range(3):
        ids = commit(store, 10 * seed, 10 * seed + 1)
        assert are_whole(ids, rows.take(ids)) and is_empty(rows)
    compacted(store)
    later = commit(store, 90)
    assert are_whole(later, rows.take(later)) and is_empty(rows)
    compacted(store)
    assert rows.take([]) == ([], []) and is_empty(rows)


def test_what_was_there_before_anybody_asked_is_not_kept_however_often_it_is_compacted(store: Store) -> None:
    old = commit(store, 1, 2) + commit(store, 3)
    compacted(store)
    rows, first = StoredRows(store), commit(store, 4)
    assert are_whole(first, rows.take(first)) and is_empty(rows)
    compacted(store)
    later = commit(store, 5)
    assert are_whole(later, rows.take(later)) and is_empty(rows)
    assert are_whole(old, rows.take(old)) and is_empty(rows), "it is read again where it is asked for"


def test_rows_that_wait_while_a_compaction_replaces_their_part_come_once(store: Store) -> None:
    rows, first = StoredRows(store), commit(store, 0)
    rows.take(first)
    waiting, asked = commit(store, 1, 2), commit(store, 3)
    assert are_whole(asked, rows.take(asked)) and set(rows._trials) == set(waiting)
    unread = commit(store, 4)
    compacted(store)
    rows.take([])
    assert set(rows._trials) == set(rows._curves) == {*waiting, *unread}
    assert are_whole(waiting, rows.take(waiting))
    assert are_whole(unread, rows.take(unread)) and is_empty(rows)


def test_a_late_row_of_a_trial_that_was_taken_is_not_kept(store: Store) -> None:
    rows, ids = StoredRows(store), commit(store, 0)
    rows.take(ids)
    again = trial(seed=0) | {"attempt": 2}  # of a worker that was given up and came back
    publish(Path(str(store.folder)), "curves", curves(again))
    publish(Path(str(store.folder)), "trials", [again])
    later = commit(store, 1)
    assert are_whole(later, rows.take(later)) and is_empty(rows)
