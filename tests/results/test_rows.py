"""Of several rows of a trial the same one counts for the store, for the analysis and for the writer of W&B's runs."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from analysis.data.study_results import open_study
from tests.analysis.factory import publish, store, trial
from vmi.mirror.stored_rows import StoredRows
from vmi.results.rows import earlier_attempts, first_attempts, preference
from vmi.results.store import Store
from vmi.spec.trial import OUTCOMES, RETRIABLE

EARLY, LATE = (datetime(2026, 3, 1, 12, 0, second, tzinfo=UTC) for second in (1, 2))

# What the row that counts says, and what the other one does.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "completed before pruned": ({"attempt": 3}, {"outcome": "pruned", "attempt": 1}),
    "pruned before stopped": ({"outcome": "pruned", "attempt": 2}, {"outcome": "stopped", "attempt": 1}),
    "the newest of stopped and failed": ({"outcome": "failed", "attempt": 2}, {"outcome": "stopped", "attempt": 1}),
    "the newest of failed and stopped": ({"outcome": "stopped", "attempt": 2}, {"outcome": "failed", "attempt": 1}),
    "pruned before failed": ({"outcome": "pruned", "attempt": 2}, {"outcome": "failed", "attempt": 1}),
    "the newest of failed attempts": (
        {"outcome": "failed", "attempt": 10, "finished_at": LATE},
        {"outcome": "failed", "attempt": 9, "finished_at": EARLY},
    ),
    "a failed attempt before none": ({"outcome": "failed", "attempt": 5}, {"outcome": "failed", "attempt": None}),
    "a known outcome before another": ({"outcome": "failed"}, {"outcome": "vanished"}),
    "the first attempt": ({"attempt": 9, "finished_at": LATE}, {"attempt": 10, "finished_at": EARLY}),
    "an attempt before none": ({"attempt": 5}, {"attempt": None}),
    "what was finished first": ({"finished_at": EARLY, "pack_id": "b"}, {"finished_at": LATE, "pack_id": "a"}),
    "a time before none": ({"finished_at": LATE}, {"finished_at": None}),
    "the pack's id": ({"pack_id": "a"}, {"pack_id": "b"}),
    "a pack's id before none": ({"pack_id": "b"}, {"pack_id": None}),
}


@pytest.mark.parametrize("case", PAIRS)
@pytest.mark.parametrize("first", [0, 1])
def test_all_readers_take_the_same_row(tmp_path: Path, case: str, first: int) -> None:
    row = trial()
    counts, other = (row | told | {"device": device} for told, device in zip(PAIRS[case], ("cpu", "cuda"), strict=True))
    folder = store(tmp_path, [])
    study = Store(folder.parent, folder.name)
    following = StoredRows(study)
    following.take([])
    for one in (counts, other)[:: -1 if first else 1]:
        publish(folder, "trials", [one])
    assert study.finished()[row["trial_id"]]["device"] == "cpu"
    results = open_study(folder)
    assert [found["device"] for found in results.trials] == ["cpu"]
    earlier = results.earlier.get(row["trial_id"], ())
    assert results.duplicates + len(earlier) == 1 and all(found["outcome"] in RETRIABLE for found in earlier)
    (followed,), _ = following.take([row["trial_id"]])
    assert followed["device"] == "cpu"


def test_the_failed_attempts_before_the_row_that_counts_are_told_in_their_order() -> None:
    attempts = {
        "retried": [("failed", 4), ("failed", 1), ("completed", 7), ("failed", 1)],
        "failing": [("failed", 2), ("failed", 9)],
        "doubled": [("completed", 3), ("completed", 5), ("failed", 6)],  # what came later was no cause to try again
        "stopped": [("pruned", 2), ("failed", 1)],
        "once": [("failed", 3)],
    }
    head = {"finished_at": EARLY, "pack_id": "p"}
    rows = [{"trial_id": i, "outcome": o, "attempt": a, **head} for i, told in attempts.items() for o, a in told]
    table = pa.Table.from_pylist(rows)
    found = earlier_attempts(table, first_attempts(table).to_pylist())
    told = {trial_id: [row["attempt"] for row in earlier] for trial_id, earlier in found.items()}
    assert told == {"retried": [1, 4], "failing": [2], "stopped": [1]}


def test_a_table_s_rows_come_by_trial_and_of_equal_ones_the_first() -> None:
    whole = list(itertools.product("ba", OUTCOMES[::-1], (2, 1, 1), (LATE, EARLY), ("y", "x")))
    rows = [
        {"trial_id": i, "outcome": o, "attempt": a, "finished_at": at, "pack_id": p, "place": place}
        for place, (i, o, a, at, p) in enumerate(whole)
    ]
    found = first_attempts(pa.Table.from_pylist(rows)).to_pylist()
    assert [row["trial_id"] for row in found] == ["a", "b"]
    for row in found:
        assert (row["outcome"], row["attempt"], row["finished_at"], row["pack_id"]) == ("completed", 1, EARLY, "x")
        alike = [r for r in rows if r["trial_id"] == row["trial_id"] and preference(r) == preference(row)]
        assert len(alike) == 2 and alike[0] == row
    assert first_attempts(pa.Table.from_pylist(rows).slice(0, 0)).num_rows == 0
