"""Waiting for the workers of a cluster whose head trains nothing: right after `ray up` none of them has joined."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

# A machine that is being started, and set up, takes minutes; those that come together come within seconds.
PATIENCE_SECONDS = 600.0
SETTLED_SECONDS = 15.0
LOOK_SECONDS = 1.0

Resources = Mapping[str, float]


def joined(
    look: Callable[[], Resources],
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Resources:
    """The resources of a cluster that has CPUs for packs; where it has none yet, those that its workers bring.

    Returns at once where there is a CPU. Else waits until one has joined and no other did for SETTLED_SECONDS; what has
    not joined within PATIENCE_SECONDS is not waited for.
    """
    found = look()
    if found.get("CPU"):
        return found
    say(f"the cluster has no CPU yet: waiting for its workers, for at most {PATIENCE_SECONDS / 60:.0f} minutes")
    began = changed = clock()
    while clock() - began < PATIENCE_SECONDS and not (found.get("CPU") and clock() - changed >= SETTLED_SECONDS):
        sleep(LOOK_SECONDS)
        now = look()
        if _counted(now) != _counted(found):
            changed = clock()
        found = now
    return found


def _counted(resources: Resources) -> tuple[float, float]:
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0)
