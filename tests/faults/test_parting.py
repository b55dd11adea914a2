"""A pack that is parted in mid-run: rows bitwise as without; killed at any moment of it, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.part_worker import MOMENTS
from support.packs import varied
from support.worker_runs import Worker, same_rows, task_of

from vmi.cost.packing import parts_of
from vmi.in_flight.checkpoints import Checkpoints
from vmi.in_flight.live import read_live
from vmi.in_flight.parting import clear_parts
from vmi.results.store import Store
from vmi.spec.trial import PackSpec
from vmi.worker.messages import Task
from vmi.worker.takeover import packs_under_way
from vmi.worker.work import work

pytestmark = pytest.mark.faults
SIZES = {"steps": 43, "hidden": "256-128", "batch_size": 64}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    list(work(task_of(root, varied(5, **SIZES))))
    return root


def going_on(root: Path) -> list[PackSpec]:
    """What a driver that starts again hands out first."""
    store = Store(root, "s")
    clear_parts(store)
    return packs_under_way(store, store.finished().keys())


def finish(task: Task, packs: list[PackSpec]) -> list[int]:
    """Train the rest; the step at which each pack goes on."""
    first = []
    for pack in packs:
        updates = list(work(task_of(Path(task.root), pack.trials)))
        first.append(updates[0].step)
        assert updates[-1].ended and not updates[-1].parted
    return first


def test_the_parts_end_as_the_whole_would_have(tmp_path: Path, whole: Path) -> None:
    task = task_of(tmp_path, varied(5, **SIZES))
    *_, last = Worker("part_worker.py", task, "never").rest()
    assert last.parted == tuple(
        tuple(t.trial_id for t in part) for part in (task.pack.trials[:3], task.pack.trials[3:])
    )
    assert last.over and not last.ended and 8 <= last.step < 43
    (left,) = going_on(tmp_path)
    assert left == task.pack, "until the driver lets go of it, the pack is whole"
    seen = {row["trial_id"]: row["step"] for one in read_live(Store(tmp_path, "s"), ()) for row in one.trials}
    *_, last = Worker("part_worker.py", task, "never").rest()
    Checkpoints(Store(tmp_path, "s"), task.pack.pack_id).retire()
    parts = going_on(tmp_path)
    live = [*read_live(Store(tmp_path, "s"), ())]
    assert {one.pack_id for one in live} == {part.pack_id for part in parts}, "what was reported stays in view"
    assert {row["trial_id"] for one in live for row in one.trials} == seen.keys()
    assert all(row["step"] >= seen[row["trial_id"]] >= 8 and len(one.curves) for one in live for row in one.trials)
    assert sorted(parts) == sorted(parts_of(task.pack, last.parted))
    assert all(step >= 8 for step in finish(task, parts)), "each goes on where the pack was"
    same_rows(tmp_path, whole)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_pack_goes_on_whole(tmp_path: Path, whole: Path, moment: str) -> None:
    task = task_of(tmp_path, varied(5, **SIZES))
    worker = Worker("part_worker.py", task, moment)
    worker.process.wait()
    assert worker.process.returncode == -9
    packs = going_on(tmp_path)
    assert packs == [task.pack]
    assert min(finish(task, packs)) >= 8, "from its checkpoint"
    same_rows(tmp_path, whole)
    assert not going_on(tmp_path) and not list((tmp_path / "s" / "checkpoints").iterdir())
