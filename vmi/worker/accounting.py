"""What each member of a session has cost: seconds, split evenly over the members that they were spent on."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class Shares:
    """Seconds of training steps by trial; those of a pack are charged to its members in equal parts.

    Members of a pack take every step together, so a member's sum is its share by steps.
    """

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds = dict(seconds or {})

    def charge(self, trial_ids: Collection[str], seconds: float) -> None:
        """Charge seconds to these trials; to nobody where there are none."""
        for trial_id in trial_ids:
            self.seconds[trial_id] = self.seconds.get(trial_id, 0.0) + seconds / len(trial_ids)
