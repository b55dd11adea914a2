"""What the commands on finished results do: the report on W&B, the mirror rebuilt, two studies compared."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import typer

from analysis.pictures import tile
from analysis.read import StudyResults, open_study
from vmi.errors import InputError, Problem, StoreError, did_you_mean, printable
from vmi.record.fsck import QUARANTINE, check, check_sealed
from vmi.record.paths import AnyPath, below
from vmi.record.quarantine import move, quarantine
from vmi.record.schema import TABLES
from vmi.record.sealed import IN_RESULTS
from vmi.record.store import Store
from vmi.record.wandb_access import need_key, target
from vmi.sweep import heartbeat
from vmi.sweep.heartbeat import Heartbeat
from vmi.sweep.status import studies_in

Target = tuple[str, str]


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
    from analysis.wandb_spec import specification
    from vmi.record.to_wandb_report import upload, write_spec

    undamaged(results)
    spec = specification(results, *place)
    path = write_spec(results.folder, spec)
    typer.echo(f"W&B report, as it would be sent: {path}")
    if offline:
        typer.echo(f"Not sent. That needs WANDB_API_KEY and a network: {_command(results.folder, place)}")
        return 0
    sent = upload(spec, _images(results, spec), results.folder, os.environ)
    if sent.warning:
        typer.echo(f"error: {sent.warning}", err=True)
        return 1
    typer.echo(f"W&B report {'updated' if sent.updated else 'made'}: {printable(sent.url)}")
    return 0


def mirror_study(folder: AnyPath, online: str | None) -> int:
    """Mirror the finished trials of a study, offline those that have no run yet. Damaged stores are refused."""
    from vmi.record.to_wandb import local_folder, mirror, without_run

    entity, project = target(online, "--online") if online is not None else (None, _project(folder))
    if online is not None:
        need_key(os.environ, "without --online the runs are written offline")
    open_study(folder)  # names what is no study's folder
    store, runs = Store(folder.resolve().parent, folder.resolve().name), local_folder(folder)
    rows = sorted(store.finished().values(), key=lambda row: (row["suggestion_id"], row["seed"]))
    curves = store.read("curves").checked().to_pylist()
    missing = without_run(rows, runs) if online is None else rows
    done = mirror(missing, curves, runs, project, "offline" if online is None else "online", entity)
    where = printable(str(runs / "wandb"))
    there = f"{done.runs} runs written to {where}, {len(rows) - len(missing)} were there"
    typer.echo(f"{len(rows)} finished trials: {f'{done.runs} runs sent to {online}' if online is not None else there}")
    if done.warning:
        typer.echo(f"error: {done.warning}; the same command goes on", err=True)
        return 1
    return 0


def compare_studies(first: AnyPath, second: AnyPath, out: AnyPath | None) -> int:
    """Say, or write, what two studies share, and in what they differ."""
    from analysis.compare import markdown
    from vmi.sweep.study import differences

    a, b = open_study(first), open_study(second)
    for results in (a, b):
        undamaged(results)
    text = markdown(a, b, [problem.field for problem in differences(a.spec, b.spec)])
    if out is None:
        typer.echo(text, nl=False)
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError([Problem("--out", str(out), "a file that can be written", str(error.strerror))]) from error
    typer.echo(f"comparison: {printable(str(out))}")
    return 0


def compact_study(folder: AnyPath) -> int:
    """Merge the small parts of a study, or of every study of a folder, beside whoever reads or writes it."""
    from vmi.record.compaction import compact

    _is_study(folder)
    for path in studies_in(folder):
        done = [compact(path / table, table) for table in TABLES]
        said = ", ".join(f"{table} {before} -> {after}" for table, before, after in done)
        typer.echo(printable(f"{path}: parts before and after: {said}"))
    return 0


def check_studies(folder: AnyPath, move_away: bool) -> int:
    """Say what is damaged in a study, or in every study of a folder; with `move_away` move it below quarantine/."""
    _is_study(folder)
    wrong: list[str] = []
    places = studies_in(folder)
    if move_away:
        _without_drivers(places)
    for path in places:
        if move_away:
            _quarantined(path)
        found = check(path)
        wrong += found.lines()
        things = ", ".join(f"{count} {name}" for name, count in found.counts.items() if count)
        typer.echo(printable(f"{path}: {'sound' if found.sound else 'not sound'}: {things or 'nothing there'}"))
    if folder not in places:
        beside = check_sealed(folder, IN_RESULTS)
        if move_away:
            move(folder, [path for path, _ in beside])
            beside = check_sealed(folder, IN_RESULTS)
        wrong += [f"{path}: {why}" for path, why in beside]
    if wrong:
        hint = "" if move_away else "\n`vmi fsck --quarantine` moves them away, and the next run trains what is missing"
        lines = "\n".join(f"  {line}" for line in wrong)
        raise StoreError(printable(f"damaged or newer, kept as they are:\n{lines}{hint}"))
    return 0


def _quarantined(path: AnyPath) -> None:
    with Heartbeat(path, path.absolute().name):  # nobody else may start meanwhile
        for moved in quarantine(path):
            typer.echo(printable(f"moved into {path / QUARANTINE}: {below(path, moved)}"))


def _without_drivers(places: Sequence[AnyPath]) -> None:
    """Raises InputError naming every living driver."""
    problems = []
    for path in places:
        driver = heartbeat.read(path, time.time())
        if driver and driver.alive:
            problems.append(Problem("study", path.name, f"no driver that runs it: {driver}", "stop it first"))
    if problems:
        raise InputError(problems)


def _is_study(folder: AnyPath) -> None:
    """Raises InputError where a folder is neither a study's nor one of studies."""
    if not folder.is_dir() or not studies_in(folder):
        beside = [path.name for path in studies_in(folder.absolute().parent)]
        hint = did_you_mean(folder.name, beside) or ("there: " + ", ".join(beside[:10]) if beside else "")
        raise InputError([Problem("folder", str(folder), "a study's results, or a folder of them", hint)])


def undamaged(results: StudyResults) -> None:
    """Raises StoreError naming every damaged file."""
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
