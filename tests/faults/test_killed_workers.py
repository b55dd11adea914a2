"""R2: a worker killed at its worst moments, as a real process by a real SIGKILL: the next goes on, one row each."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from packs import varied
from worker_runs import Worker, rows, same_rows, task_of

from vmi.record.store import Store
from vmi.sweep.task import Task
from vmi.sweep.work import work

pytestmark = pytest.mark.faults
# Large enough for a checkpoint of some milliseconds; the last report is not as far from the one before as the others.
SIZES = {"steps": 43, "hidden": "256-128", "batch_size": 64}
MOMENTS = ("in mid-epoch", "in mid-checkpoint", "after a checkpoint", "after the commit")


def folder_of(task: Task) -> Path:
    return Path(task.root) / "s" / "checkpoints" / task.pack.pack_id


def names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def wait_for(there: Callable[[], bool], worker: Worker) -> bool:
    """Look as often as can be, until it is there or the worker has ended."""
    while not there():
        if worker.process.poll() is not None:
            return there()
    return True


def killed(task: Task, moment: str) -> bool:
    """Start a worker and kill it at that moment; whether it was hit."""
    worker = Worker("one_worker.py", task)
    first = worker.next()
    assert first is not None
    before = {name for name in names(folder_of(task)) if name.endswith(".pt")}
    if moment == "in mid-epoch":
        worker.next()
        time.sleep(0.01)  # of some 20 ms to the next report
    elif moment == "in mid-checkpoint":
        wait_for(lambda: {".tmp-", "00000"} <= {name[:5] for name in names(folder_of(task))}, worker)
    elif moment == "after a checkpoint":
        wait_for(lambda: any(n.endswith(".pt") and n not in before for n in names(folder_of(task))), worker)
    else:
        wait_for(lambda: any(n.startswith("part-") for n in names(Path(task.root) / "s" / "trials")), worker)
    worker.kill()
    left = names(folder_of(task))
    if moment == "in mid-checkpoint":
        return any(name.startswith(".tmp-") for name in left)
    if moment == "after the commit":
        return worker.process.returncode < 0
    return any(name.endswith(".pt") for name in left)


@pytest.mark.parametrize("places", [None, 2], ids=["pack", "queue"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_next_worker_goes_on_and_every_trial_has_one_row(tmp_path: Path, moment: str, places: int | None) -> None:
    trials = varied(4, **SIZES)
    list(work(task_of(tmp_path / "whole", trials, places=places)))
    task = task_of(tmp_path / "cut", trials, places=places)
    tries = 1
    while not killed(task, moment) and tries < 15:
        tries += 1
    whole_checkpoints = [name for name in names(folder_of(task)) if name.endswith(".pt")]
    updates = Worker("one_worker.py", task).rest()
    print(f"killed {moment} ({tries} tries), went on at mean step {updates[0].step} of {updates[0].steps}")
    if whole_checkpoints:
        assert updates[0].step > 0, "not from the start"
    assert len(updates[-1].ended) == 4 and updates[0].warning in ("", updates[-1].warning)
    assert not any(name.startswith(".tmp-") or name.endswith(".pt") for name in names(folder_of(task)))
    same_rows(tmp_path / "cut", tmp_path / "whole")


def test_a_worker_that_was_thought_dead_stores_nothing_once_another_has_its_pack(tmp_path: Path) -> None:
    """A driver that was killed leaves workers for some seconds, and a node that was cut off may come back."""
    trials = varied(3, **SIZES)
    task = task_of(tmp_path / "s", trials)
    running = work(task)
    for _ in range(3):
        next(running)
    updates = Worker("one_worker.py", task).rest()
    assert updates[0].step > 0 and len(updates[-1].ended) == 3
    with pytest.raises(RuntimeError, match="was given to another worker"):
        list(running)
    assert len(rows(tmp_path / "s", "trials")) == 3
    assert len(Store(tmp_path / "s", "s").finished()) == 3
