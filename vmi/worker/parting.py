"""A pack in mid-run becomes several, each with some of its members as they stand: other workers go on with them.

First the pack has a checkpoint of its own, and what has ended is stored; then each part gets its plan and a checkpoint.
Until the driver lets go of the pack (`Checkpoints.retire`), which it does before it hands out a part, the pack is
whole: whoever is killed meanwhile, it goes on from there, and what was written of parts is removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from vmi.cost.packing import parts_of
from vmi.in_flight.checkpoints import Checkpoints
from vmi.results.store import Store
from vmi.spec.trial import PackSpec
from vmi.training import checkpoint
from vmi.training.pack import Pack
from vmi.worker.takeover import encoded


def shares(count: int, parts: int) -> list[range]:
    """The members of each part: even, in order.

    >>> shares(5, 2)
    [range(0, 3), range(3, 5)]
    """
    parts = min(parts, count)
    ends = [-(-count * k // parts) for k in range(parts + 1)]
    return [range(start, end) for start, end in pairwise(ends)]


def part(
    store: Store, spec: PackSpec, pack: Pack, parts: int, notes: Mapping[str, Any], live: Callable[[PackSpec], bytes]
) -> tuple[tuple[str, ...], ...]:
    """Write plan, checkpoint and live report of each part of a pack: its trials. `notes` are the whole pack's.

    Raises OSError, and what there is no memory for.
    """
    groups = [[pack.trials[k] for k in share] for share in shares(pack.size, parts)]
    ids = tuple(tuple(trial.trial_id for trial in group) for group in groups)
    for own, share, members in zip(parts_of(spec, ids), shares(pack.size, parts), ids, strict=True):
        kept = Checkpoints(store, own.pack_id)
        kept.write_plan(encoded(own))
        kept.write(checkpoint.encode(pack.keep(list(share)), json.dumps(_own(notes, members))))
        kept.write_live(live(own))
    return ids


def _own(notes: Mapping[str, Any], members: Sequence[str]) -> dict[str, Any]:
    """What the whole pack's notes say of these members; none of them has ended, or waits."""
    reports = [report for report in notes["reports"] if report.trial_id in members]
    seconds = {i: taken for i, taken in notes["seconds"].items() if i in members}
    nothing: dict[str, Any] = {"failed": {}, "pruned": {}, "seen": [], "waiting": [], "parked": []}
    return {"reports": reports, "seconds": seconds, "places": len(members), **nothing}
