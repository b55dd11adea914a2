"""Noticing that the cluster is gone: Ray waits for it for a minute, and then ends the process without a word."""

from __future__ import annotations

import _thread
import os
import shlex
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

LOOK_SECONDS = 2.0
# A head that restarts, or a network that stumbles, has this long.
PATIENCE_SECONDS = 20.0
GRACE_SECONDS = 5.0


class ClusterLostError(RuntimeError):
    """The cluster does not answer any more. Finished trials are in the store; a new cluster resumes from there."""


class Watch:
    """Interrupts the main thread (KeyboardInterrupt) once `look` has found something wrong for PATIENCE_SECONDS.

    `look` says what is wrong, "" for nothing; it may raise, or hang for as long as it likes. `lost` then says what.
    Where the main thread does not heed the interrupt, `end` is called with that: it ends the process.
    """

    def __init__(
        self, look: Callable[[], str], end: Callable[[str], object], patience: float = PATIENCE_SECONDS
    ) -> None:
        self._look, self._end, self._patience = look, end, patience
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
        # Ray may be waiting for its head where no signal is looked at, and would end the process without a word.
        if not self._stop.wait(GRACE_SECONDS):
            self._end(self.lost)


def end_process(said: str) -> None:
    """Say that the cluster is gone and how to go on, and end this process with exit code 1, whatever it waits for."""
    command = shlex.join(["python", *sys.argv])
    print(f"the Ray cluster is gone: {said}; finished trials are safe\nresume with: {command}", flush=True)  # noqa: T201
    os._exit(1)
