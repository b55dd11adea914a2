"""SIGTERM as an orderly end of a study, told apart from Ctrl-C whatever becomes of its exception."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from vmi.process.signals import TerminatedError, exit_code, kept_handlers, terminable, undisturbed


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_passes_every_except_exception_and_gives_143() -> None:
    with pytest.raises(TerminatedError) as ended, terminable():
        try:
            terminate()
        except Exception:
            pytest.fail("swallowed")
    assert exit_code(ended.value) == 143
    assert exit_code(KeyboardInterrupt()) == 130


def test_sigterm_is_told_apart_where_a_library_made_a_plain_interrupt_of_it() -> None:
    with pytest.raises(TerminatedError), terminable():
        try:
            terminate()
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None
    with pytest.raises(KeyboardInterrupt) as ended, terminable():
        raise KeyboardInterrupt
    assert exit_code(ended.value) == 130


def test_a_library_that_takes_the_handler_over_gives_it_back() -> None:
    with pytest.raises(TerminatedError), terminable():
        with kept_handlers():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        terminate()
    with pytest.raises(TerminatedError), kept_handlers():
        sys.exit(15)


def test_nothing_disturbs_the_putting_away_and_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with undisturbed():
        terminate()
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(TerminatedError), terminable():
        terminate()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
