"""Run a study from its declaration to its exit code: check everything, resume from the store, run, say how it ended."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from vmi.driver.budget import SPENT
from vmi.driver.following import follow
from vmi.driver.options import RunOptions
from vmi.driver.preflight import asked_of, check
from vmi.driver.run import BudgetSpentError, Run, TrialsFailedError
from vmi.monitor.lock import Heartbeat
from vmi.process.console import say
from vmi.process.scratch import scratch
from vmi.process.signals import exit_code, noticed
from vmi.runners.watchdog import ClusterLostError
from vmi.storage.paths import AnyPath
from vmi.study.study import Study

OK, FAILED = 0, 1
_RUNNING = threading.Lock()


def launch(study: Study, options: RunOptions, console: Console) -> int:
    """As `drive`; the exit code: 0 only when planned = finished + reused, 1 when trials failed, else what ended it."""
    try:
        drive(study, options, console, shlex.join(["python", *sys.argv]))
    except KeyboardInterrupt as error:
        return exit_code(error)
    except (TrialsFailedError, ClusterLostError):
        return FAILED
    except BudgetSpentError:
        return SPENT
    return OK


def drive(study: Study, options: RunOptions, console: Console, again: str) -> AnyPath:
    """Run what is missing of the study as the options want it, and say how it went; the study's folder.

    `again` is what resumes it, should it be interrupted.

    Raises InputError before anything is started or written, StoreError when the store is damaged, and once it was said
    what is finished: TrialsFailedError, BudgetSpentError, ClusterLostError, KeyboardInterrupt (TerminatedError after
    SIGTERM).
    """
    study, unknown = options.applied(study)
    options = replace(options, usage=(*options.usage, *unknown))
    store, _, wandb = check(study, options, os.environ)
    if (code := follow(study, store, options, console)) is not None:
        if code != OK:
            raise TrialsFailedError("the run that was followed is over, and some of its trials failed or are missing")
        return store.folder
    with _alone(console), scratch(), Heartbeat(store.folder, store.study, trains=True) as heartbeat:
        wanted = asked_of(study, store, options.only, datetime.now(UTC))  # as it is now that nobody else can change it
        run = Run(wanted, options, console, again, store, wandb, heartbeat)
        with noticed(run.budget.notice):
            run.to_its_end()
    return store.folder


@contextlib.contextmanager
def _alone(console: Console) -> Iterator[None]:
    """One run at a time, whichever thread asks: TMPDIR, Ray's session and torch's threads are the whole process's."""
    if _RUNNING.locked():
        say(console, "note: waiting for another run of this process to end")
    with _RUNNING:
        yield
