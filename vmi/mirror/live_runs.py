"""W&B runs of trials under way: begun with a trial's first durable report, sent each later one, left open.

What is durable is what a worker writes with each checkpoint (`vmi.in_flight.live`). Whoever ends a trial's run sends
its whole curve, so a report that was never seen here is late and not missing. W&B resumes a run by its trial's id and
says which steps it has: none is sent twice, whoever was killed.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vmi.in_flight.live import live_of
from vmi.mirror.runs import TrialRun, own_folder
from vmi.results.store import Store
from vmi.spec.trial import Row
from vmi.storage.paths import local

# An open run costs W&B's own process 1.7 MB and two threads here (docs/decisions/mirror.md).
MOST_OPEN = 64
# Between two looks at what packs have reported.
LOOK_SECONDS, OBJECT_STORE_SECONDS = 2.0, 15.0


class LiveRuns:
    """Runs of one study's trials under way, online. `clock` is in seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self.opened: dict[str, TrialRun] = {}
        self._store, self._clock = store, clock
        self._every = LOOK_SECONDS if local(store.root) is not None else OBJECT_STORE_SECONDS
        self._news: dict[str, Sequence[str]] = {}
        self._read = deque[tuple[Row, list[Row]]]()
        self._ended: set[str] = set()
        self._due = clock()
        self._resources = contextlib.ExitStack()
        self._folder: Path | None = None

    def note(self, pack_id: str, trial_ids: Sequence[str]) -> None:
        """The pack has made reports durable; these of its trials are under way."""
        self._news[pack_id] = trial_ids

    def wait_seconds(self) -> float | None:
        """For how long there is nothing to send; None: until there is news."""
        if self._read:
            return 0.0
        return max(0.0, self._due - self._clock()) if self._news else None

    def send(self, go_on: Callable[[], bool]) -> None:
        """Send what there is, as long as `go_on` says so; the next call resumes. Raises whatever W&B's client does."""
        while go_on() and self.wait_seconds() == 0.0:
            if not self._read:
                self._look()
            while self._read and go_on():
                self._send(*self._read.popleft())

    def forget(self, trial_ids: Iterable[str]) -> None:
        """These trials have ended: nothing of them is sent any more."""
        self._ended.update(trial_ids)

    def close(self) -> None:
        """Once W&B's own process, which writes there, has ended."""
        self.opened.clear()
        self._news.clear()
        self._read.clear()
        self._resources.close()

    def _look(self) -> None:
        self._due = self._clock() + self._every
        news, self._news = self._news, {}
        for pack_id, trial_ids in news.items():
            with contextlib.suppress(OSError):  # of a store that stays away; the next checkpoint, or the end, brings it
                if live := live_of(self._store, pack_id):
                    rows = {row["trial_id"]: row for row in live.trials}
                    reports = live.reports(rows.keys() & {*trial_ids} - self._ended)
                    self._read.extend((rows[trial_id], own) for trial_id, own in reports.items())

    def _send(self, row: Row, reports: list[Row]) -> None:
        trial_id = row["trial_id"]
        if trial_id in self._ended or (trial_id not in self.opened and len(self.opened) == MOST_OPEN):
            return
        self._folder = self._folder or self._resources.enter_context(own_folder(self._store.folder))
        if trial_id not in self.opened:
            self.opened[trial_id] = TrialRun(row, self._folder, self._store.study, "online")
        self.opened[trial_id].send(reports)
