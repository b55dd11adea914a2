"""W&B's client: one run per trial. A view that may be deleted; the sweep never depends on it."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from vmi.mirror.access import without_keys
from vmi.mirror.run_folders import SENDING
from vmi.results.schema import METRICS
from vmi.spec.config import FIELD_TYPES
from vmi.spec.trial import Row
from vmi.storage.paths import AnyPath, local

# What a server that hangs may cost a commit, once: the first failure ends the mirroring of that commit.
INIT_SECONDS, FINISH_SECONDS = 20.0, 30.0
MAX_TAG = 64
_ENDED = ("outcome", "reason", "step", "train_seconds")
_HEAD = ("study", "trial_id", "attempt", "step")


class Mirrored(NamedTuple):
    """How many runs were written, and what went wrong ("" for nothing)."""

    runs: int
    warning: str


class TrialRun:
    """The run of one trial, open until `end`: begun, or online resumed where W&B has it, under the trial's id.

    `row` names the configuration, as one of `trials` does; `folder`/wandb is W&B's folder. Raises whatever W&B's client
    raises, and OSError where it cannot write there.
    """

    def __init__(self, row: Row, folder: Path, project: str, mode: str, entity: str | None = None) -> None:
        self._run = _begun(row, folder, project, mode, entity)
        self._next = int(self._run.starting_step)  # steps below are there already
        own = Path(self._run.settings.sync_dir)
        self._mark = own / SENDING if mode == "online" else None
        try:
            if not own.resolve().is_relative_to(folder.resolve()):
                raise OSError(f"{folder} cannot be written to")
            if self._mark:
                self._mark.touch()
        except OSError:
            self._run.finish(exit_code=1)
            raise

    def send(self, curves: Iterable[Row]) -> None:
        """Those reports that it does not have; nobody waits for the server."""
        for curve in sorted(curves, key=lambda curve: int(curve["step"])):
            if curve["step"] >= self._next:
                values = {f"train/{k}": v for k, v in curve.items() if k not in _HEAD and isinstance(v, int | float)}
                self._run.log(values, step=curve["step"], commit=True)
                self._next = curve["step"] + 1

    def end(self, row: Row, curves: Iterable[Row]) -> None:
        """The trial has this row and these reports: what is missing of them, the summary, and how it ended."""
        try:
            self.send(curves)
            final = {k: v for k, v in row.items() if v is not None and _is_final(k)}
            # Online the run of a trial that was tried again goes on: it failed of its old reason before, not now.
            self._run.summary.update(final | ({"reason": row["reason"]} if self._run.resumed else {}))
        finally:
            self._run.finish(exit_code=int(row["outcome"] == "failed"))
        if self._mark:
            self._mark.unlink(missing_ok=True)


def mirror(
    rows: Sequence[Row],
    curves: Sequence[Row],
    folder: AnyPath,
    project: str,
    mode: str,
    entity: str | None = None,
    go_on: Callable[[], bool] = lambda: True,
    opened: MutableMapping[str, TrialRun] | None = None,
) -> Mirrored:
    """One W&B run per row of `trials`, with its rows of `curves`, in `folder`/wandb. Raises no Exception.

    History carries the training minibatches' means as train/<column>, the summary the held-out metrics. A run's id is
    that of its trial, so online the same row twice is one run; offline see `run_folders.without_run`. W&B's client
    writes to a folder only: with results in an object store nothing is kept offline here, and `vmi mirror` writes it
    later. `go_on` is asked before each run. `opened` has runs that are open, by trial: they are ended, and taken out.
    """
    written = 0
    if mode == "disabled" or (mode == "offline" and local(folder) is None):
        return Mirrored(0, "")
    try:
        with own_folder(folder) as own:
            for _ in _write_runs(rows, curves, own, project, mode, entity, go_on, {} if opened is None else opened):
                written += 1
    except Exception as error:
        return Mirrored(written, warning_of(error))
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
    opened: MutableMapping[str, TrialRun],
) -> Iterator[None]:
    """Yields after each run."""
    reports: dict[tuple[str, int], list[Row]] = {}
    for curve in curves:
        reports.setdefault((curve["trial_id"], curve["attempt"]), []).append(curve)
    for row in rows:
        if not go_on():
            return
        own = reports.get((row["trial_id"], row["attempt"]), [])
        run = opened.pop(row["trial_id"], None) or TrialRun(row, folder, project, mode, entity)
        run.end(row, own)
        yield


def warning_of(error: Exception) -> str:
    """What to say of an error of W&B's client, without the environment's keys."""
    return without_keys(f"W&B mirror: {type(error).__name__}: {error}".rstrip(": "), os.environ)


def _client(mode: str) -> Any:
    """W&B's client."""
    import wandb

    # First of all, because logging in prints before a run's own settings hold.
    settings: Any = wandb.Settings
    wandb.setup(settings(silent=True, quiet=True, mode=mode))
    return wandb


def load_client() -> None:
    """Import W&B's client, which takes half a second; nothing is started or written. Raises no Exception."""
    with contextlib.suppress(Exception):  # said once there is a run to write
        importlib.import_module("wandb")


def finish_service() -> None:
    """Wait until every run that this process has written is on the disk, or sent. Raises no Exception."""
    if "wandb" in sys.modules:
        with contextlib.suppress(Exception, SystemExit):  # with the exit code of a process that was killed
            import wandb

            wandb.teardown()


def abandon_service() -> None:
    """End W&B's own process, which waits for a server, and let go of every run that is open. Raises no Exception.

    What was not sent of them is not sent, and they may be begun anew.
    """
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "wandb-core" in child.name():
                child.kill()
                child.wait()
    finish_service()


def local_folder(folder: AnyPath) -> Path:
    """Where W&B's client keeps the runs of a study: its own folder; wandb/STUDY here, where that is no folder."""
    return local(folder) or Path.cwd() / "wandb" / folder.name


def _begun(row: Row, folder: Path, project: str, mode: str, entity: str | None) -> Any:
    """A run of W&B's client."""
    wandb = _client(mode)
    # W&B would turn to the system's temporary folder, or keep the run's id taken, where it cannot write.
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    return wandb.init(
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
