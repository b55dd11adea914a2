"""Several packs on one GPU: whether its memory holds them. Loads neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Iterable

from vmi.cost.footprint import base_bytes, member_bytes, shared_bytes
from vmi.cost.sizing import Room, gigabytes
from vmi.spec.errors import InputError, Problem
from vmi.spec.trial import PackSpec


def check(
    share: float | None, room: Room | None, packs: Iterable[PackSpec], size: int | None, terms: tuple[str, ...]
) -> None:
    """Raises InputError, with both numbers, where packs of a GPU's `share` each are more than its memory holds.

    `room` is that of one pack, `size` the members that a user wants of each; without that one member is enough.
    """
    if not share or share >= 1 or room is None or room.device != "cuda" or room.free is None:
        return
    free, asked = room.free / share, int(1 / share + 1e-9)
    for architecture, members in {
        p.trials[0].config.architecture: min(size or 1, len(p.trials)) for p in packs
    }.items():
        needs = base_bytes(architecture.dataset, "cuda") + shared_bytes(architecture, "cuda")
        needs += members * member_bytes(architecture, terms, "cuda")
        if (holds := int(free / needs)) < asked:
            allowed = f"at most {holds} packs a GPU, not {asked}: one of {members} needs about {gigabytes(needs)}, and "
            allowed += f"{gigabytes(round(free))} are free"
            raise InputError([Problem("--gpus-per-pack", share, allowed)])
