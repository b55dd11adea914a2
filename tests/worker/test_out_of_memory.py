"""Out of memory at a known number of members: half as many go on, one that is alone has failed, all else is the same.

The allocation that fails is torch's own, of more than any machine has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.packs import varied
from support.worker_runs import rows, same_rows, task_of

from vmi.in_flight import steering
from vmi.in_flight.parting import put_part
from vmi.results.store import Store
from vmi.training import checkpoint, train
from vmi.training.pack import Pack
from vmi.worker import session
from vmi.worker.work import work

SIZES = {"steps": 20}
TOO_MUCH = 2**60


def room_for(patch: pytest.MonkeyPatch, members: int, at: int = 8) -> list[int]:
    """Steps from `at` on have memory for so many members; sizes of the packs for which there was none."""
    steps, failed = train.run_steps, []

    def short(pack: Pack, *given: Any) -> None:
        if pack.size > members and max(pack.steps) >= at:
            failed.append(pack.size)
            torch.empty(TOO_MUCH, dtype=torch.uint8)
        steps(pack, *given)

    patch.setattr(train, "run_steps", short)
    return failed


@pytest.mark.parametrize("members", range(1, 9))
def test_members_are_halved_until_there_is_room_and_end_with_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    trials = varied(8, **SIZES)
    list(work(task_of(tmp_path / "whole", trials)))
    failed = room_for(monkeypatch, members)
    updates = list(work(task_of(tmp_path / "short", trials)))
    halved = [size for size in (8, 4, 2) if size > members]
    assert failed == halved
    said = [update.warning for update in updates if "ran out of memory" in update.warning]
    assert len(said) == len(halved)
    for size, warning in zip(halved, said, strict=True):
        assert (
            f"ran out of memory at step 8 with {size} members" in warning and f"with {size // 2} at a time" in warning
        )
    assert all(update.step > 0 for update in updates if update.warning), "from the checkpoint, not from the start"
    assert [ended.outcome for ended in updates[-1].ended] == ["completed"] * 8
    same_rows(tmp_path / "short", tmp_path / "whole")


def test_a_pack_that_there_is_no_memory_to_part_goes_on_whole_and_as_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would only have saved time."""

    def short(*given: object) -> None:
        torch.empty(TOO_MUCH, dtype=torch.uint8)

    task = task_of(tmp_path, varied(4, **SIZES))
    monkeypatch.setattr(steering, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(session, "part", short)
    put_part(Store(tmp_path, "s"), task.pack.pack_id, 2)
    updates = list(work(task))
    assert sum("gives no members away: no memory" in update.warning for update in updates) == 1
    assert sum(update.whole and update.news for update in updates) == 1, "the driver keeps no worker free for it"
    assert not any("ran out of memory" in update.warning for update in updates) and updates[-1].places == 4
    assert [ended.outcome for ended in updates[-1].ended] == ["completed"] * 4


def test_one_that_has_no_memory_by_itself_is_a_failed_row_and_the_others_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = varied(3, **SIZES)
    list(work(task_of(tmp_path / "whole", trials)))
    steps, greedy = train.run_steps, trials[1].trial_id

    def short(pack: Pack, *given: Any) -> None:
        if greedy in [trial.trial_id for trial in pack.trials] and max(pack.steps) >= 8:
            torch.empty(TOO_MUCH, dtype=torch.uint8)
        steps(pack, *given)

    monkeypatch.setattr(train, "run_steps", short)
    updates = list(work(task_of(tmp_path / "short", trials)))
    outcomes = {ended.trial_id: (ended.outcome, ended.reason) for ended in updates[-1].ended}
    assert outcomes.pop(greedy) == ("failed", "out of memory at step 8")
    assert {outcome for outcome, _ in outcomes.values()} == {"completed"} and len(outcomes) == 2
    stored = Store(tmp_path / "short", "s").finished()[greedy]
    assert stored["step"] == 8 and stored["accuracy_majority"] is None and len(rows(tmp_path / "short", "trials")) == 3
    same_rows(tmp_path / "short", tmp_path / "whole", without=[greedy])


@pytest.mark.parametrize("places", [1, 2])
def test_a_checkpoint_that_there_is_no_memory_to_read_costs_time_and_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: int
) -> None:
    """Reading one takes memory for all of its members, however few of them go on."""
    trials = varied(4, **SIZES)
    list(work(task_of(tmp_path / "whole", trials)))
    running = work(task_of(tmp_path / "short", trials))
    while next(running).step < 8:
        pass
    running.close()

    def unreadable(data: bytes, name: str) -> Any:
        return torch.empty(TOO_MUCH, dtype=torch.uint8)

    monkeypatch.setattr(checkpoint, "_loaded", unreadable)
    updates = list(work(task_of(tmp_path / "short", trials, places=places)))
    assert any("there was no memory to read it" in update.warning for update in updates)
    assert [ended.outcome for ended in updates[-1].ended] == ["completed"] * 4
    same_rows(tmp_path / "short", tmp_path / "whole")
