"""A trial is charged its share of the seconds of its pack's steps, and nothing of what lies between them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.judges import These
from support.packs import trial, varied
from support.worker_runs import task_of

from vmi.data import dataset
from vmi.driver.launch import launch
from vmi.driver.options import RunOptions
from vmi.in_flight.checkpoints import Checkpoints
from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.runners import local
from vmi.study.space import choice
from vmi.study.study import Study
from vmi.training import accuracy, train
from vmi.training.pack import Pack
from vmi.worker import session
from vmi.worker.messages import Task
from vmi.worker.work import work

PRUNING = {"pruner": "median", "metric": "accuracy_majority", "direction": "maximize", "history": []}
# What nobody is to be charged for takes so long here that it would be seen in every sum.
LONG = 1000.0


class Hand:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    def taking(self, action: Callable[..., Any], seconds: Callable[..., float]) -> Callable[..., Any]:
        """The action, which takes so many seconds by this clock, as its arguments say."""

        def timed(*given: Any, **named: Any) -> Any:
            self.at += seconds(*given)
            return action(*given, **named)

        return timed


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    """Every step of a pack takes a second for each of its members; all else takes LONG."""
    clock = Hand()
    monkeypatch.setattr(train, "run_steps", clock.taking(train.run_steps, lambda pack, _, count: count * pack.size))
    others = [(dataset, "load"), (session, "evaluate"), (train, "measure"), (train, "probability_histograms")]
    others += [(ParquetRecorder, "commit"), (Checkpoints, "write"), (Pack, "keep"), (Pack, "renewed")]
    for owner, name in others:
        monkeypatch.setattr(owner, name, clock.taking(getattr(owner, name), lambda *_: LONG))
    return clock


def handed(hand: Hand, task: Task, judge: These | None = None) -> Iterator[Any]:
    """The task's updates, each of which is taken LONG to hand over."""
    for update in work(task, judge, hand):
        hand.at += LONG
        yield update


def charges(root: Path) -> Mapping[str, float]:
    return {i: row["train_seconds"] for i, row in Store(root, "s").finished().items()}


def test_members_are_charged_their_share_of_the_steps_and_nothing_else(tmp_path: Path, hand: Hand) -> None:
    trials = varied(4, steps=20)
    list(handed(hand, task_of(tmp_path, trials)))
    assert charges(tmp_path) == pytest.approx({t.trial_id: 20.0 for t in trials})
    assert hand.at > 10 * LONG


def test_a_queue_a_judge_and_a_break_charge_each_for_the_steps_that_were_taken_with_it(
    tmp_path: Path, hand: Hand
) -> None:
    """A member that broke is trained until the report after, and one that was stopped until it was."""
    trials = [*varied(4, steps=20), trial(mi_weight=1e6, learning_rate=10.0, steps=20)]
    stopped, broken = trials[1].trial_id, trials[4].trial_id
    list(handed(hand, task_of(tmp_path, trials, places=2, pruning=PRUNING), These({stopped}, step=8)))
    found = dict(charges(tmp_path))
    until = found.pop(broken)
    assert until % 2 == 0 and 0 < Store(tmp_path, "s").finished()[broken]["step"] <= until < 20
    assert found == pytest.approx({t.trial_id: 8.0 if t.trial_id == stopped else 20.0 for t in trials[:4]})


def test_a_pack_that_goes_on_from_a_checkpoint_is_charged_what_a_whole_one_is(tmp_path: Path, hand: Hand) -> None:
    trials = varied(3, steps=20)
    running = handed(hand, task_of(tmp_path, trials, places=2))
    for _ in range(6):
        next(running)
    running.close()
    first, *_ = handed(hand, task_of(tmp_path, trials, places=2))
    assert first.step > 0
    assert charges(tmp_path) == pytest.approx({t.trial_id: 20.0 for t in trials})


def test_one_that_ran_out_of_memory_is_charged_for_its_steps_too(
    tmp_path: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of its last report, and those since; not the ones of the checkpoint that are taken again."""
    steps = train.run_steps

    def short(pack: Pack, *given: Any) -> None:
        steps(pack, *given)
        if pack.steps[0] == 8:
            raise MemoryError

    monkeypatch.setattr(train, "run_steps", short)
    (only,) = varied(1, steps=20)
    (ended,) = list(handed(hand, task_of(tmp_path, [only])))[-1].ended
    assert ended.reason == "out of memory at step 8" and charges(tmp_path) == {only.trial_id: 8.0}


def test_two_equal_packs_of_a_local_run_cost_alike_however_long_loading_takes(
    tmp_path: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process the first pack loads the data and the libraries: here that takes LONG, and the second is quick."""
    first = iter([LONG])
    loading = hand.taking(accuracy.load_libraries, lambda *_: next(first, 0.0))
    monkeypatch.setattr(accuracy, "load_libraries", loading)
    monkeypatch.setattr(local, "work", partial(work, clock=hand))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    fixed = {"steps": 10, "hidden": "24-12", "batch_size": 64}
    study = Study(name="s", fixed=fixed, space={"mi_weight": choice(0, 4)}, seeds=range(2))
    assert launch(study, RunOptions(results=tmp_path, local=True, pack_size=2), Console(file=io.StringIO())) == 0
    packs: dict[str, float] = {}
    for row in Store(tmp_path, "s").finished().values():
        packs[row["pack_id"]] = packs.get(row["pack_id"], 0.0) + row["train_seconds"]
    assert next(first, None) is None and hand.at > LONG
    assert list(packs.values()) == pytest.approx([20.0, 20.0])
