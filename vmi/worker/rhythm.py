"""When a pack's next checkpoint is due: by the clock, not by what it reports."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

CHECKPOINT_SECONDS = 30.0
# Where the user names no interval, writing takes at most this share of the time.
WRITING_SHARE = 0.02
# An evaluation may take minutes: before one, and between its groups of members, a checkpoint is due so much sooner.
EVALUATION_SHARE = 1 / 3
# A node that goes: its agent makes the file that this variable names, and from then on checkpoints are so far apart.
NOTICE_VARIABLE = "VMI_PREEMPTION_FILE"
NOTICE_SECONDS = 5.0


class Rhythm:
    """Says when a checkpoint is due, from how long ago the last one was written and how long that took.

    `seconds` is what the user named (None: CHECKPOINT_SECONDS, or as much more as WRITING_SHARE asks for).
    """

    def __init__(
        self,
        seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._given, self._clock = seconds, clock
        self.interval = CHECKPOINT_SECONDS if seconds is None else seconds
        notice = environ.get(NOTICE_VARIABLE)
        self._notice = Path(notice) if notice else None
        self._noticed = False
        self._written = clock()

    def begin(self) -> None:
        """What is trained now lies in a checkpoint, or is at its beginning."""
        self._written = self._clock()

    def due(self, share: float = 1.0) -> bool:
        """Whether to write now; `share` of the interval is enough. At once where the node has just been told to go."""
        if self._notice is not None and not self._noticed and self._notice.exists():
            self._noticed, self.interval = True, min(self.interval, NOTICE_SECONDS)
            return True
        return self._clock() - self._written >= share * self.interval

    def wrote(self, began: float) -> str:
        """A checkpoint was written, from `began` until now; what to say where the interval has to grow by much."""
        self._written = self._clock()
        took = self._written - began
        least = took / WRITING_SHARE - took
        if self._given is not None or self._noticed or least <= self.interval:
            return ""
        before, self.interval = self.interval, least
        if least < 1.5 * before and before > CHECKPOINT_SECONDS:
            return ""
        return f"a checkpoint takes {took:.1f} s to write: the next ones are {least:.0f} s apart"
