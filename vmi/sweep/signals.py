"""Ctrl-C and SIGTERM while a study runs: both end it in the same orderly way, and are told apart by the exit code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

RESUMABLE = (signal.SIGINT, signal.SIGTERM)


class TerminatedError(KeyboardInterrupt):
    """SIGTERM was received. A KeyboardInterrupt, so that no `except Exception` on the way swallows it."""


def exit_code(error: KeyboardInterrupt) -> int:
    """130 after SIGINT, 143 after SIGTERM."""
    return 128 + (signal.SIGTERM if isinstance(error, TerminatedError) else signal.SIGINT)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises TerminatedError inside; before and after it does what it did."""
    received = False

    def terminate(number: int, frame: object) -> NoReturn:
        nonlocal received
        received = True
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        if received and not isinstance(error, TerminatedError):
            # Ray, waiting in C++, makes a plain KeyboardInterrupt of whatever a handler raises.
            raise TerminatedError from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Whatever takes over the handler of SIGTERM inside (a library does) gives it back; its own exit is ours."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as error:
        raise TerminatedError from error
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals of a second, impatient Ctrl-C are ignored inside: what is being put away is put away whole."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in RESUMABLE}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
