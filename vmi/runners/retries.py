"""Whether a pack whose worker died is tried again. Pure: what Ray says of a death comes in as text."""

from __future__ import annotations

from enum import Enum

# A pack is given up once so many of its workers have died in a row without having got further than the one before.
MAX_DEATHS = 2
# What Ray says where a node went, or cannot be reached for now; none of it is the pack's doing.
_NODE = ("node has died", "node was terminated", "node was preempted", "actor is temporarily unavailable")
# Its text on any death speaks of "the OOM killer" as one possible cause.
_MEMORY = "running low on memory"


class Death(Enum):
    """How a worker ended, and what that means for its pack."""

    WORKER = "its worker died"
    NODE = "its node went away"
    MEMORY = "its worker was killed to free memory"
    TUNE = "Ray Tune gave up on all packs"


def death_of(said: str, preempted: bool = False) -> Death:
    """What Ray's error says: a preempted or lost node, its memory monitor, or a worker that just died."""
    if preempted or any(phrase in said for phrase in _NODE):
        return Death.NODE
    return Death.MEMORY if _MEMORY in said else Death.WORKER


class Retries:
    """The deaths of every pack's workers. What a node, or Ray itself, is to blame for is not counted."""

    def __init__(self) -> None:
        self._step: dict[str, int] = {}
        self._best: dict[str, int] = {}
        self._deaths: dict[str, int] = {}

    def note(self, pack_id: str, step: int) -> None:
        """The pack would go on from this step."""
        self._step[pack_id] = step

    def again(self, pack_id: str, death: Death) -> bool:
        """A worker of the pack died: whether it is to be tried again."""
        if death in (Death.NODE, Death.TUNE):
            return True
        step, best = self._step.get(pack_id, 0), self._best.get(pack_id, 0)
        self._best[pack_id] = max(step, best)
        self._deaths[pack_id] = 0 if step > best else self._deaths.get(pack_id, 0) + 1
        return self._deaths[pack_id] < MAX_DEATHS
