"""W&B's folder of a study: which trials have a whole run there, and which runs were cut short."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from vmi.mirror.wandb_private import has_ended
from vmi.spec.trial import Row

# A run's file that changed this recently may belong to a client that is still writing it.
WRITING_SECONDS = 60.0
# For so long a client that was told to finish a run may write it without any change.
SETTLED_SECONDS = 1.0
# How many runs one process may leave cut short, and more; not those that it was sending, which bear a mark.
NEWEST = 16
# Lies in a run's folder for as long as it is sent: a process that is killed may leave any number of such runs.
SENDING = "sending"
_RUN = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(.+)")


def without_run(rows: Sequence[Row], folder: Path) -> list[Row]:
    """Those rows that have no whole run in `folder`/wandb; a run that was cut short is removed, to be written again.

    A run that was sent while it was written (WANDB_MODE=online) counts, and so does one that may still be written to.
    """
    whole: set[str] = set()
    ids = {row["trial_id"] for row in rows}
    for run, trial_id in _runs_of(ids, folder):
        if _is_whole(run / f"run-{trial_id}.wandb"):
            whole.add(trial_id)
        else:
            shutil.rmtree(run)
    return [row for row in rows if row["trial_id"] not in whole]


def missing_runs(trial_ids: Collection[str], folder: Path) -> list[str]:
    """Those trials that have no run in `folder`/wandb, for the study's driver, which nobody writes beside.

    Of the runs that are there the newest are looked at, and those that were being sent: what cut one short ended
    whoever wrote it. A run that was cut short is removed, once it has not changed for a second. Where there is no such
    folder, runs are not wanted, or were deleted, and none is missing.
    """
    if not (folder / "wandb").is_dir():
        return []
    found = {trial_id: run for run, trial_id in _runs_of(trial_ids, folder)}
    marked = [(trial_id, run) for trial_id, run in found.items() if (run / SENDING).exists()]
    for trial_id, run in dict([*list(found.items())[-NEWEST:], *marked]).items():
        if not _becomes_whole(run / f"run-{trial_id}.wandb"):
            shutil.rmtree(run)
            del found[trial_id]
    return [trial_id for trial_id in trial_ids if trial_id not in found]


def remove_runs(trial_ids: Collection[str], folder: Path) -> None:
    """Remove the runs of these trials from `folder`/wandb, where there are any. Raises OSError."""
    for run, _ in _runs_of(trial_ids, folder):
        shutil.rmtree(run)


def remove_cut_short(folder: Path) -> None:
    """Remove the runs that were begun online and not ended there, which nobody sends: W&B resumes them. No OSError."""
    for mark in (folder / "wandb").glob(f"run-*-*/{SENDING}"):
        shutil.rmtree(mark.parent, ignore_errors=True)


def _runs_of(trial_ids: Collection[str], folder: Path) -> Iterator[tuple[Path, str]]:
    """The folders in `folder`/wandb of these trials' runs, oldest first."""
    for run in sorted((folder / "wandb").glob("*run-*-*"), key=lambda run: run.name.removeprefix("offline-")):
        named = _RUN.fullmatch(run.name)
        if named and named[1] in trial_ids and run.is_dir():
            yield run, named[1]


def _becomes_whole(path: Path) -> bool:
    """Whether a run's file comes to say how the run ended; a client that has just ended may still write it."""
    ends = time.monotonic() + 2 * SETTLED_SECONDS  # the file's clock may be another one
    while not (whole := _is_whole(path, 0.0)) and _is_whole(path, SETTLED_SECONDS) and time.monotonic() < ends:
        time.sleep(0.05)
    return whole


def _is_whole(path: Path, writing_seconds: float = WRITING_SECONDS) -> bool:
    """Whether a run's file says how the run ended, and it was sent if it was to be; or was written to a moment ago."""
    try:
        recent, data = 0 <= time.time() - path.stat().st_mtime < writing_seconds, path.read_bytes()
    except OSError:
        return False
    return recent or (has_ended(data) and not (path.parent / SENDING).exists())
