"""Whoever ends a run early loses nothing that was trained: workers write a checkpoint, and say how far it goes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.judges import BelowMean
from support.packs import small_pack, varied
from support.worker_runs import same_rows, task_of

from vmi.data import dataset
from vmi.process.signals import Deferred, TerminatedError
from vmi.results.store import Store
from vmi.spec.trial import Judge
from vmi.training import checkpoint
from vmi.training.evaluation import evaluate
from vmi.training.train import train
from vmi.worker import session
from vmi.worker.halting import HaltedError, answer, ask, question_of
from vmi.worker.messages import Task, Update
from vmi.worker.rhythm import NOTICE_VARIABLE
from vmi.worker.work import work

STEPS = 23
PRUNING = {"pruner": "median", "metric": "accuracy_majority", "direction": "maximize", "history": []}


def after(count: int) -> Callable[[], bool]:
    """Says that it is time to stop from the `count`-th time on that it is asked."""
    asked = iter(range(count))
    return lambda: next(asked, None) is None


def halted(task: Task, count: int, judge: Judge | None = None) -> list[Update]:
    """The updates until the task was stopped, and that it was."""
    updates: list[Update] = []
    with pytest.raises(HaltedError):
        updates.extend(work(task, judge, halted=after(count)))
    return updates


@pytest.mark.parametrize("places", [2, 6])
@pytest.mark.parametrize("pruning", [None, PRUNING])
def test_a_task_that_is_stopped_anywhere_goes_on_from_there_to_the_same_rows(
    tmp_path: Path, places: int, pruning: dict[str, object] | None
) -> None:
    """No checkpoint is due by the clock: the only ones are those that are written on being stopped."""
    judge = (lambda: BelowMean()) if pruning else (lambda: None)
    trials = varied(6, steps=STEPS)
    options = {"places": places, "pruning": pruning, "checkpoint_seconds": 1e6}
    list(work(task_of(tmp_path / "whole", trials, **options), judge()))
    for count in (10, 12):  # an evaluation has some chunks, before each of which it may be stopped
        root = tmp_path / str(count)
        task = task_of(root, trials, **options)
        stops = 0
        while True:
            assert stops < 50
            try:
                updates = [*work(task, judge(), halted=after(count))]
                break
            except HaltedError:
                stops += 1
        assert stops
        assert [e.outcome for e in updates[-1].ended].count("completed") > 0
        same_rows(tmp_path / "whole", root)


def test_what_is_said_on_stopping_is_how_far_a_resumed_task_stands(tmp_path: Path) -> None:
    task = task_of(tmp_path, varied(3, steps=STEPS), checkpoint_seconds=1e6)
    last = halted(task, 5)[-1]
    assert 0 < last.saved == last.step < STEPS
    assert next(work(task)).saved == last.saved


def test_one_that_is_stopped_before_its_first_step_leaves_no_checkpoint(tmp_path: Path) -> None:
    task = task_of(tmp_path, varied(2, steps=STEPS))
    running = work(task, halted=lambda: True)
    next(running)
    with pytest.raises(HaltedError):
        list(running)
    assert len(list(work(task))[-1].ended) == 2


def test_members_are_scored_a_few_at_a_time_and_those_that_are_are_not_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation of minutes: a worker that is stopped within it has stored whom it had scored."""
    trials, scored = varied(4, steps=STEPS), []
    list(work(task_of(tmp_path / "whole", trials)))
    evaluate = session.evaluate

    def noting(pack: object, *given: object) -> object:
        scored.append([trial.trial_id for trial in pack.trials])  # type: ignore[attr-defined]
        return evaluate(pack, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "evaluate", noting)
    monkeypatch.setattr(session, "EVALUATION_SECONDS", 0.0)
    task = task_of(tmp_path / "cut", trials, checkpoint_seconds=1e6)
    with pytest.raises(HaltedError):
        for _ in work(task, halted=lambda: len(scored) == 3):
            pass
    (first, second, third) = scored
    assert len(first) == len(second) == len(third) == 1
    stored = Store(tmp_path / "cut", "s").finished()
    assert set(stored) == {*first, *second}
    resumed = list(work(task))
    assert resumed[0].step == STEPS and scored[3:] == [third, [trials[3].trial_id]]
    assert len(resumed[-1].ended) == 4
    same_rows(tmp_path / "whole", tmp_path / "cut")


