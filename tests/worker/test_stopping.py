"""A worker heeds requests to stop: who is asked leaves at the next look, with a row; nobody else notices anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.packs import varied
from support.worker_runs import rows, same_rows, task_of

from vmi.in_flight import steering
from vmi.in_flight.steering import put_stop, stop_request
from vmi.results.store import Store
from vmi.spec.trial import Trial
from vmi.worker import session
from vmi.worker.messages import Task, Update
from vmi.worker.work import work

STEPS = 20


@pytest.fixture(autouse=True)
def at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "LOOK_SECONDS", 0.0)


def ask(root: Path, trials: Sequence[Trial]) -> None:
    ids = ", ".join(f"'{trial.trial_id}'" for trial in trials)
    put_stop(Store(root, "s"), stop_request(f"trial_id in ({ids})", datetime.now(UTC)))


def row(root: Path, trial: Trial) -> dict[str, Any]:
    return rows(root, "trials")[(trial.trial_id, None)]


def steps(root: Path, trial: Trial) -> list[int]:
    """The reports of a trial's curve."""
    return [step for trial_id, step in rows(root, "curves") if trial_id == trial.trial_id]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trials that nobody stops, two at a time."""
    root = tmp_path_factory.mktemp("whole")
    list(work(task_of(root, varied(4, steps=STEPS), places=2)))
    return root


def stopping(task: Task, updates: int, trials: Sequence[Trial]) -> list[Update]:
    """Work on a task, some of whose trials are asked to stop once it has yielded so often."""
    working = work(task)
    before = [next(working) for _ in range(updates)]
    ask(Path(task.root), trials)
    return [*before, *working]


def test_who_is_trained_leaves_with_what_it_has_and_its_place_goes_to_who_waits(tmp_path: Path, whole: Path) -> None:
    trials = varied(4, steps=STEPS)
    last = stopping(task_of(tmp_path, trials, places=2), 4, trials[:1])[-1]
    assert [ended.outcome for ended in last.ended] == ["stopped", "completed", "completed", "completed"]
    stopped = row(tmp_path, trials[0])
    assert 0 < stopped["step"] < STEPS and stopped["reason"].startswith("stopped by ")
    assert stopped["accuracy_majority"] is not None and stopped["nmi"] is not None
    curve = steps(tmp_path, trials[0])
    assert curve and max(curve) <= stopped["step"]
    assert curve == [step for step in steps(whole, trials[0]) if step <= stopped["step"]]
    same_rows(tmp_path, whole, [trials[0].trial_id])


def test_who_waits_is_not_begun(tmp_path: Path, whole: Path) -> None:
    trials = varied(4, steps=STEPS)
    updates = stopping(task_of(tmp_path, trials, places=2), 2, trials[2:3])
    told = next(n for n, update in enumerate(updates) if trials[2].trial_id in update.stored)
    assert updates[told].step < STEPS / 2, "its row is there long before its turn would come"
    stopped = row(tmp_path, trials[2])
    assert (stopped["outcome"], stopped["step"], stopped["accuracy_majority"]) == ("stopped", 0, None)
    assert steps(tmp_path, trials[2]) == []
    same_rows(tmp_path, whole, [trials[2].trial_id])


def test_who_is_parked_leaves_with_its_curve(tmp_path: Path, whole: Path) -> None:
    trials = varied(4, steps=STEPS)
    working = work(task_of(tmp_path, trials))
    for _ in range(5):
        next(working)
    working.close()
    resumed = work(task_of(tmp_path, trials, exhausted=True))  # half of them at a time
    begun = [next(resumed) for _ in range(4)]
    assert begun[-1].places == 2
    ask(tmp_path, trials[3:])
    last = [*resumed][-1]
    assert [ended.outcome for ended in last.ended] == ["completed"] * 3 + ["stopped"]
    stopped = row(tmp_path, trials[3])
    assert stopped["step"] > 0 and stopped["accuracy_majority"] is None
    assert steps(tmp_path, trials[3]) == [step for step in steps(whole, trials[3]) if step <= stopped["step"]] != []
    same_rows(tmp_path, whole, [trials[3].trial_id])


def test_who_is_evaluated_has_been_trained_and_completes(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "EVALUATION_SECONDS", 0.0)  # one at a time
    trials, working = varied(4, steps=STEPS), work(task_of(tmp_path, varied(4, steps=STEPS)))
    while not next(working).stored:
        pass
    ask(tmp_path, trials)
    assert [ended.outcome for ended in [*working][-1].ended] == ["completed"] * 4
    same_rows(tmp_path, whole)


@pytest.mark.parametrize("updates", [1, 4, 7])
def test_a_worker_that_dies_right_after_the_request_is_followed_by_one_that_heeds_it(
    tmp_path: Path, whole: Path, updates: int
) -> None:
    trials, gone = varied(4, steps=STEPS), varied(4, steps=STEPS)[1:3]
    working = work(task_of(tmp_path, trials, places=2))
    for _ in range(updates):
        next(working)
    ask(tmp_path, gone)
    working.close()
    last = list(work(task_of(tmp_path, trials, places=2)))[-1]
    assert [ended.outcome for ended in last.ended] == ["completed", "stopped", "stopped", "completed"]
    same_rows(tmp_path, whole, [trial.trial_id for trial in gone])


def test_one_that_dies_after_their_rows_are_durable_stores_none_twice(tmp_path: Path, whole: Path) -> None:
    trials = varied(4, steps=STEPS)
    working = work(task_of(tmp_path, trials, places=2))
    next(working)
    ask(tmp_path, trials[:1])
    while not next(working).stored:
        pass
    before = rows(tmp_path, "trials")
    working.close()
    list(work(task_of(tmp_path, trials, places=2)))
    assert before.items() <= rows(tmp_path, "trials").items()
    same_rows(tmp_path, whole, [trials[0].trial_id])


def test_all_of_a_task_and_a_second_request_that_says_the_same(tmp_path: Path) -> None:
    trials = varied(4, steps=STEPS)
    working = work(task_of(tmp_path, trials, places=2))
    next(working)
    ask(tmp_path, trials[:3])
    ask(tmp_path, trials)
    last = [*working][-1]
    assert {ended.outcome for ended in last.ended} == {"stopped"} and len(rows(tmp_path, "trials")) == 4
    assert not list(tmp_path.rglob("*.pt"))
