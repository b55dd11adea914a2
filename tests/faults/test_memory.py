"""Out of memory, by the system's own limit on the address space: half as many go on, one that was alone has failed.

The limit is measured, with the same program: it lies half-way between what so many members take and what twice as many
do. Informed Normal blocks take most of it, some 80 MB each for a member; that halving is exact, and from a checkpoint,
is held by tests/worker/test_out_of_memory.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from support.packs import trial
from support.worker_runs import Worker, rows, same_rows, task_of

from vmi.results.store import Store
from vmi.spec.trial import Trial
from vmi.worker.messages import Task, Update

pytestmark = pytest.mark.faults
LAYOUT = "n2*+n3*+n4*+n5*+n6*+n7*+n8*+n9*+c10*"
# Arrow's own allocator takes a gigabyte of addresses where it can, and none where it can't; so do glibc's arenas.
PLAIN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
STEPS = 4
LARGEST, SMALL = 1280, 64  # images of a minibatch: memory goes by their square


def trials_of(count: int, batch_size: int = LARGEST) -> list[Trial]:
    return [trial(steps=STEPS, layout=LAYOUT, batch_size=batch_size, mi_weight=1.0, seed=seed) for seed in range(count)]


def given(root: Path, trials: list[Trial]) -> Task:
    return task_of(root, trials, layouts=(LAYOUT,))


def ran(root: Path, trials: list[Trial], limit: int = 0) -> list[Update]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PLAIN.items():
            patch.setenv(name, value)
        return Worker("short_of_memory.py", given(root, trials), limit).rest()


class Measured(NamedTuple):
    """Kilobytes of the address space at their most with so many members; 0: with one whose minibatch is small.

    whole: the results of four trials that nothing has happened to.
    """

    peaks: dict[int, int]
    whole: Path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    found = {}
    for count in (0, 1, 2, 4):
        root = tmp_path_factory.mktemp("peak")
        ran(root, trials_of(count) if count else trials_of(1, SMALL))
        found[count] = int((root / "peak.txt").read_text())
    print(f"peaks: {found} kB")
    assert sorted(found.values()) == list(found.values())
    return Measured(found, root)


def test_half_as_many_go_on_to_the_same_rows(tmp_path: Path, measured: Measured) -> None:
    peaks, whole = measured
    updates = ran(tmp_path, trials_of(4), (peaks[2] + peaks[4]) // 2)
    assert list(dict.fromkeys(update.places for update in updates)) == [4, 2]
    said = [update.warning for update in updates if "ran out of memory" in update.warning]
    assert said and all("it resumes from its last checkpoint with" in warning for warning in said)
    assert [ended.outcome for ended in updates[-1].ended] == ["completed"] * 4
    same_rows(tmp_path, whole)


def test_one_that_has_no_memory_by_itself_is_a_failed_row_and_the_others_complete(
    tmp_path: Path, measured: Measured
) -> None:
    """The limit goes once one has failed."""
    peaks, whole = measured
    trials = trials_of(3)
    updates = ran(tmp_path, trials, (peaks[0] + peaks[1]) // 2)
    (failed,) = [ended for ended in updates[-1].ended if ended.outcome == "failed"]
    stored = Store(tmp_path, "s").finished()[failed.trial_id]
    assert stored["reason"] == f"out of memory at step {stored['step']}" == failed.reason
    assert stored["step"] < STEPS and stored["accuracy_majority"] is None and len(rows(tmp_path, "trials")) == 3
    fourth = trials_of(4)[3].trial_id
    same_rows(tmp_path, whole, without=[failed.trial_id, fourth])
