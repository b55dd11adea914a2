"""A commit cut short at whatever file operation: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from vmi.results.schema import TABLES
from vmi.results.store import Store


def test_a_commit_that_failed_can_be_made_again_and_doubles_nothing(lab, store):
    trial = lab.trial()
    for number in range(100):
        here = Store(store.root, f"study{number}", lab.Hooked(fault := lab.At(number, errno.EIO)))
        recorder = lab.buffered(here, {trial: lab.completed(trial)})
        try:
            recorder.commit()
        except OSError:
            assert here.finished() == {}
            assert recorder.commit().ids == (trial.trial_id,)
        assert set(here.finished()) == {trial.trial_id}
        assert [here.read(table).table.num_rows for table in TABLES] == [1, 3, 1]
        if fault.name is None:
            break
    assert 20 < number < 99


def killed_at(number, after, store, lab, trial):
    """Commit in a child that is killed at its n-th file operation: (acknowledged ids, was it killed)."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        left = iter(range(number))

        def die(name):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        files = lab.Hooked(lambda name: None, die) if after else lab.Hooked(die)
        ids = lab.record(Store(store.root, store.study, files), {trial: lab.completed(trial)}, store.next_attempt())
        os.write(theirs, " ".join(ids).encode())
        os._exit(0)
    os.close(theirs)
    acknowledged = Path(f"/dev/fd/{ours}").read_text().split()
    os.close(ours)
    return acknowledged, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("first", [True, False], ids=["first commit", "append"])
def test_a_kill_at_any_file_operation_leaves_a_readable_store(lab, tmp_path, first, after):
    earlier, trial = lab.trial(seed=0), lab.trial(seed=1)
    for number in range(0, 200, 2 if first else 4):
        store = Store(tmp_path / str(number), "lambda")
        if not first:
            lab.record(store, {earlier: lab.completed(earlier)})
        before = store.finished()
        acknowledged, killed = killed_at(number, after, store, lab, trial)
        found = store.finished()
        assert set(before) | set(acknowledged) <= set(found) <= set(before) | {trial.trial_id}
        assert all(found[trial_id] == row for trial_id, row in before.items())
        if not killed:
            break
        # What a resume does: train what is missing, as a new attempt.
        if trial.trial_id not in found:
            lab.record(store, {trial: lab.completed(trial)}, store.next_attempt())
        row = store.finished()[trial.trial_id]
        curves = store.read("curves").checked().to_pylist()
        own = [c["step"] for c in curves if (c["trial_id"], c["attempt"]) == (trial.trial_id, row["attempt"])]
        assert own == [10, 20, 30]
    assert acknowledged == [trial.trial_id] and number > 15
