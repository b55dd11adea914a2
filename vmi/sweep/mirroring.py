"""The W&B mirror of what a worker has committed; a server that failed once is not waited for again."""

from __future__ import annotations

from vmi.record.paths import ObjectPath
from vmi.record.recorder import Committed
from vmi.record.store import Store
from vmi.record.to_wandb import mirror
from vmi.sweep.task import Task

# Where W&B's server has failed once in this process: no later pack waits for it again.
_GIVEN_UP: set[str] = set()


def mirrored(committed: Committed, store: Store, task: Task) -> str:
    """Mirror the rows; what to be warned of."""
    mode = "offline" if task.wandb_mode in _GIVEN_UP else task.wandb_mode
    runs, warning = mirror(committed.trials, committed.curves, store.folder, task.study, mode)
    if mode != "online" or not warning:
        return warning
    _GIVEN_UP.add(mode)
    # Without the one that failed: within this process W&B holds its id to be taken.
    mirror(committed.trials[runs + 1 :], committed.curves, store.folder, task.study, "offline")
    kept = "keeps its W&B runs offline from here on (wandb sync sends them)"
    if isinstance(store.root, ObjectPath):
        kept = "sends no W&B runs from here on (vmi mirror --online sends them)"
    return f"{warning}; this worker {kept}"
