"""The worker of a retry: old failures do not count, and one that is cut short resumes to what it would have been."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.failures import REASON, store_failed
from support.packs import varied
from support.worker_runs import task_of

from vmi.cost.packing import pack_of
from vmi.results.store import Store
from vmi.spec.trial import Trial
from vmi.worker.messages import Task
from vmi.worker.takeover import packs_under_way, stored_of
from vmi.worker.work import work

STEPS = 20
COSTS = {"train_seconds", "pack_id", "pack_size", "attempt", "finished_at"}


def retry_of(root: Path, trials: list[Trial], attempt: int = 2) -> Task:
    made = task_of(root, trials, attempt=attempt)
    return replace(made, pack=pack_of(tuple(trials), {trial.trial_id: 1 for trial in trials}))


def told(root: Path) -> dict[str, dict[str, Any]]:
    """What counts of every trial, without what it cost."""
    rows = Store(root, "s").finished()
    return {i: {k: v for k, v in row.items() if k not in COSTS} for i, row in rows.items()}


def test_a_task_travels_with_what_it_retries(tmp_path: Path) -> None:
    task = retry_of(tmp_path, varied(2, steps=STEPS))
    assert Task.from_json(task.to_json()) == task


@pytest.mark.parametrize("updates", [0, 3, 6])
def test_a_retry_that_is_cut_short_resumes_and_ends_bitwise_as_a_first_attempt(tmp_path: Path, updates: int) -> None:
    trials = varied(2, steps=STEPS)
    list(work(task_of(tmp_path / "first", trials)))
    again = tmp_path / "again"
    store_failed(again, "s", trials)
    task = retry_of(again, trials)
    working = work(task)
    for _ in range(1 + updates):
        next(working)
    working.close()
    failed = {trial.trial_id: 1 for trial in trials}
    assert packs_under_way(Store(again, "s"), (), failed) == [task.pack]
    (begun, *_, last) = work(task)
    assert (begun.step > 0) == (updates > 0), "from its checkpoint"
    assert [ended.outcome for ended in last.ended] == ["completed"] * 2
    assert told(again) == told(tmp_path / "first")
    assert packs_under_way(Store(again, "s"), failed) == [], "they are finished"


def test_a_start_without_the_flag_clears_a_retry_away_and_its_trials_stay_failed(tmp_path: Path) -> None:
    trials = varied(2, steps=STEPS)
    store_failed(tmp_path, "s", trials)
    working, store = work(retry_of(tmp_path, trials)), Store(tmp_path, "s")
    next(working)
    working.close()
    assert packs_under_way(store, store.finished()) == [] and not list(Path(str(store.checkpoints)).iterdir())
    assert {row["reason"] for row in told(tmp_path).values()} == {REASON}


def test_only_the_failure_that_is_retried_does_not_count_as_stored(tmp_path: Path) -> None:
    trials = varied(3, steps=STEPS)
    store_failed(tmp_path, "s", trials)
    store_failed(tmp_path, "s", trials[1:2], attempt=2)
    list(work(task_of(tmp_path, trials[2:], attempt=2)))
    found = stored_of(retry_of(tmp_path, trials).pack, Store(tmp_path, "s"))
    assert {i: ended.outcome for i, ended in found.items()} == {
        trials[1].trial_id: "failed", trials[2].trial_id: "completed"
    }  # fmt: skip
