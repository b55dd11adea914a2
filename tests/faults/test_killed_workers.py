"""R2: a worker killed at its worst moments, as a real process by a real SIGKILL: the next goes on, one row each.

The worker stays at its moment (`one_worker.py`) until it is killed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.one_worker import CALLS
from support.packs import varied
from support.worker_runs import Worker, rows, same_rows, task_of

from vmi.results.store import Store
from vmi.worker.messages import Task
from vmi.worker.work import work

pytestmark = pytest.mark.faults
# Of some 20 steps an epoch; the last report is not as far from the one before as the others.
SIZES = {"steps": 43, "hidden": "256-128", "batch_size": 64}


def folder_of(task: Task) -> Path:
    return Path(task.root) / "s" / "checkpoints" / task.pack.pack_id


def names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def killed(task: Task, moment: str) -> list[str]:
    """Start a worker and kill it at that moment; the checkpoints that it leaves, whole and torn."""
    worker = Worker("one_worker.py", task, moment)
    assert worker.process.stdout is not None
    assert "held\n" in iter(worker.process.stdout.readline, "")
    worker.kill()
    return [name for name in names(folder_of(task)) if name.startswith(".tmp-") or name.endswith(".pt")]


@pytest.mark.parametrize("places", [None, 2], ids=["pack", "queue"])
@pytest.mark.parametrize("moment", CALLS)
def test_the_next_worker_goes_on_and_every_trial_has_one_row(tmp_path: Path, moment: str, places: int | None) -> None:
    trials = varied(4, **SIZES)
    list(work(task_of(tmp_path / "whole", trials, places=places)))
    task = task_of(tmp_path / "cut", trials, places=places)
    left = killed(task, moment)
    torn = [name for name in left if name.startswith(".tmp-")]
    stored = len(Store(tmp_path / "cut", "s").finished())
    assert len(torn) == (moment == "in mid-checkpoint") and all(
        (folder_of(task) / name).stat().st_size for name in torn
    )
    assert stored == (0 if moment != "after the commit" else places or 4)
    assert len(left) - len(torn) >= 2, "two checkpoints are kept"
    updates = Worker("one_worker.py", task).rest()
    print(f"killed {moment}, went on at mean step {updates[0].step} of {updates[0].steps}")
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
