"""`vmi watch`: the status of one study until its driver is done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from vmi.monitor.progress import PLAIN_SECONDS
from vmi.monitor.status import Status, describe, headline, status_of, steps_done
from vmi.process.console import has_reader, say, sayable
from vmi.spec.errors import InputError, Problem, printable
from vmi.storage.paths import AnyPath, local

SECONDS = 1.0
# Every look at an object store is paid for by the request.
REMOTE_SECONDS = 5.0
DONE, UNDONE = 0, 1


def watch(
    folder: AnyPath,
    console: Console,
    look: Callable[[], Status] | None = None,
    seen: Callable[[Status], None] = lambda status: None,
) -> int:
    """Show the study until no driver is alive, or nobody reads; 0 when every trial has completed, else 1.

    On a terminal it is redrawn, elsewhere there is a line per change, and every so often where steps were taken. `seen`
    is told of every look. Raises InputError where there is no study, and StoreError naming a damaged file.
    """
    seconds = SECONDS if local(folder) else REMOTE_SECONDS
    look = look or (lambda: status_of(folder, time.time()))
    status = look()
    if not status.exists:
        raise InputError([Problem("folder", str(folder), "a study's results, such as results/lambda; no store yet")])
    seen(status)

    def again() -> Status:
        time.sleep(seconds)
        seen(status := look())
        return status

    status = (_redrawn if console.is_interactive else _lines)(status, again, console)
    for line in describe(status) if console.is_interactive else [_end(status)]:
        say(console, line)
    return DONE if status.complete and not status.failed else UNDONE


def _redrawn(status: Status, again: Callable[[], Status], console: Console) -> Status:
    with Live(_text(status, console.encoding), console=console, auto_refresh=False, transient=True) as live:
        while status.alive and has_reader():
            status = again()
            live.update(_text(status, console.encoding), refresh=True)
    return status


def _lines(status: Status, again: Callable[[], Status], console: Console) -> Status:
    before: object = None
    last = said = -math.inf
    while status.alive and has_reader():
        counts, steps, now = _counts(status), _steps(status), time.monotonic()
        if counts != before or (steps > last and now - said >= PLAIN_SECONDS):
            say(console, headline(status))
            before, last, said = counts, steps, now
        status = again()
    return status


def _steps(status: Status) -> float:
    steps = steps_done(status)
    return steps.done if steps else -math.inf


def _counts(status: Status) -> object:
    """What makes another line: not the time, nor every step."""
    running = status.driver.content.get("running") if status.driver else None
    return len(status.rows), status.failed, running


def _end(status: Status) -> str:
    """How the study stands once nobody drives it any more."""
    if status.complete:
        return f"{headline(status)}: the driver is done"
    gone = "has died" if status.driver else "has ended"
    return f"{headline(status)}: the driver {gone}; start the study again to train what is missing"


def _text(status: Status, encoding: str) -> Text:
    return Text("\n".join(sayable(printable(line), encoding) for line in describe(status)))
