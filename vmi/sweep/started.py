"""Whether a pack was finished by a worker that died before it could say so."""

from __future__ import annotations

from vmi.record.files import put_exclusive
from vmi.record.paths import path_of
from vmi.record.store import Store
from vmi.sweep.ledger import Ended, ended_of
from vmi.sweep.task import Task


def committed_before(task: Task) -> tuple[Ended, ...]:
    """How the trials ended, where a worker committed them and died before it could say so; empty otherwise.

    Only a pack that was started before is looked for in the store: reading it costs more with every part.
    """
    store = Store(path_of(task.root), task.study)
    if put_exclusive(store.checkpoints, f"{task.pack.pack_id}.started", b"", store.files):
        return ()
    rows = store.finished()
    ids = [trial.trial_id for trial in task.pack.trials]
    return tuple(ended_of(rows[trial_id]) for trial_id in ids) if set(ids) <= set(rows) else ()
