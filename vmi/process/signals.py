"""Signals while a study runs: Ctrl-C and SIGTERM end it, SIGUSR1 says that its time is nearly over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Self

RESUMABLE = (signal.SIGINT, signal.SIGTERM)
# So long a signal waits for a step or a chunk of an evaluation to end.
DEFER_SECONDS = 5.0
# And so long for what is imported: torch from a slow disk.
IMPORT_SECONDS = 60.0


class TerminatedError(KeyboardInterrupt):
    """SIGTERM was received. A KeyboardInterrupt, so that no `except Exception` on the way swallows it."""


def exit_code(error: KeyboardInterrupt) -> int:
    """130 after SIGINT, 143 after SIGTERM."""
    return 128 + (signal.SIGTERM if isinstance(error, TerminatedError) else signal.SIGINT)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises TerminatedError inside, and SIGHUP does nothing: a terminal that is closed ends no sweep.

    Before and after they do what they did. Outside of the main thread, where Python hands out no signal, it is nothing.
    """
    if not _receives():
        yield
        return
    received = False

    def terminate(number: int, frame: object) -> NoReturn:
        nonlocal received
        received = True
        raise TerminatedError

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, terminate)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    except KeyboardInterrupt as error:
        if received and not isinstance(error, TerminatedError):
            # Ray, waiting in C++, makes a plain KeyboardInterrupt of whatever a handler raises.
            raise TerminatedError from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def noticed(act: Callable[[], object]) -> Iterator[None]:
    """SIGUSR1 calls `act` inside: a scheduler's word that the time is nearly over. Afterwards it does what it did.

    Outside of the main thread, where Python hands out no signal, it is nothing.
    """
    if not _receives():
        yield
        return
    before = signal.signal(signal.SIGUSR1, lambda number, frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL if before is None else before)


def put_back(number: signal.Signals, handler: Any) -> None:
    """Give a signal the handler (of `signal.getsignal`) that a library has taken from it."""
    if _receives() and handler is not None:
        signal.signal(number, handler)


class Deferred:
    """The first SIGINT or SIGTERM, which waits until whoever works is between two steps. Use as a context.

    A second one is raised at once; where nobody has looked within `seconds`, so is the first. Outside of the main
    thread there is none.
    """

    def __init__(self, seconds: float = DEFER_SECONDS) -> None:
        self._seconds = seconds
        self._before: dict[signal.Signals, Any] = {}
        self._timer: threading.Timer | None = None
        self.received: int | None = None

    def __enter__(self) -> Self:
        if _receives():
            self._before = {number: signal.signal(number, self._receive) for number in RESUMABLE}
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Whether a signal was received."""
        return self.received is not None

    def error(self) -> KeyboardInterrupt:
        """What the signal that was received stands for."""
        return TerminatedError() if self.received == signal.SIGTERM else KeyboardInterrupt()

    def _receive(self, number: int, frame: object) -> None:
        if self.asked():
            raise self.error()
        self.received = number
        main = threading.main_thread().ident  # a real signal: it ends a wait, too
        self._timer = threading.Timer(self._seconds, signal.pthread_kill, [main, number])
        self._timer.daemon = True
        self._timer.start()


@contextmanager
def importing() -> Iterator[None]:
    """A signal waits for what is imported inside: a notebook that has half of pandas gets no whole one any more."""
    with Deferred(IMPORT_SECONDS) as signals:
        yield
    if signals.asked():
        raise signals.error()


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Whatever takes over the handler of SIGTERM inside (a library does) gives it back; its own exit is ours."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as error:
        raise TerminatedError from error
    finally:
        if _receives():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals of a second, impatient Ctrl-C are ignored inside: what is being put away is put away whole."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in RESUMABLE if _receives()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _receives() -> bool:
    """Whether this thread is the one that gets signals, and may say what they do."""
    return threading.current_thread() is threading.main_thread()
