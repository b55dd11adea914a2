"""What the commands on finished results do: the report on W&B, the mirror rebuilt, two studies compared."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from analysis.data.study_results import StudyResults, open_study
from analysis.figures.images import tile
from vmi.driver.options import is_whole
from vmi.driver.own_data import register_beside
from vmi.mirror.access import need_key, target
from vmi.results.store import Store
from vmi.spec.datasets import DATASETS, find
from vmi.spec.errors import InputError, Problem, StoreError, did_you_mean, one_of, printable
from vmi.spec.redaction import redacted
from vmi.storage.paths import AnyPath, local

if TYPE_CHECKING:
    from vmi.estimation.model import Wrapped

Target = tuple[str, str]


def model_of(model: AnyPath, member: str | None, data: str | None, seeds: int) -> Wrapped:
    """The model to evaluate. Raises one InputError with what is wrong with the file, the data set and the count."""
    from vmi.estimation.evaluate import MAX_SEEDS
    from vmi.estimation.model import from_checkpoint, from_folder
    from vmi.export.folder import is_exported, read

    problems = (
        [] if is_whole(seeds, 1, MAX_SEEDS) else [Problem("--seeds", seeds, f"a whole number from 1 to {MAX_SEEDS}")]
    )
    if data is not None and find(data) is None:
        problems.append(Problem("--data", data, one_of(list(DATASETS)), did_you_mean(data, DATASETS)))
    register_beside(model)
    try:
        exported, is_study = local(model), (model / "models").is_dir() or (model / "study.json").is_file()
        if exported is not None and is_exported(exported):
            found = read(exported, member)
        else:
            found = from_folder(model, member) if is_study else from_checkpoint(model, member)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    if problems:
        raise InputError(problems)
    return found


def check_wandb(wandb: str | None, offline: bool) -> Target | None:
    """Entity and project; None when W&B was not asked for. Raises InputError before anything is written."""
    if wandb is None:
        if offline:
            raise InputError([Problem("--offline", True, "only beside --wandb ENTITY/PROJECT")])
        return None
    found = target(wandb, "--wandb")
    if not offline:
        need_key(os.environ, "or --offline, which writes what would be sent")
    return found


def report_to_wandb(results: StudyResults, place: Target, offline: bool) -> int:
    """Write wandb-report.json, and unless offline make or update the report that it describes."""
    from analysis.wandb_report import specification
    from vmi.mirror.report import upload, write_spec
    from vmi.mirror.runs import finish_service

    undamaged(results)
    spec = specification(results, *place)
    path = write_spec(results.folder, spec)
    typer.echo(f"W&B report, as it would be sent: {path}")
    if offline:
        typer.echo(f"Not sent. That needs WANDB_API_KEY and a network: {_command(results.folder, place)}")
        return 0
    sent = upload(spec, _images(results, spec), results.folder, os.environ)
    finish_service()  # before its temporary folder goes
    if sent.warning:
        typer.echo(f"error: {sent.warning}", err=True)
        return 1
    typer.echo(f"W&B report {'updated' if sent.updated else 'made'}: {printable(sent.url)}")
    return 0


def mirror_study(folder: AnyPath, online: str | None) -> int:
    """Mirror the finished trials of a study, offline those that have no run yet. Damaged stores are refused."""
    from vmi.mirror.run_folders import without_run
    from vmi.mirror.runs import finish_service, local_folder, mirror

    entity, project = target(online, "--online") if online is not None else (None, _project(folder))
    if online is not None:
        need_key(os.environ, "without --online the runs are written offline")
    open_study(folder)  # names what is no study's folder
    store, runs = Store(folder.resolve().parent, folder.resolve().name), local_folder(folder)
    rows = sorted(store.finished().values(), key=lambda row: (row["suggestion_id"], row["seed"]))
    curves = store.read("curves").checked().to_pylist()
    missing = without_run(rows, runs) if online is None else rows
    done = mirror(missing, curves, runs, project, "offline" if online is None else "online", entity)
    finish_service()  # before its temporary folder goes
    where = printable(str(runs / "wandb"))
    there = f"{done.runs} runs written to {where}, {len(rows) - len(missing)} were there"
    typer.echo(f"{len(rows)} finished trials: {f'{done.runs} runs sent to {online}' if online is not None else there}")
    if done.warning:
        typer.echo(f"error: {done.warning}; run the same command to resume", err=True)
        return 1
    return 0


def compare_studies(first: AnyPath, second: AnyPath, out: AnyPath | None) -> int:
    """Say, or write, what two studies share, and in what they differ."""
    from analysis.compare import markdown
    from vmi.study.study_json import differences

    a, b = open_study(first), open_study(second)
    for results in (a, b):
        undamaged(results)
    text = markdown(a, b, [problem.field for problem in differences(a.spec, b.spec)])
    return _handed_out(text, out, "comparison")


def compare_presets(folder: AnyPath, against: str, out: AnyPath | None, command: str) -> int:
    """Say, or write, how the presets of a study compare; the command that made the results is named."""
    from analysis.paper.presets import markdown

    results = open_study(folder)
    undamaged(results)
    return _handed_out(markdown(results, against, redacted(command)), out, "presets")


def _handed_out(text: str, out: AnyPath | None, what: str) -> int:
    if out is None:
        typer.echo(text, nl=False)
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError([Problem("--out", str(out), "a file that can be written", str(error.strerror))]) from error
    typer.echo(f"{what}: {printable(str(out))}")
    return 0


def undamaged(results: StudyResults) -> None:
    """Raises StoreError naming what could not be read."""
    if results.damaged:
        lines = [f"  {results.folder / item}" for item in results.damaged]
        raise StoreError("damaged, kept as they are:\n" + "\n".join(lines))


def _images(results: StudyResults, spec: Mapping[str, Any]) -> list[np.ndarray]:
    """The pictures that the specification's media name, in its order."""
    items = [item for listed in spec["run"]["media"].values() for item in listed]
    wanted = {item["trial_id"] for item in items}
    arrays = results.arrays(row for row in results.completed if row["trial_id"] in wanted)
    return [tile(arrays[item["trial_id"]][item["array"]]) for item in items]


def _command(folder: AnyPath, place: Target) -> str:
    return printable(f"vmi report {folder} --wandb {place[0]}/{place[1]}")


def _project(folder: AnyPath) -> str:
    """The study's name, as its runs had it when they were mirrored first; what W&B refuses in it is replaced."""
    return "".join("-" if c in "/\\#?%:" or not c.isprintable() else c for c in folder.resolve().name)[:128]
