"""What each member of a session has cost: seconds, split evenly over the members that they were spent on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping


class Shares:
    """Seconds by trial; the time between two charges goes to those that the second one names, in equal parts.

    Members of a pack take every step together, so a member's sum is its share by steps. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float], seconds: Mapping[str, float] | None = None) -> None:
        self._clock = clock
        self.seconds = dict(seconds or {})
        self._since = clock()

    def charge(self, trial_ids: Iterable[str]) -> None:
        """Charge the time since the last charge to these trials; to nobody where there are none."""
        now, ids = self._clock(), list(trial_ids)
        for trial_id in ids:
            self.seconds[trial_id] = self.seconds.get(trial_id, 0.0) + (now - self._since) / len(ids)
        self._since = now if ids else self._since