def test_a_checkpoint_is_written_before_an_evaluation_of_what_was_long_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = varied(2, steps=STEPS)
    task = task_of(tmp_path, trials)

    def killed(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(session, "evaluate", killed)
    with pytest.raises(SystemExit):
        list(work(task))
    (newest, *_) = sorted((tmp_path / "s" / "checkpoints").rglob("*.pt"), reverse=True)
    assert checkpoint.Saved(newest.read_bytes()).steps == dict.fromkeys((t.trial_id for t in trials), STEPS)


def test_kept_models_hold_every_member_once_though_they_end_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "EVALUATION_SECONDS", 0.0)
    trials = varied(3, steps=STEPS)
    task = task_of(tmp_path, trials, keep_models=True, checkpoint_seconds=0.0)
    with pytest.raises(HaltedError):
        list(work(task, halted=lambda: bool(Store(tmp_path, "s").finished())))
    list(work(task))
    models = [checkpoint.Saved(path.read_bytes()) for path in (tmp_path / "s" / "models").glob("*.pt")]
    assert {trial.trial_id for model in models for trial in model.trials} == {trial.trial_id for trial in trials}


def test_on_the_nodes_notice_a_checkpoint_is_written_at_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = tmp_path / "notice"
    monkeypatch.setenv(NOTICE_VARIABLE, str(notice))
    running = work(task_of(tmp_path / "r", varied(2, steps=STEPS), checkpoint_seconds=1e6))
    assert [next(running).saved for _ in range(3)] == [0, 0, 0]
    notice.touch()
    seen = next(running)
    assert seen.saved == seen.step > 0
    assert len(list(running)[-1].ended) == 2


def test_a_question_is_answered_and_leaves_no_file(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    held = threading.Event()

    def worker() -> None:
        while not first.exists():
            held.wait(0.01)
        answer(first, "twelve")

    thread = threading.Thread(target=worker)
    thread.start()
    assert ask([first, second], seconds=1.0) == ["twelve"]  # the second worker is dead
    thread.join()
    answer(second, "late")  # whoever asked has gone
    assert list(tmp_path.iterdir()) == []


def test_a_question_that_is_gone_without_an_answer_costs_no_other_answer(tmp_path: Path) -> None:
    lost, heard = tmp_path / "lost", tmp_path / "heard"

    def worker() -> None:
        while not (lost.exists() and heard.exists()):
            threading.Event().wait(0.01)
        lost.unlink()
        answer(heard, "twelve")

    thread = threading.Thread(target=worker)
    thread.start()
    assert ask([lost, heard], seconds=60) == ["twelve"]
    thread.join()
    assert list(tmp_path.iterdir()) == []


def test_workers_of_a_node_are_asked_apart() -> None:
    assert question_of("a" * 56) != question_of("b" * 56)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminatedError)])
def test_the_first_signal_waits_for_a_step_and_the_second_does_not(
    number: signal.Signals, kind: type[BaseException]
) -> None:
    before = signal.getsignal(number)
    with Deferred() as signals:
        assert not signals.asked()
        os.kill(os.getpid(), number)
        assert signals.asked() and type(signals.error()) is kind
        with pytest.raises(kind):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_a_signal_that_nobody_looks_at_is_raised_all_the_same() -> None:
    """As while data are loaded, or a reference is computed."""
    with pytest.raises(TerminatedError), Deferred(seconds=0.05):
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait()


def test_the_evaluation_of_a_group_is_what_it_is_in_the_whole_pack(tmp_path: Path) -> None:
    digits, looks = dataset.load("digits"), []
    (*_, last) = train(small_pack(3, steps=20), digits)
    assert last.pack is not None
    whole = evaluate(last.pack, digits, lambda: looks.append(1))
    assert looks
    for k in range(3):
        (alone,) = evaluate(last.pack.keep([k]), digits)
        assert alone.metrics == whole[k].metrics
