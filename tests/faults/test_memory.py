"""Out of memory, by the system's own limit on the address space: half as many go on, one that was alone has failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from packs import varied
from worker_runs import Worker, rows, same_rows, task_of

from vmi.record.store import Store
from vmi.sweep.work import work

pytestmark = pytest.mark.faults
SIZES = {"steps": 20, "hidden": "512-512", "batch_size": 1280}


@pytest.mark.parametrize("enough", [4, 2])
def test_half_as_many_go_on_from_the_checkpoint_to_the_same_rows(tmp_path: Path, enough: int) -> None:
    trials = varied(8, **SIZES)
    list(work(task_of(tmp_path / "whole", trials)))
    updates = Worker("short_of_memory.py", task_of(tmp_path / "short", trials), 4, enough).rest()
    places = [update.places for update in updates]
    assert sorted(set(places), reverse=True) == [8, 4, 2][: {4: 2, 2: 3}[enough]] and places[-1] == enough
    said = [update for update in updates if "ran out of memory" in update.warning]
    assert said and all("it goes on from its last checkpoint with" in update.warning for update in said)
    print(f"{len(said)} halvings, at mean steps {[update.step for update in said]} of {SIZES['steps']}")
    assert said[0].step > 0, "from the checkpoint, not from the start"
    assert {ended.outcome for ended in updates[-1].ended} == {"completed"} and len(updates[-1].ended) == 8
    same_rows(tmp_path / "short", tmp_path / "whole")


def test_one_that_has_no_memory_by_itself_is_a_failed_row_and_the_others_complete(tmp_path: Path) -> None:
    trials = varied(3, **SIZES)
    list(work(task_of(tmp_path / "whole", trials)))
    updates = Worker("short_of_memory.py", task_of(tmp_path / "short", trials), 4, 0).rest()
    failed = [ended for ended in updates[-1].ended if ended.outcome == "failed"]
    assert len(failed) == 1
    stored = Store(tmp_path / "short", "s").finished()[failed[0].trial_id]
    assert stored["reason"] == f"out of memory at step {stored['step']}" == failed[0].reason
    assert 0 < stored["step"] < SIZES["steps"] and stored["accuracy_majority"] is None
    assert len(rows(tmp_path / "short", "trials")) == 3
    same_rows(tmp_path / "short", tmp_path / "whole", without=[failed[0].trial_id])
