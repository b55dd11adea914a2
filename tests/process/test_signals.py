"""SIGTERM as an orderly end of a study, told apart from Ctrl-C whatever becomes of its exception."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from vmi.process.signals import TerminatedError, exit_code, kept_handlers, noticed, put_back, terminable, undisturbed


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


def test_sigusr1_is_a_notice_inside_and_afterwards_what_it_was() -> None:
    heard: list[int] = []
    before = signal.getsignal(signal.SIGUSR1)
    with noticed(lambda: heard.append(1)):
        ours = signal.getsignal(signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # as a library does
        put_back(signal.SIGUSR1, ours)
        os.kill(os.getpid(), signal.SIGUSR1)
    assert heard == [1, 1] and signal.getsignal(signal.SIGUSR1) == before


def test_a_thread_hears_no_notice_and_changes_no_handler() -> None:
    before, seen = signal.getsignal(signal.SIGUSR1), list[object]()

    def inside() -> None:
        with noticed(lambda: None):
            put_back(signal.SIGUSR1, signal.SIG_IGN)
            seen.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
