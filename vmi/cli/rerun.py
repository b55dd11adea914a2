"""What `vmi rerun` says: whether a stored trial comes out bitwise as it is stored, or what differs, and on what."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from vmi.driver.rerun import Rerun, ending, keep, place_for, rerun, stored_trial, trial_of
from vmi.monitor.progress import PLAIN_SECONDS
from vmi.process.console import say
from vmi.results.store import Store
from vmi.spec.errors import InputError, Problem
from vmi.spec.trial import Row
from vmi.spec.words import duration
from vmi.storage.paths import AnyPath
from vmi.worker.messages import Update

SAME, DIFFERENT = 0, 1
SHOWN = 40


def rerun_trial(folder: AnyPath, trial_id: str, out: AnyPath | None, scratch: Path, console: Console) -> int:
    """Train the trial again in `scratch` and say how it compares. Raises InputError with all that is wrong at once."""
    store = Store(folder.absolute().parent, folder.absolute().name)
    wrong: tuple[Problem, ...] = ()
    try:
        place = place_for(out, store) if out is not None else None
    except InputError as error:
        wrong = error.problems
    try:
        row = stored_trial(store, trial_id)
        trial = trial_of(row, store)
    except InputError as error:
        wrong += error.problems
    if wrong:
        raise InputError(wrong)
    spec = store.read_study() if place else None
    say(console, f"{store.study}: trial {trial_id}, {_settings(row)}: {ending(row)}, as it is stored")
    done = rerun(store, row, trial, scratch, _progress(console))
    say(console, *_lines(done))
    if place:
        keep(done, place, spec)
        say(console, f"kept in: {place.folder}")
    return DIFFERENT if done.differences else SAME


def _progress(console: Console) -> Callable[[Update], None]:
    """Says how far a long training is, and what it warns of."""
    last = [time.monotonic()]

    def note(update: Update) -> None:
        if update.warning:
            say(console, f"warning: {update.warning}")
        if time.monotonic() - last[0] >= PLAIN_SECONDS and not update.over:
            last[0] = time.monotonic()
            say(console, f"step {update.step} of {update.steps}")

    return note


def _lines(done: Rerun) -> Iterator[str]:
    stored, again, found = done.stored, done.again, done.differences
    yield f"trained again as a pack of one, in {duration(done.seconds)}: {ending(again.row)}"
    if done.until is not None:
        yield f"it was {done.stored.row['outcome']}, and is not here: compared is its curve, up to step {done.until}"
    if not found:
        yield f"bitwise the same: {', '.join(_compared(done))}"
        return
    yield "not the same:"
    yield from (f"  {line}" for line in found[:SHOWN])
    if len(found) > SHOWN:
        yield f"  and {len(found) - SHOWN} more"
    yield f"stored: {_made_by(stored.row)}"
    yield f"now: {_made_by(again.row)}"


def _compared(done: Rerun) -> Iterator[str]:
    stored = done.stored
    reports = sum(done.until is None or step <= done.until for step in stored.curve)
    if stored.row["outcome"] == "failed":
        yield "its last step, its reason"
    if done.until is None and stored.metrics:
        yield f"{len(stored.metrics)} metrics"
    yield f"{reports} reports of its curve"
    if done.until is None and stored.arrays:
        yield f"{len(stored.arrays)} arrays"


def _made_by(row: Row) -> str:
    """ "vmi-sweeps 0.1.0, torch 2.11.0, on cpu"."""
    try:
        versions = ", ".join(f"{name} {version}" for name, version in json.loads(row["versions"] or "{}").items())
    except (ValueError, AttributeError):
        versions = str(row["versions"])
    return f"{versions or 'unknown versions'}, on {row['device']}"


def _settings(row: Row) -> str:
    return f"{row['dataset']} {row['layout']}, mi_weight {row['mi_weight']:g}, seed {row['seed']}"
