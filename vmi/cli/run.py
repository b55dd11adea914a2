"""The command line that every study file gets from `main(study)`."""

from __future__ import annotations

import errno
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import typer
from rich.console import Console

from vmi.cli.arguments import Debug, takes
from vmi.cli.parsing import BAD_INPUT, Gathering, usage_problems
from vmi.driver.budget import SPENT
from vmi.driver.options import RunOptions
from vmi.process.console import lost, protect, say
from vmi.process.signals import exit_code
from vmi.spec.errors import InputError, Problem, StoreError
from vmi.study.study import Study

BROKEN, DAMAGED_STORE = 1, 3
# What every study file and every command ends with.
EXIT_CODES = {
    0: "done",
    BROKEN: "some trials failed or are missing, and are named; an error that nobody foresaw; the answer of a query was "
    "lost on its way out; or a trial came out in another way than it is stored (vmi rerun)",
    BAD_INPUT: "bad input: every bad field is named, nothing was started or written",
    DAMAGED_STORE: "a damaged store: the file is named, and kept",
    SPENT: "the run's budget is spent (`--hours`, `--until`, `--trials`, the end of its Slurm job, SIGUSR1) before the "
    "study is complete: finished trials and checkpoints are kept, the same command resumes",
    128 + signal.SIGINT: "interrupted (SIGINT, Ctrl-C): finished trials and checkpoints are kept",
    128 + signal.SIGTERM: "ended (SIGTERM): finished trials and checkpoints are kept",
}
# What the system says of a path that is not for this user or this use.
UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


def main(study: Study) -> NoReturn:
    """Run the study as the command line asks, and exit with one of EXIT_CODES."""

    @takes(RunOptions)
    def run(context: typer.Context, options: RunOptions, debug: Debug = False) -> None:
        """Train what is missing of this study; rerunning skips finished trials."""

        def start() -> int:
            from vmi.driver.launch import launch  # loads pyarrow: not for --help

            return launch(study, replace(options, usage=usage_problems(context)), Console())

        raise typer.Exit(guarded(start, debug))

    protect()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(cls=Gathering)(run)
    app()
    raise AssertionError("typer exits")


def guarded(action: Callable[[], int], debug: bool = False, *, only_says: bool = False) -> int:
    """The action's exit code; 2 for a bad input and 3 for a damaged store, said on standard error without secrets.

    `only_says`: what is said is all that the action is for, so 1 where it was lost; a reader that has gone had enough.
    """
    try:
        return action() or (_unheard() if only_says else 0)
    except (InputError, StoreError) as error:
        _say(f"error: {error}", debug)
        return BAD_INPUT if isinstance(error, InputError) else DAMAGED_STORE
    except KeyboardInterrupt as error:
        return exit_code(error)
    except OSError as error:
        if error.errno not in UNUSABLE or not error.filename:
            return _unforeseen(error, debug)
        path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        _say(f"error: {InputError([Problem('path', path, 'a path that can be used', str(error.strerror))])}", debug)
        return BAD_INPUT
    except Exception as error:  # what nobody foresaw: still no traceback unless it is asked for
        return _unforeseen(error, debug)


def _unheard() -> int:
    error = lost()
    if error is None or error.errno == errno.EPIPE:
        return 0
    _say(f"error: standard output: {error.strerror}", debug=False)
    return BROKEN


def _unforeseen(error: Exception, debug: bool) -> int:
    _say(f"error: {type(error).__name__}: {error} (--debug shows where)", debug)
    return BROKEN


def _say(line: str, debug: bool) -> None:
    """On standard error, after the traceback where it is asked for."""
    lines = f"{traceback.format_exc()}{line}" if debug else line
    say(Console(stderr=True), lines)
