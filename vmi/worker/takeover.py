"""Packs that were under way when a driver ended: which trials they have, kept beside their checkpoints.

A driver that starts again hands out the very same packs first, so that their work is not lost. Loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import NamedTuple

from vmi.cost.packing import pack_of
from vmi.in_flight.checkpoints import Checkpoints, packs_begun
from vmi.results.store import Store
from vmi.spec.config import TrialConfig
from vmi.spec.trial import RETRIABLE, PackSpec, Trial
from vmi.storage.paths import path_of
from vmi.worker.messages import Ended, Task, ended_of


class Begun(NamedTuple):
    """A pack that a worker has taken: its checkpoints, its trials that are stored, whether it was begun before."""

    kept: Checkpoints
    stored: Mapping[str, Ended]
    again: bool


def begin(task: Task) -> Begun:
    """Take the task's pack, and note which trials it has.

    Only a pack that was begun before can have trials that are stored: reading the store costs more with every part.
    Raises OSError, and StoreError where the store is damaged.
    """
    store = Store(path_of(task.root), task.study)
    kept, plan = Checkpoints(store, task.pack.pack_id), encoded(task.pack)
    again = kept.plan() == plan
    kept.claim()
    if again:
        kept.clear_torn()
    else:
        kept.write_plan(plan)
    return Begun(kept, stored_of(task.pack, store) if again else {}, again)


def stored_of(spec: PackSpec, store: Store) -> dict[str, Ended]:
    """How those of the pack's trials ended that are stored; a row that is to be replaced is none."""
    rows, retried = store.finished(), spec.retried
    found = (rows[trial.trial_id] for trial in spec.trials if trial.trial_id in rows)
    counted = (r for r in found if r["outcome"] not in RETRIABLE or (r["attempt"] or 0) != retried.get(r["trial_id"]))
    return {row["trial_id"]: ended_of(row) for row in counted}


def packs_under_way(
    store: Store, finished: Collection[str], failed: Mapping[str, int] = MappingProxyType({})
) -> list[PackSpec]:
    """Those packs that were begun and of which trials are missing; what is kept of others is removed.

    `failed`: those that are tried again, with the attempt of their rows; they are not among the finished.
    """
    found = []
    for pack_id in packs_begun(store):
        kept = Checkpoints(store, pack_id)
        spec = _decoded(kept.plan(), pack_id)
        if spec is not None and spec.missing(finished, failed):
            found.append(spec)
        else:
            kept.clear()
    left = {spec.pack_id: {trial.trial_id for trial in spec.missing(finished, failed)} for spec in found}
    for part in [one for one in found if any(_is_part(one, other, left) for other in found)]:
        # Of a pack that was being parted (`vmi.worker.parting`), and that was not let go of.
        found.remove(part)
        Checkpoints(store, part.pack_id).clear()
    return found


def _is_part(one: PackSpec, other: PackSpec, left: Mapping[str, set[str]]) -> bool:
    """Whether another, larger pack trains all that one has left; a retry is none of the pack that has failed."""
    return len(one.trials) < len(other.trials) and left[one.pack_id] <= left[other.pack_id]


def packs_planned(store: Store) -> list[PackSpec]:
    """Those packs that something is kept of, as far as it can be read; nothing is changed."""
    plans = ((pack_id, Checkpoints(store, pack_id).plan()) for pack_id in packs_begun(store))
    return [spec for pack_id, plan in plans if (spec := _decoded(plan, pack_id))]


def encoded(spec: PackSpec) -> bytes:
    """The plan of a pack: which trials it has."""
    trials = [[*trial[:2], asdict(trial.config)] for trial in spec.trials]
    return json.dumps({"trials": trials, **({"retried": {**spec.retried}} if spec.retried else {})}).encode()


def _decoded(data: bytes | None, pack_id: str) -> PackSpec | None:
    """The pack, None where it cannot be read or this program would give its trials other ids."""
    try:
        read = json.loads(data or b"")
        trials = [Trial(trial_id, suggestion_id, TrialConfig(**c)) for trial_id, suggestion_id, c in read["trials"]]
        current = all(t[:2] == (t.config.trial_id, t.config.suggestion_id) for t in trials)
        spec = pack_of(tuple(trials), read.get("retried", {}))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return spec if current and trials and spec.pack_id == pack_id else None
