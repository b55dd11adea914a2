"""Deaths of workers: which are the pack's own, when it is given up, and what a scheduler that gives up costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runners.test_ledger import completed, ledger_of, study

from vmi.runners.dispatch import Handing, Worker
from vmi.runners.ledger import Ledger
from vmi.runners.retries import Death, Retries, death_of
from vmi.spec.trial import PackSpec
from vmi.worker.messages import Task, Update

PREEMPTED = "The actor died because its node has died. Node Id: 0b1\n\tthe actor's node was preempted: drained"
UNEXPECTED = "The actor died unexpectedly. Some common causes: (1) the process was killed by the OOM killer"
KILLED = "1 worker(s) were killed due to the node running low on memory. (Actor(2): worker ID=w2)"


def made(root: Path) -> tuple[Ledger, Handing, list[Update]]:
    shown: list[Update] = []

    def task_of(spec: PackSpec) -> Task:
        given = {"study": "s", "layouts": ("c10*",), "attempt": 1, "device": "cpu"}
        return Task(pack=spec, root=str(root), data_folder=str(root), places=ledger.places_of(spec), **given)

    ledger = ledger_of(study())
    return ledger, Handing(ledger, task_of, shown.append), shown


def given(handing: Handing, trial_id: str) -> Task:
    task = handing.next(trial_id)
    assert task is not None
    return Task.from_json(task["task"])


@pytest.mark.parametrize(
    ("said", "preempted", "death"),
    [
        (UNEXPECTED, False, Death.WORKER),
        ("The actor died unexpectedly before finishing this task.", True, Death.NODE),
        (PREEMPTED, False, Death.NODE),
        (KILLED, False, Death.MEMORY),
        ("no reason was kept", False, Death.WORKER),
    ],
)
def test_what_is_said_of_a_death_tells_what_it_was(said: str, preempted: bool, death: Death) -> None:
    assert death_of(said, preempted) is death


def test_a_pack_is_given_up_after_two_deaths_without_progress() -> None:
    retries = Retries()
    assert [retries.again("p", Death.WORKER) for _ in range(2)] == [True, False]
    assert retries.again("q", Death.WORKER), "another pack has deaths of its own"


def test_deaths_with_progress_in_between_are_not_counted() -> None:
    retries = Retries()
    for step in (10, 20, 30, 40):
        retries.note("p", step)
        assert retries.again("p", Death.WORKER)
    assert retries.again("p", Death.WORKER)
    retries.note("p", 40)
    assert not retries.again("p", Death.WORKER)


def test_nodes_that_go_away_spend_no_retry() -> None:
    retries = Retries()
    assert all(retries.again("p", Death.NODE) for _ in range(100))
    assert retries.again("p", Death.WORKER)


def test_a_pack_whose_worker_died_is_the_next_to_be_handed_out_and_is_not_running_meanwhile(tmp_path: Path) -> None:
    ledger, handing, shown = made(tmp_path)
    first, second = given(handing, "a"), given(handing, "b")
    handing.died("a", Death.WORKER)
    assert set(ledger.running) == {second.pack.pack_id} and not ledger.outcomes.lost
    assert shown[-1].step == 0 and "restarts from its checkpoint: its worker died" in shown[-1].warning
    assert given(handing, "c").pack == first.pack
    handing.take("a", {"update": Update(first.pack.pack_id, 9, 9, tuple(map(completed, first.pack.trials))).to_json()})
    assert not ledger.outcomes.finished, "what a dead one says late is not heard"
    handing.died("c", Death.WORKER)
    assert set(ledger.outcomes.lost) == {trial.trial_id for trial in first.pack.trials}
    assert "2 times without progress" in next(iter(ledger.outcomes.lost.values()))


def test_a_worker_killed_for_its_memory_comes_back_with_less_and_so_do_later_packs(tmp_path: Path) -> None:
    ledger, handing, _ = made(tmp_path)
    first = given(handing, "a")
    assert not first.exhausted and first.places == 4
    handing.died("a", Death.MEMORY)
    again = given(handing, "b")
    assert again.exhausted and again.pack == first.pack
    handing.take("b", {"update": Update(first.pack.pack_id, 3, 9, places=2).to_json()})
    other = given(handing, "c")
    same = other.pack.trials[0].config.architecture == first.pack.trials[0].config.architecture
    assert other.places == (2 if same else 4) and not other.exhausted
    assert ledger.places_of(first.pack) == 2


def test_where_the_scheduler_gives_up_the_one_that_it_killed_is_told_from_the_others(tmp_path: Path) -> None:
    ledger, handing, _ = made(tmp_path)
    tasks = {trial_id: given(handing, trial_id) for trial_id in ("a", "b")}
    for trial_id, name in (("a", "w1"), ("b", "w2")):
        handing.take(trial_id, {"worker": json.dumps(Worker(name, "n", 7))})
    assert [worker.worker for worker in handing.workers()] == ["w1", "w2"]
    handing.abort(KILLED)
    assert not ledger.running and not ledger.outcomes.lost and handing.workers() == []
    back = {task.pack.pack_id: task.exhausted for task in (given(handing, "c"), given(handing, "d"))}
    assert back == {tasks["a"].pack.pack_id: False, tasks["b"].pack.pack_id: True}


def test_an_error_of_the_study_is_not_taken_for_one_of_the_scheduler(tmp_path: Path) -> None:
    _, handing, _ = made(tmp_path)
    given(handing, "a")
    with pytest.raises(ValueError):
        handing.take("a", {"update": "not JSON"})
    assert handing.broken


def test_a_pack_whose_worker_stops_as_it_was_asked_to_is_neither_lost_nor_handed_out_again(tmp_path: Path) -> None:
    ledger, handing, _ = made(tmp_path)
    first, second = given(handing, "a"), given(handing, "b")
    handing.halting = True
    assert handing.over
    handing.ended("a", {})
    handing.ended("b", {})
    assert set(ledger.running) == {first.pack.pack_id, second.pack.pack_id} and not ledger.outcomes.lost
    handing.halted(Update(first.pack.pack_id, 4, 8, saved=4))
    assert set(ledger.going_on.values()) == {0.5}
    one, *_ = first.pack.trials
    ledger.take(Update(first.pack.pack_id, 6, 8, saved=6, stored=(one.trial_id,)))
    left, size = ledger.going_on, len(first.pack.trials)
    assert len(left) == size - 1
    assert set(left.values()) == {(0.75 * size - 1) / (size - 1)}, "in the mean it is a full one"
    handing.halted(Update(second.pack.pack_id, 9, 9, tuple(map(completed, second.pack.trials))))
    assert set(ledger.outcomes.finished) == {trial.trial_id for trial in second.pack.trials}
