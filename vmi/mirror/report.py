"""The comparison report on W&B: a report run with our intervals, the artifacts, and one report that is updated.

What is uploaded is a specification of plain values (`analysis.wandb_report`), turned into W&B's blocks here and nowhere
else. wandb and wandb_workspaces are loaded when something is uploaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from vmi.mirror.access import without_keys
from vmi.mirror.report_blocks import blocks_of, reports
from vmi.mirror.runs import lean_settings, own_folder
from vmi.spec.errors import StoreError
from vmi.storage.checksum import sealed, unsealed
from vmi.storage.durable import put_replacing
from vmi.storage.paths import AnyPath, below, local

# Which report stands for this study, by server, entity and project: without it each upload would be a new report.
KEPT = "wandb-online.json"
SPEC = "wandb-report.json"
MAX_TITLE = 128

Spec = Mapping[str, Any]


class Uploaded(NamedTuple):
    """Where the report is, whether it was there before, and what went wrong ("" for nothing)."""

    url: str
    updated: bool
    warning: str


def write_spec(folder: AnyPath, spec: Spec) -> AnyPath:
    """Keep the specification in the study's folder. Raises OSError."""
    return put_replacing(folder, SPEC, sealed(spec, sort_keys=True))


def kept_report(folder: AnyPath, environ: Mapping[str, str], spec: Spec) -> str:
    """The id of the report that stands for this study there, "" for none. Raises StoreError when damaged."""
    return str(_kept(folder).get(_place(environ, spec), {}).get("id", ""))


def upload(spec: Spec, images: Sequence[np.ndarray], folder: AnyPath, environ: Mapping[str, str]) -> Uploaded:
    """Send the report run and the artifacts, then make the report or update the one that was kept.

    `images` are the pictures of the specification's media, in its order. Raises StoreError when the file that names
    the report is damaged, and OSError when it cannot be kept; what W&B raises is a warning without keys.
    """
    known = kept_report(folder, environ, spec)
    try:
        with own_folder(folder) as scratch:
            base = _send_run(spec, images, folder, scratch)
        made = _save(spec, base, known)
    except Exception as error:
        hint = f"; if the report was deleted there, remove {folder / KEPT}" if known else ""
        return Uploaded("", bool(known), without_keys(f"W&B: {type(error).__name__}: {error}", os.environ) + hint)
    kept = _kept(folder) | {_place(environ, spec): {"id": made.id, "url": made.url}}
    put_replacing(folder, KEPT, sealed(kept, sort_keys=True))
    return Uploaded(made.url, bool(known), "")


def _kept(folder: AnyPath) -> dict[str, dict[str, str]]:
    path = folder / KEPT
    try:
        kept = unsealed(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: damaged, kept as it is: {error}") from error
    if not all(isinstance(v, dict) for v in kept.values()):
        raise StoreError(f"{path}: damaged, kept as it is: not a JSON object of reports")
    return kept


def _place(environ: Mapping[str, str], spec: Spec) -> str:
    """ "host/entity/project"; what a server's address may hold of a user and a password is left out."""
    server = urlsplit(environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc.rpartition("@")[2]
    return f"{server}/{spec['entity']}/{spec['project']}"


def _send_run(spec: Spec, images: Sequence[np.ndarray], folder: AnyPath, scratch: Path) -> str:
    """The report run with history, table, media and artifacts; the project's address."""
    import wandb

    wandb.setup(wandb.Settings(silent=True, quiet=True))
    (scratch / "wandb").mkdir(parents=True, exist_ok=True)
    told = spec["run"]
    run = wandb.init(
        entity=spec["entity"],
        project=spec["project"],
        id=told["id"],
        name=told["name"],
        job_type=told["job_type"],
        config=dict(told["config"]),
        dir=str(scratch),
        mode="online",
        resume="allow",
        reinit="create_new",
        settings=lean_settings(wandb),
    )
    try:
        _log(wandb, run, told, images)
        for artifact in spec["artifacts"]:
            run.log_artifact(_artifact(wandb, artifact, folder, scratch))
        return str(run.url).rpartition("/runs/")[0]
    finally:
        run.finish()


def _log(wandb: Any, run: Any, told: Spec, images: Sequence[np.ndarray]) -> None:
    """What is not there yet: the run's id is that of its content, so what is there is right."""
    end = len(told["history"])
    for step in range(run.starting_step, end):
        run.log(dict(told["history"][step]), step=step)
    if run.starting_step > end:
        return
    pictures = iter(images)
    last: dict[str, Any] = {
        key: [wandb.Image(next(pictures), caption=item["caption"]) for item in items]
        for key, items in told["media"].items()
        if items
    }
    last |= {key: wandb.Table(columns=t["columns"], data=t["rows"]) for key, t in told["tables"].items() if t["rows"]}
    if last:
        run.log(last, step=end)


def _fetched(path: AnyPath, scratch: Path) -> Path:
    """The file itself, or a copy of the object."""
    if (own := local(path)) is not None:
        return own
    (copy := scratch / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    return copy


def _artifact(wandb: Any, told: Spec, folder: AnyPath, scratch: Path) -> Any:
    """The files of an artifact, under their names in the study's folder; the same content is the same version."""
    made = wandb.Artifact(told["name"], type=told["type"])
    parts = [path for name in told.get("folders", ()) for path in sorted((folder / name).glob("part-*.parquet"))]
    for path in [*(folder / name for name in told["files"]), *parts]:
        made.add_file(str(_fetched(path, scratch)), name=below(folder, path))
    return made


def _save(spec: Spec, base: str, known: str) -> Any:
    report = reports().Report(
        entity=spec["entity"],
        project=spec["project"],
        title=spec["title"][:MAX_TITLE],
        description=spec["description"],
        blocks=blocks_of(spec, base),
        width="fluid",
    )
    report.id = known
    return report.save()
