"""What a worker does with its time, in pieces that neither overlap nor leave anything out. Runs inside Ray's workers.

Each piece is a line of JSON in the file that VMI_TRACE names: what, process, from, to, in seconds since the epoch. A
piece within another, as the k-means reference in an evaluation, is cut out of it.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STEPS, EVALUATION, REFERENCE, LIBRARIES = "steps", "evaluation", "k-means reference", "loading libraries"
REPORTS, HANDING, COMMITS, LOADING = "reports", "updates to Tune", "commits", "loading data"
REST, BETWEEN = "rest of a task", "between tasks"

# What is going on in this process and since when; nothing before its first task.
_now: list[tuple[str, float]] = []


def note(**line: object) -> None:
    """One line; a single short write appends whole."""
    with Path(os.environ["VMI_TRACE"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"pid": os.getpid(), **line}) + "\n")


def event(name: str, **more: object) -> None:
    """What has happened now."""
    note(at=time.time(), event=name, **more)


def turn(what: str) -> str:
    """From here on it is this; what it was until now."""
    at = time.time()
    before = _now.pop() if _now else ("", at)
    if before[0]:
        note(what=before[0], since=before[1], until=at)
    _now.append((what, at))
    return before[0]


@contextmanager
def span(what: str) -> Iterator[None]:
    before = turn(what)
    try:
        yield
    finally:
        turn(before)


def cut(owner: Any, name: str, what: str) -> None:
    """The owner's function is a piece of its own."""
    function: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(function)
    def timed(*given: Any, **named: Any) -> Any:
        with span(what):
            return function(*given, **named)

    setattr(owner, name, timed)


def watch() -> None:
    """Put the timers around what a worker calls, once per process."""
    if _now:
        return
    from vmi.data import dataset
    from vmi.results.writer import ParquetRecorder
    from vmi.training import accuracy, kmeans, train
    from vmi.worker import session

    cut(dataset, "load", LOADING)
    cut(accuracy, "load_libraries", LIBRARIES)
    cut(train, "run_steps", STEPS)
    cut(train, "_reports", REPORTS)
    cut(kmeans, "reference", REFERENCE)
    cut(ParquetRecorder, "commit", COMMITS)
    cut(session, "evaluate", EVALUATION)
    cut(train, "measure", EVALUATION)
