"""Whether a pack was finished by a worker that died before it could say so."""

from __future__ import annotations

from pathlib import Path

from vmi.record.store import Store
from vmi.sweep.ledger import Ended, ended_of
from vmi.sweep.task import Task


def committed_before(task: Task) -> tuple[Ended, ...]:
    """How the trials ended, where a worker committed them and died before it could say so; empty otherwise.

    Only a pack that was started before is looked for in the store: reading it costs more with every part.
    """
    store = Store(Path(task.root), task.study)
    started = store.checkpoints / f"{task.pack.pack_id}.started"
    if not started.exists():
        started.parent.mkdir(parents=True, exist_ok=True)
        started.touch()
        return ()
    rows = store.finished()
    ids = [trial.trial_id for trial in task.pack.trials]
    return tuple(ended_of(rows[trial_id]) for trial_id in ids) if set(ids) <= set(rows) else ()
