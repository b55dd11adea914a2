"""Several packs on one GPU: how many train most steps a second, as measured, and whether its memory holds them.

Loads neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vmi.cost.footprint import base_bytes, member_bytes, shared_bytes
from vmi.cost.forecast import Extent
from vmi.cost.prediction import Target, costs_or_none
from vmi.cost.sizing import Room, gigabytes
from vmi.spec.config import Architecture
from vmi.spec.errors import InputError, Problem
from vmi.spec.trial import PackSpec
from vmi.storage.paths import AnyPath
from vmi.study.study import Study

# What is measured: twice as many as before, while each time so much more is trained in a second.
MOST, GAIN = 4, 1.05


def best_count(step_seconds: Callable[[int], float | None]) -> int:
    """How many packs at a time train most; `step_seconds` of each of so many, None where they don't fit."""
    count, best = 1, step_seconds(1)
    while best and 2 * count <= MOST:
        each = step_seconds(2 * count)
        if not each or 2 * count / each < GAIN * count / best:
            break
        count, best = 2 * count, each
    return count


def fitting(gpus: float, share: float) -> int:
    """How many packs of a share of a GPU each fit on so many: none has parts of two.

    >>> fitting(2, 0.6), fitting(2, 0.5), fitting(8, 0.3)
    (2, 4, 24)
    """
    return int(gpus) * int(1 / share + 1e-9)


def packs_a_gpu(study: Study, calibration: AnyPath) -> int:
    """As was measured of each kind of pack of the study, of the size whose steps cost a member least; else 1."""
    if (costs := costs_or_none(Target("cuda", 1), calibration)) is None:
        return 1
    found = []
    for kind in Extent(study, (), 1).kinds.values():
        entries = costs.by_kind.get(kind, ())
        least = min(entries, key=lambda e: e.step.wall / e.pack_size / e.packs_a_gpu, default=None)
        found.append(least.packs_a_gpu if least else 1)
    return min(found, default=1)


def check(
    share: float | None, room: Room | None, packs: Iterable[PackSpec], size: int | None, terms: tuple[str, ...]
) -> None:
    """Raises InputError, with both numbers, where packs of a GPU's `share` each are more than its memory holds.

    `room` is that of one pack, `size` the members that a user wants of each; without that one member is enough.
    """
    if not share or share >= 1 or room is None or room.device != "cuda" or room.free is None:
        return
    free, asked = room.free / share, fitting(1, share)
    most: dict[Architecture, int] = {}
    for pack in packs:
        architecture, members = pack.trials[0].config.architecture, min(size or 1, len(pack.trials))
        most[architecture] = max(members, most.get(architecture, 0))
    for architecture, members in most.items():
        needs = base_bytes(architecture.dataset, "cuda") + shared_bytes(architecture, "cuda")
        needs += members * member_bytes(architecture, terms, "cuda")
        if (holds := int(free / needs)) < asked:
            allowed = f"at most {holds} packs a GPU, not {asked}: one of {members} needs about {gigabytes(needs)}, and "
            allowed += f"{gigabytes(round(free))} are free"
            raise InputError([Problem("--gpus-per-pack", share, allowed)])
