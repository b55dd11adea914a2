"""`vmi watch --page`: the page of a study, written anew while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console

from vmi.in_flight.checkpoints import live_names
from vmi.monitor.status import Status
from vmi.process.console import say
from vmi.results.store import Store
from vmi.storage.paths import AnyPath, local

# Between two pages at least so long, and so many times what one took to write: to look on shall not slow the run down.
SECONDS, SHARE = 10.0, 5.0


class LivePage:
    """Writes the page of the study in `folder` as rows and reports come, and a last one that stays as it is on leaving.

    `clock` gives seconds.
    """

    def __init__(self, folder: AnyPath, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = Store(folder.absolute().parent, folder.absolute().name)
        self._console, self._clock = console, clock
        self._due = clock()
        self._shown: object = None
        self._said = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        whole = error is None or isinstance(error, KeyboardInterrupt)
        if whole and self._store.study_file.is_file():  # of a driver that ended at once there is none
            self._write(refresh=None)

    def seen(self, status: Status) -> None:
        """Write the page of a running study where it is due and shows more. InputError where it cannot be written."""
        began = self._clock()
        if not status.alive or status.spec is None or began < self._due:
            return
        there: object = (len(status.rows), len(status.drops), live_names(self._store))
        if there != self._shown:
            self._write(refresh=round(SECONDS))
            self._shown, took = there, self._clock() - began
            self._due = self._clock() + max(SECONDS, SHARE * took)

    def _write(self, refresh: int | None) -> None:
        from analysis.data.study_results import open_study  # loads plotly
        from analysis.report import FILE, publish
        from vmi.driver.own_data import register_beside

        results = open_study(self._store.folder)
        register_beside(results.folder)
        page = publish(results, refresh)
        if not self._said:
            self._said = True
            say(self._console, f"page: {page}")
            if local(results.folder) is None:
                say(self._console, f"and: {results.folder / FILE}")
