"""The W&B mirror: one run per stored trial. A view that may be deleted; the sweep never depends on it."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vmi.mirror.access import without_keys
from vmi.mirror.wandb_private import has_ended
from vmi.results.schema import METRICS
from vmi.spec.config import FIELD_TYPES
from vmi.spec.trial import Row
from vmi.storage.paths import AnyPath, local

# What a server that hangs may cost a commit, once: the first failure ends the mirroring of that commit.
INIT_SECONDS, FINISH_SECONDS = 20.0, 30.0
# A run's file that changed this recently may belong to a client that is still writing it.
WRITING_SECONDS = 60.0
# For so long a client that was told to finish a run may write it without any change.
SETTLED_SECONDS = 1.0
# How many runs one process may leave cut short, and more.
NEWEST = 16
MAX_TAG = 64
_ENDED = ("outcome", "reason", "step", "train_seconds")
_RUN = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(.+)")
_HEAD = ("study", "trial_id", "attempt", "step")


class Mirrored(NamedTuple):
    """How many runs were written, and what went wrong ("" for nothing)."""

    runs: int
    warning: str


def mirror(
    rows: Sequence[Row],
    curves: Sequence[Row],
    folder: AnyPath,
    project: str,
    mode: str,
    entity: str | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Mirrored:
    """One W&B run per row of `trials`, with its rows of `curves`, in `folder`/wandb. Raises no Exception.

    History carries the training minibatches' means as train/<column>, the summary the held-out metrics. A run's id is
    that of its trial, so online the same row twice is one run; offline see `without_run`. W&B's client writes to a
    folder only: with results in an object store nothing is kept offline here, and `vmi mirror` writes it later.
    `go_on` is asked before each run.
    """
    written = 0
    if mode == "disabled" or (mode == "offline" and local(folder) is None):
        return Mirrored(0, "")
    try:
        with own_folder(folder) as own:
            for _ in _write_runs(rows, curves, own, project, mode, entity, go_on):
                written += 1
    except Exception as error:
        return Mirrored(written, without_keys(f"W&B mirror: {type(error).__name__}: {error}".rstrip(": "), os.environ))
    return Mirrored(written, "")


@contextlib.contextmanager
def own_folder(folder: AnyPath) -> Iterator[Path]:
    """The folder itself; of results in an object store one of this machine, which is gone afterwards."""
    if (own := local(folder)) is not None:
        yield own
        return
    with tempfile.TemporaryDirectory(prefix="vmi-wandb-", ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


def _write_runs(
    rows: Sequence[Row],
    curves: Sequence[Row],
    folder: Path,
    project: str,
    mode: str,
    entity: str | None,
    go_on: Callable[[], bool],
) -> Iterator[None]:
    """Yields after each run."""
    import wandb

    # First of all, because logging in prints before a run's own settings hold.
    settings: Any = wandb.Settings
    wandb.setup(settings(silent=True, quiet=True, mode=mode))
    # W&B would turn to the system's temporary folder, or keep the run's id taken, where it cannot write.
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    reports: dict[tuple[str, int], list[Row]] = {}
    for curve in curves:
        reports.setdefault((curve["trial_id"], curve["attempt"]), []).append(curve)
    for row in rows:
        if not go_on():
            return
        own = reports.get((row["trial_id"], row["attempt"]), [])
        _write_run(wandb, row, own, folder, project, mode, entity)
        yield


def load_client() -> None:
    """Import W&B's client, which takes half a second; nothing is started or written. Raises no Exception."""
    with contextlib.suppress(Exception):  # said once there is a run to write
        importlib.import_module("wandb")


def finish_service() -> None:
    """Wait until every run that this process has written is on the disk, or sent. Raises no Exception."""
    if "wandb" in sys.modules:
        with contextlib.suppress(Exception):
            import wandb

            wandb.teardown()


def local_folder(folder: AnyPath) -> Path:
    """Where W&B's client keeps the runs of a study: its own folder; wandb/STUDY here, where that is no folder."""
    return local(folder) or Path.cwd() / "wandb" / folder.name


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

    Of the runs that are there the newest are looked at: what cut one short ended whoever wrote it. A run that was cut
    short is removed, once it has not changed for a second. Where there is no such folder, runs are not wanted, or were
    deleted, and none is missing.
    """
    if not (folder / "wandb").is_dir():
        return []
    found = {trial_id: run for run, trial_id in _runs_of(trial_ids, folder)}
    for trial_id, run in list(found.items())[-NEWEST:]:
        if not _becomes_whole(run / f"run-{trial_id}.wandb"):
            shutil.rmtree(run)
            del found[trial_id]
    return [trial_id for trial_id in trial_ids if trial_id not in found]


def remove_runs(trial_ids: Collection[str], folder: Path) -> None:
    """Remove the runs of these trials from `folder`/wandb, where there are any. Raises OSError."""
    for run, _ in _runs_of(trial_ids, folder):
        shutil.rmtree(run)


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
    """Whether a run's file says how the run ended, or was written to a moment ago."""
    try:
        recent, data = 0 <= time.time() - path.stat().st_mtime < writing_seconds, path.read_bytes()
    except OSError:
        return False
    return recent or has_ended(data)


def _write_run(
    wandb: Any, row: Row, curves: Sequence[Row], folder: Path, project: str, mode: str, entity: str | None
) -> None:
    run = wandb.init(
        entity=entity,
        project=project,
        group=row["suggestion_id"],
        job_type="train",
        id=row["trial_id"],
        name=_name(row),
        tags=[row[name][:MAX_TAG] for name in ("dataset", "layout", "preset")],
        config={name: row[name] for name in FIELD_TYPES},
        dir=str(folder),
        mode=mode,
        # Offline it means nothing and is warned of; online it is what makes the same trial twice one run.
        resume="allow" if mode == "online" else None,
        reinit="create_new",
        settings=lean_settings(wandb),
    )
    try:
        if not Path(run.settings.sync_dir).resolve().is_relative_to(folder.resolve()):
            raise OSError(f"{folder} cannot be written to")
        for curve in sorted(curves, key=lambda curve: int(curve["step"])):
            if curve["step"] < run.starting_step:  # there already
                continue
            values = {f"train/{k}": v for k, v in curve.items() if k not in _HEAD and isinstance(v, int | float)}
            run.log(values, step=curve["step"])
        final = {k: v for k, v in row.items() if v is not None and _is_final(k)}
        # Online the run of a trial that was tried again goes on: what it failed of before is not its reason any more.
        run.summary.update(final | ({"reason": row["reason"]} if run.resumed else {}))
    finally:
        run.finish(exit_code=int(row["outcome"] == "failed"))


def lean_settings(wandb: Any) -> Any:
    """The lean settings: no console capture, no probes of the system, of git or of the code."""
    return wandb.Settings(
        console="off",
        silent=True,
        quiet=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        disable_git=True,
        disable_code=True,
        symlink=False,
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
    )


def _name(row: Row) -> str:
    return f"λ={row['mi_weight']:g} η={row['entropy_weight']:g} seed {row['seed']}"


def _is_final(column: str) -> bool:
    return column in METRICS or column in _ENDED or column.endswith("_nats")
