"""A task with more trials than places, and with a judge: every trial ends with a row, cut short or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.judges import BelowMean, Never, These
from support.packs import trial, varied

from vmi.results.store import Store
from vmi.spec.trial import PackSpec, Trial
from vmi.training import checkpoint
from vmi.worker import session
from vmi.worker.accounting import Shares
from vmi.worker.judge import Remembering, judge_of
from vmi.worker.messages import Task, Update
from vmi.worker.work import work

PRUNING = {"pruner": "median", "metric": "accuracy_majority", "direction": "maximize", "history": [[[4, 0.5]]]}
COSTS = {"train_seconds", "pack_id", "pack_size", "attempt", "finished_at", "study"}
STEPS = 23  # the last report is not as far from the one before as the others: members drift apart


def members(count: int = 6) -> list[Trial]:
    """Different ones, the second of which breaks."""
    trials = varied(count, steps=STEPS)
    return [trials[0], trial(mi_weight=1e6, learning_rate=10.0, steps=STEPS), *trials[2:]]


def task_of(root: Path, trials: Sequence[Trial], **changes: Any) -> Task:
    given = {"study": "s", "layouts": ("n16+c10*",), "attempt": 1, "device": "cpu"}
    changes = {"checkpoint_seconds": 0.0, **changes}
    return Task(pack=PackSpec("abc", tuple(trials)), root=str(root), data_folder=str(root), **{**given, **changes})


def rows(root: Path, table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Every row of a table without what it cost, by trial and step; each is there once."""
    found = Store(root, "s").read(table).checked().to_pylist()
    keys = [(row["trial_id"], row.get("step") if table == "curves" else None) for row in found]
    assert len(set(keys)) == len(keys), "a row is there twice"
    return {key: {k: v for k, v in r.items() if k not in COSTS} for key, r in zip(keys, found, strict=True)}


def same_rows(one: Path, other: Path) -> None:
    for table in ("trials", "curves", "arrays"):
        assert rows(one, table) == rows(other, table), table


def cut(task: Task, judge: Never | None, updates: int) -> None:
    """Work on the task until it has yielded so often."""
    running = work(task, judge)
    for _ in range(updates):
        next(running)
    running.close()


def kept_of(task: Task) -> Path:
    """Where what the task's pack needs to go on lies."""
    return Path(task.root) / "s" / "checkpoints" / "abc"


def test_a_queue_gives_the_rows_of_a_pack_of_all(tmp_path: Path) -> None:
    trials = members()
    updates = list(work(task_of(tmp_path / "queue", trials, places=2)))
    list(work(task_of(tmp_path / "all", trials)))
    same_rows(tmp_path / "queue", tmp_path / "all")
    assert [u.step for u in updates] == sorted(u.step for u in updates) and updates[-1].step == STEPS
    assert [bool(u.ended) for u in updates] == [False] * (len(updates) - 1) + [True]
    assert [(e.trial_id, e.outcome) for e in updates[-1].ended] == [
        (t.trial_id, "failed" if k == 1 else "completed") for k, t in enumerate(trials)
    ]
    assert {row["pack_size"] for row in Store(tmp_path / "queue", "s").finished().values()} == {2}


def test_a_stopped_trial_has_a_row_that_says_where_and_by_whom(tmp_path: Path) -> None:
    trials = members(4)
    judge = These({trials[2].trial_id}, step=5)
    ended = list(work(task_of(tmp_path, trials, places=2, pruning=PRUNING), judge))[-1].ended
    assert [e.outcome for e in ended] == ["completed", "failed", "pruned", "completed"]
    row = Store(tmp_path, "s").finished()[trials[2].trial_id]
    assert (row["outcome"], row["step"]) == ("pruned", 10)
    assert row["reason"] == ended[2].reason == "stopped at step 10 by pruner median"
    told = {(i, step): value for i, step, value in judge.told}
    assert row["accuracy_majority"] == told[trials[2].trial_id, 10] == ended[2].metrics["accuracy_majority"]
    curve = sorted(step for i, step in rows(tmp_path, "curves") if i == trials[2].trial_id)
    assert curve == [2, 4, 6, 8, 10]
    assert (trials[2].trial_id, None) not in rows(tmp_path, "arrays")


def test_a_judge_that_stops_everything_leaves_a_row_of_each(tmp_path: Path) -> None:
    trials = varied(5, steps=STEPS)
    ended = list(work(task_of(tmp_path, trials, places=2, pruning=PRUNING), These()))[-1].ended
    assert {e.outcome for e in ended} == {"pruned"} and len(ended) == 5
    assert len(Store(tmp_path, "s").finished()) == 5


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("places", [3, 6])
def test_cut_short_and_resumed_gives_the_rows_of_the_uninterrupted_run(
    tmp_path: Path, share: float, places: int
) -> None:
    """The judge compares trials with all that it was told, so a resumed one must have been told the same."""
    trials, first, second = members(), BelowMean(), BelowMean()
    updates = len(list(work(task_of(tmp_path / "whole", trials, places=places, pruning=PRUNING), first)))
    task = task_of(tmp_path / "cut", trials, places=places, pruning=PRUNING)
    cut(task, BelowMean(), max(3, round(share * (updates - 2))))
    resumed = list(work(task, second))
    assert resumed[0].step > 0 and resumed[0].warning == ""
    assert repr(second.told) == repr(first.told), "in which a member that broke has NaN, unequal to itself"
    same_rows(tmp_path / "cut", tmp_path / "whole")
    assert [e.outcome for e in resumed[-1].ended].count("pruned") > 0 and len(resumed[-1].ended) == len(trials)


