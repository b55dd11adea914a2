"""A start of a study that another driver runs: it hands over what it asks for more, and follows that driver."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime

from rich.console import Console

from vmi.driver.options import RunOptions, flag, options_of
from vmi.driver.preflight import Wanted, asked_of, request_in
from vmi.in_flight.asks import put_ask
from vmi.monitor import lock
from vmi.monitor.lock import Driver
from vmi.monitor.watch import watch
from vmi.process.console import say
from vmi.process.signals import terminable
from vmi.results.store import Store
from vmi.spec.errors import InputError, Problem
from vmi.study.study import Study

# What a driver that runs can't be asked for: it would change what it trains again, keeps or shows.
OWN = ("only", "retry_failed", "retry_stopped", "keep_models")
_WAIT_SECONDS = 0.2


def follow(study: Study, store: Store, options: RunOptions, console: Console) -> int | None:
    """Have the driver that runs the study train what is asked for too, and watch it to its end: the exit code.

    None where this start is to train: nobody else runs the study, or whoever did ended before the request was taken up.

    Raises InputError, and nothing was written: the request contradicts the study, or has options that would change how
    the driver runs it.
    """
    followed = False
    while (driver := _other(store)) is not None:
        wanted = _wanted(study, store, options, driver)
        if wanted is None:
            continue  # it ended before it had begun
        if wanted.grows and not followed:
            put_ask(store, request_in(wanted), datetime.now(UTC))
        code = _followed(store, wanted, driver, console)
        followed = True
        if not asked_of(study, store, False, datetime.now(UTC)).grows:
            return code
        if _other(store) is None:
            say(console, "the driver has ended before it took the request up: it is trained here")
    return None


def _wanted(study: Study, store: Store, options: RunOptions, driver: Driver) -> Wanted | None:
    """What is asked of the driver, once study.json is there; None where it ends before that."""
    _refuse(options, driver)
    while (spec := store.read_study()) is None:
        if _other(store) is None:
            return None
        time.sleep(_WAIT_SECONDS)
    if spec.get("only"):
        raise InputError([lock.busy(driver), Problem("--only", True, "what it was started with: it trains no more")])
    return asked_of(study, store, False, datetime.now(UTC))


def _refuse(options: RunOptions, driver: Driver) -> None:
    given = {part.name: getattr(options, part.name) for part in options_of(type(options)) if part.name in OWN}
    defaults = {part.name: part.default for part in options_of(type(options))}
    wrong = [Problem(flag(n), v, "not while another driver runs it") for n, v in given.items() if v != defaults[n]]
    if wrong:
        raise InputError([lock.busy(driver), *wrong])


def _followed(store: Store, wanted: Wanted, driver: Driver, console: Console) -> int:
    asked = f"it was asked for more: {', '.join(wanted.grows)}" if wanted.grows else "nothing more is asked for"
    say(console, f"{store.study}: another driver runs it, {driver}; {asked}. Its own options hold. Following it:")
    try:
        with terminable():
            return watch(store.folder, console)
    except KeyboardInterrupt:
        say(console, f"not followed any longer; {store.study} is trained on by its driver, with what was asked for")
        raise


def _other(store: Store) -> Driver | None:
    """The living driver that runs the study in another process; a second run of this one waits for the first."""
    driver = lock.read(store.folder, time.time())
    own = driver is not None and (driver.host, driver.pid) == (socket.gethostname(), os.getpid())
    return driver if driver is not None and driver.alive and driver.trains and not own else None
