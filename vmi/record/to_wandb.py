"""The W&B mirror: one run per stored trial. A view that may be deleted; the sweep never depends on it."""

from __future__ import annotations

import configparser
import netrc
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from vmi.config import FIELD_TYPES
from vmi.errors import InputError, Problem, did_you_mean, one_of, printable
from vmi.record.schema import METRICS

MODES = ("online", "offline", "disabled")
# What a server that hangs may cost a commit, once: the first failure ends the mirroring of that commit.
INIT_SECONDS, FINISH_SECONDS = 20.0, 30.0
MAX_TAG = 64
_ENDED = ("outcome", "reason", "step", "train_seconds")
_HEAD = ("study", "trial_id", "attempt", "step")

_KEY = re.compile(r"wandb_v\d+_\w+|\b[0-9a-fA-F]{40}\b")

Row = Mapping[str, Any]


class Mode(NamedTuple):
    """One of MODES, and what the user should be told about it ("" for nothing)."""

    mode: str
    note: str


class Mirrored(NamedTuple):
    """How many runs were written, and what went wrong ("" for nothing)."""

    runs: int
    warning: str


def mode_from(environ: Mapping[str, str]) -> Mode:
    """WANDB_MODE, offline by default and when there is no key to go online. InputError on any other value."""
    asked = environ.get("WANDB_MODE") or "offline"
    if asked not in MODES:
        problem = Problem("WANDB_MODE", asked, one_of(MODES), did_you_mean(asked, MODES))
        raise InputError([problem], "environment")
    if asked == "online" and not _has_key(environ):
        return Mode("offline", "WANDB_MODE is online but there is no API key: W&B runs are kept offline")
    return Mode(asked, "")


def mirror(rows: Sequence[Row], curves: Sequence[Row], folder: Path, project: str, mode: str) -> Mirrored:
    """One W&B run per row of `trials`, with its rows of `curves`, in `folder`/wandb. Raises no Exception.

    History carries the training minibatches' means as train/<column>, the summary the held-out metrics.
    """
    written = 0
    if mode == "disabled":
        return Mirrored(0, "")
    try:
        import wandb

        # First of all, because logging in prints before a run's own settings hold.
        wandb.setup(wandb.Settings(silent=True, quiet=True))
        # W&B would turn to the system's temporary folder, or keep the run's id taken, where it cannot write.
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        for row in rows:
            key = (row["trial_id"], row["attempt"])
            own = [curve for curve in curves if (curve["trial_id"], curve["attempt"]) == key]
            _write_run(wandb, row, own, folder, project, mode)
            written += 1
    except Exception as error:
        return Mirrored(written, _without_keys(f"W&B mirror: {type(error).__name__}: {error}", os.environ))
    return Mirrored(written, "")


def _write_run(wandb: Any, row: Row, curves: Sequence[Row], folder: Path, project: str, mode: str) -> None:
    run = wandb.init(
        project=project,
        group=row["suggestion_id"],
        job_type="train",
        id=row["trial_id"],
        name=_name(row),
        tags=[row[name][:MAX_TAG] for name in ("dataset", "layout", "preset")],
        config={name: row[name] for name in FIELD_TYPES},
        dir=str(folder),
        mode=mode,
        reinit="create_new",
        settings=_settings(wandb),
    )
    try:
        if not Path(run.settings.sync_dir).resolve().is_relative_to(folder.resolve()):
            raise OSError(f"{folder} cannot be written to")
        for curve in sorted(curves, key=lambda curve: int(curve["step"])):
            values = {f"train/{k}": v for k, v in curve.items() if k not in _HEAD and isinstance(v, int | float)}
            run.log(values, step=curve["step"])
        run.summary.update({k: v for k, v in row.items() if v is not None and _is_final(k)})
    finally:
        run.finish(exit_code=int(row["outcome"] == "failed"))


def _settings(wandb: Any) -> Any:
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
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
    )


def _name(row: Row) -> str:
    return f"λ={row['mi_weight']:g} η={row['entropy_weight']:g} seed {row['seed']}"


def _is_final(column: str) -> bool:
    return column in METRICS or column in _ENDED or column.endswith("_nats")


def _has_key(environ: Mapping[str, str]) -> bool:
    """Whether W&B would find a key where it looks: the environment, netrc, its own settings file."""
    if environ.get("WANDB_API_KEY", "").strip() or environ.get("WANDB_IDENTITY_TOKEN_FILE", "").strip():
        return True
    home = Path(environ.get("HOME") or Path.home())
    return _in_netrc(environ, home) or _in_settings(environ, home)


def _in_netrc(environ: Mapping[str, str], home: Path) -> bool:
    host = urlsplit(environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    given = environ.get("NETRC")
    candidates = [Path(given)] if given else [home / ".netrc", home / "_netrc"]
    path = next((candidate for candidate in candidates if candidate.exists()), None)
    try:
        entry = netrc.netrc(path).authenticators(host) if path else None
    except (netrc.NetrcParseError, OSError):
        return False
    return bool(entry and entry[2])


def _in_settings(environ: Mapping[str, str], home: Path) -> bool:
    folder = Path(environ.get("WANDB_CONFIG_DIR") or home / ".config" / "wandb")
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read(folder / "settings")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return False
    return bool(settings.get("default", "api_key", fallback="").strip())


def _without_keys(text: str, environ: Mapping[str, str]) -> str:
    """The first line, with the environment's key and whatever looks like one taken out."""
    key = environ.get("WANDB_API_KEY", "").strip()
    first = _KEY.sub("[key]", text.strip().splitlines()[0])
    return printable(first.replace(key, "[key]") if key else first)
