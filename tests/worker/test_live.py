"""What trials under way have reported is durable with each checkpoint, and is never a result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.judges import Never
from support.packs import trial
from support.worker_runs import task_of

from vmi.in_flight.live import Live, read_live
from vmi.results.fsck import check
from vmi.results.store import Store
from vmi.search.leading import compared_by
from vmi.spec.trial import Trial
from vmi.storage.paths import AnyPath
from vmi.study.study import Study
from vmi.worker.messages import Task, Update
from vmi.worker.work import work

# Their steps are told apart by the looks that a worker takes: one a report, ten of them.
STEPS = 20


def members(count: int) -> list[Trial]:
    return [trial(dataset="digits", hidden="16-8", batch_size=64, steps=STEPS, seed=seed) for seed in range(count)]


def seen(task: Task, updates: int) -> tuple[Store, list[Live]]:
    """The store and what is live in it once the task has yielded so often and was cut short."""
    running = work(task)
    for _ in range(updates):
        next(running)
    running.close()
    store = Store(Path(task.root), task.study)
    return store, list(read_live(store, store.finished()))


def test_reports_are_there_as_far_as_the_checkpoint_is_and_are_those_of_the_curve_to_come(tmp_path: Path) -> None:
    trials = members(3)
    task = task_of(tmp_path, trials)
    store, (live,) = seen(task, 6)
    assert (live.pack_id, live.attempt, live.steps) == (task.pack.pack_id, 1, STEPS)
    assert {row["trial_id"] for row in live.trials} == {t.trial_id for t in trials}
    (step,) = {row["step"] for row in live.trials}
    assert 0 < step < STEPS and max(live.curves["step"].to_pylist()) == step
    assert live.trials[0]["mi_weight"] == trials[0].config.mi_weight and not store.finished()
    early = live.curves.to_pylist()
    list(work(task))
    assert not list(read_live(store, store.finished()))
    whole = store.read("curves").checked().to_pylist()
    assert early == [row for row in whole if row["step"] <= step]


def test_with_a_queue_it_has_those_who_wait_and_none_that_has_a_row(tmp_path: Path) -> None:
    trials = members(4)
    task = task_of(tmp_path, trials, places=2)
    store, (first,) = seen(task, 4)
    assert [row["step"] for row in first.trials if row["trial_id"] in {t.trial_id for t in trials[2:]}] == [0, 0]
    found = [first]
    running = work(task)
    while not store.finished():
        next(running)
        found = list(read_live(store, store.finished())) or found
    running.close()
    done = store.finished().keys()
    assert done and not {row["trial_id"] for live in read_live(store, done) for row in live.trials} & done


def _cut(data: bytes) -> bytes:
    return data[:-20]


def _flipped(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


@pytest.mark.parametrize("damage", [_cut, _flipped, lambda data: b""])
def test_a_damaged_one_shows_nothing_is_named_by_fsck_and_stops_nothing(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    task = task_of(tmp_path, members(2))
    store, _ = seen(task, 5)
    (path,) = (tmp_path / "s" / "checkpoints").rglob("live-*.parquet")
    path.write_bytes(damage(path.read_bytes()))
    assert not list(read_live(store, {}))
    named: list[AnyPath] = [found.path for found in check(store.folder).damaged]
    assert path in named
    list(work(task))
    assert len(store.finished()) == 2 and not list((tmp_path / "s" / "checkpoints").rglob("live-*"))


def test_one_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vmi.in_flight.checkpoints.Checkpoints.write_live", full)
    updates = list(work(task_of(tmp_path, members(2))))
    assert any("No space left" in update.warning for update in updates)
    assert [ended.outcome for ended in updates[-1].ended] == ["completed"] * 2


def test_updates_name_the_best_by_its_newest_report_and_never_one_that_has_ended(tmp_path: Path) -> None:
    trials = members(4)
    updates = list(work(task_of(tmp_path, trials, places=2)))
    curves = Store(tmp_path, "s").read("curves").checked().to_pylist()
    value = {(row["trial_id"], row["step"]): row["elbo_nats"] for row in curves}
    ended: set[str] = set()
    named = [update.leading for update in updates if update.leading]
    assert {leading.trial_id for leading in named[:3]} <= {t.trial_id for t in trials[:2]} and len(named) > 10
    for update in updates:
        assert update == Update.from_json(update.to_json()) and update.gpu_bytes == 0
        ended |= set(update.stored)
        if leading := update.leading:
            assert leading.value == value[leading.trial_id, leading.step] and leading.trial_id not in ended
            beside = [value[t.trial_id, leading.step] for t in trials[:2]] if not ended else []
            assert leading.value == max(beside, default=leading.value)
    assert updates[0].leading is None and updates[-1].leading is None


def test_with_a_pruner_they_are_compared_by_what_it_was_told(tmp_path: Path) -> None:
    study = Study(name="s", pruner="median", metric="nmi")
    pruning = {"pruner": "median", "metric": "nmi"}
    task = task_of(tmp_path, members(2), pruning=pruning, compared_by=compared_by(study))
    updates = list(work(Task.from_json(task.to_json()), judge=Never()))
    told = {r["judged"] for r in Store(tmp_path, "s").read("curves").checked().to_pylist() if r["judged"] is not None}
    found = [update.leading for update in updates if update.leading]
    assert found[0].rank == 1 and found[-1].rank == 0  # by the ELBO until the first rung
    assert {leading.value for leading in found if leading.rank == 0} <= told
