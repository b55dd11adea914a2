"""Noticing that the cluster is gone: Ray waits for it for a minute, and then ends the process without a word."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

LOOK_SECONDS = 2.0
# A head that restarts, or a network that stumbles, has this long.
PATIENCE_SECONDS = 20.0


class ClusterLostError(RuntimeError):
    """The cluster does not answer any more. What was finished is in the store, and a new cluster goes on from there."""


class Watch:
    """Interrupts the main thread (KeyboardInterrupt) once `look` has found something wrong for PATIENCE_SECONDS.

    `look` says what is wrong, "" for nothing; it may raise, or hang for as long as it likes. `lost` then says what.
    """

    def __init__(self, look: Callable[[], str], patience: float = PATIENCE_SECONDS) -> None:
        self._look, self._patience = look, patience
        self._said, self._is_well = "it does not answer", False
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=act, daemon=True) for act in (self._looking, self._judging)]
        self.lost = ""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody looks any more: what is put away next is not to be looked at meanwhile."""
        self._stop.set()
        if not self.lost:
            self._threads[0].join(LOOK_SECONDS)

    def _looking(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                said = self._look()
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            self._said = said or self._said
            self._is_well |= not said

    def _judging(self) -> None:
        """Counted in waits and not by the clock: a process that was stopped for a while has not waited for anything."""
        waited = 0.0
        while waited < self._patience:
            if self._stop.wait(LOOK_SECONDS / 2):
                return
            waited, self._is_well = 0.0 if self._is_well else waited + LOOK_SECONDS / 2, False
        self.lost = self._said
        _thread.interrupt_main()