def test_a_crash_between_a_commit_and_its_checkpoint_doubles_nothing(tmp_path: Path) -> None:
    trials = members()
    list(work(task_of(tmp_path / "whole", trials, places=2, pruning=PRUNING), BelowMean()))
    task = task_of(tmp_path / "cut", trials, places=2, pruning=PRUNING)
    running = work(task, BelowMean())
    for _ in range(7):
        next(running)
    shutil.copytree(kept_of(task), tmp_path / "older")
    while len(Store(tmp_path / "cut", "s").finished()) < 3:
        next(running)
    running.close()
    shutil.rmtree(kept_of(task))
    shutil.copytree(tmp_path / "older", kept_of(task))
    judge = BelowMean()
    ended = list(work(task, judge))[-1].ended
    same_rows(tmp_path / "cut", tmp_path / "whole")
    assert [e.trial_id for e in ended] == [t.trial_id for t in trials]


@pytest.mark.parametrize("finished", [False, True])
def test_without_a_checkpoint_only_what_is_not_stored_is_trained(tmp_path: Path, finished: bool) -> None:
    trials = members(4)
    list(work(task_of(tmp_path / "whole", trials, places=2)))
    task = task_of(tmp_path / "cut", trials, places=2)
    running = work(task)
    while len(Store(tmp_path / "cut", "s").finished()) < (4 if finished else 2):
        if next(running).ended:
            break
    running.close()
    for path in kept_of(task).glob("*.pt"):
        path.unlink()
    updates = list(work(task))
    assert len(updates[-1].ended) == 4 and (len(updates) == 1) == finished
    same_rows(tmp_path / "cut", tmp_path / "whole")


def test_kept_models_are_those_of_every_trial_that_completed(tmp_path: Path) -> None:
    trials = members(4)
    ended = list(work(task_of(tmp_path, trials, places=2, keep_models=True)))[-1].ended
    packs = [checkpoint.restore(path)[0] for path in Store(tmp_path, "s").models.glob("*.pt")]
    assert sorted(t.trial_id for pack in packs for t in pack.trials) == sorted(
        e.trial_id for e in ended if e.outcome == "completed"
    )
    assert {step for pack in packs for step in pack.steps} == {STEPS}


def test_the_judge_is_made_from_what_the_task_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, asked = Never(), []
    monkeypatch.setattr(session, "judge_of", lambda pruning: (asked.append(pruning), judge)[1])
    task = Task.from_json(task_of(tmp_path, varied(2), places=1, pruning=PRUNING).to_json())
    list(work(task))
    assert asked == [PRUNING] and len(judge.told) == 6
    list(work(task_of(tmp_path / "none", varied(2))))
    assert len(asked) == 1


def test_a_judge_is_told_again_what_it_was_told() -> None:
    first, second = Remembering(BelowMean()), BelowMean()
    said = [first.stops(name, 1, value) for name, value in (("a", 0.5), ("b", 0.25), ("c", 0.75))]
    assert said == [False, True, False]
    again = Remembering(second, json.loads(json.dumps(first.seen)))
    assert second.told == first.seen == again.seen
    assert judge_of.__doc__


def test_seconds_are_shared_by_those_that_they_were_spent_on() -> None:
    shares = Shares({"a": 1.0})
    shares.charge(["a", "b"], 10.0)
    shares.charge(["b", "c"], 6.0)
    shares.charge([], 4.0)
    shares.charge(["c"], 5.0)
    assert shares.seconds == {"a": 6.0, "b": 8.0, "c": 3.0 + 5.0}


def test_a_trial_that_was_stopped_early_has_cost_less(tmp_path: Path) -> None:
    trials = varied(2, steps=200)
    list(work(task_of(tmp_path, trials, pruning=PRUNING), These({trials[0].trial_id})))
    stopped, completed = (Store(tmp_path, "s").finished()[t.trial_id]["train_seconds"] for t in trials)
    assert 0 < stopped < completed / 2


def test_a_task_with_a_queue_and_a_judge_comes_back_from_json_as_it_went(tmp_path: Path) -> None:
    task = task_of(tmp_path, varied(3), places=2, pruning=PRUNING)
    assert Task.from_json(task.to_json()) == task
    assert task_of(tmp_path, varied(1)).places is None
    assert Update("p", 1, 2).ended == ()
