"""The commands before, beside and about a run: `vmi plan`, `calibrate`, `status`, `watch` and `rerun`."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from vmi.cli.arguments import Debug, takes
from vmi.cli.parsing import usage_problems
from vmi.cli.run import guarded
from vmi.cost.packing import AUTO
from vmi.driver.options import StudyOptions, is_whole, option
from vmi.process.scratch import scratch
from vmi.process.signals import terminable
from vmi.spec.errors import InputError, Problem, printable
from vmi.storage.paths import opened
from vmi.study.study import Study

MAX_WORKERS = 100_000
MEASURED = (
    "Measure sizes up to this one in any case; auto: sizes that fit into memory and whose steps are not too long."
)
MAX_GIGABYTES = 10_000

StudyFile = Annotated[Path, typer.Argument(help="A study, such as sweeps/lambda.py.")]


@dataclass(frozen=True, kw_only=True)
class PlanOptions(StudyOptions):
    """What a plan takes beside the study."""

    gpus: int | None = option(None, "Number of GPUs to plan for, one pack on each.", "INTEGER")
    cpus: int | None = option(None, "Number of CPU cores to plan for; default: this node's.", "INTEGER")
    hardware: str | None = option(None, "Name of measured hardware; default: this CPU, any GPU.")
    gpu_hour: float | None = option(None, "Price of one GPU (or core) for an hour.", "FLOAT")
    gpu_memory: float | None = option(None, "Free memory of one GPU, in GB; default: this node's.", "FLOAT")
    calibration: str | None = option(None, "File of measurements; default: calibration.json in the results.")
    simulate: str | None = option(None, "Numbers of workers to compare: 10,30,100.")

    def problems(self) -> list[Problem]:
        """Everything that is wrong with the options themselves."""
        return [*super().problems(), *_hardware(self), *_numbers(self.simulate)[1]]


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(StudyOptions):
    """What a calibration takes beside the study."""

    pack_size: int | str = option(AUTO, MEASURED, "INTEGER|auto")
    out: str | None = option(None, "File for the measurements; default: calibration.json in the results.")
    device: str = option("cpu", "cpu or cuda.")


@takes(PlanOptions)
def plan(context: typer.Context, study_file: StudyFile, options: PlanOptions, debug: Debug = False) -> None:
    """Say what a run would do and take: trials, packs, finished trials, warnings, time and cost. Trains nothing."""

    def action() -> int:
        from vmi.cli.plan import Request, plan_lines
        from vmi.cost.prediction import Target

        study = _study(study_file, options, usage_problems(context))
        device = "cpu" if options.gpus is None else "cuda"
        request = Request(
            results=opened(options.root, "--results"),
            pack_size=options.pack_size,
            prefer=options.prefer,
            target=Target(device, options.gpus or options.cpus or _cores(), options.hardware, options.gpu_hour),
            calibration=opened(options.calibration, "--calibration") if options.calibration else None,
            command=_command(study_file, options),
            simulate=_numbers(options.simulate)[0],
            gpu_bytes=None if options.gpu_memory is None else round(options.gpu_memory * 1e9),
            only=options.only,
        )
        for line in plan_lines(study, request):
            typer.echo(line)
        return 0

    raise typer.Exit(guarded(action, debug, only_says=True))


@takes(CalibrateOptions, only=("out", "results", "device", "smoke", "data", "scale", "pack_size"))
def calibrate(context: typer.Context, study_file: StudyFile, options: CalibrateOptions, debug: Debug = False) -> None:
    """Measure what packs of a study cost on this node, for `vmi plan`: about a minute, one thread, no Ray."""

    def action() -> int:
        study = _study(study_file, options, usage_problems(context))
        from vmi.cli.calibrate import calibrated  # loads torch

        where = opened(options.root, "--results")
        kept = opened(options.out, "--out") if options.out else where / "calibration.json"
        with scratch():
            for line in calibrated(study, options.pack_size, options.device, kept):
                typer.echo(printable(line))
        return 0

    raise typer.Exit(guarded(action, debug))


def status(
    folder: Annotated[str, typer.Argument(help="A study's results, or the folder of all results.")] = "results",
    debug: Debug = False,
) -> None:
    """Show how studies stand: finished and failed trials, running packs, driver, time left, the best so far."""

    def action() -> int:
        from vmi.monitor.status import status_lines

        for line in status_lines(opened(folder)):
            typer.echo(line)
        return 0

    raise typer.Exit(guarded(action, debug, only_says=True))


def watch(
    folder: Annotated[str, typer.Argument(help="A study's results, such as results/lambda.")],
    page: Annotated[
        bool, typer.Option("--page", help="Write report.html anew as rows and reports come; it loads itself again.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Follow a running study until its driver is done: exit code 0 when every trial has completed, else 1."""

    def action() -> int:
        from vmi.monitor.watch import watch as follow

        where, console = opened(folder), Console()
        if not page:
            return follow(where, console)
        from vmi.cli.live_page import LivePage

        with terminable(), LivePage(where, console) as shown:
            return follow(where, console, seen=shown.seen)

    raise typer.Exit(guarded(action, debug))


def rerun(
    folder: Annotated[str, typer.Argument(help="A study's results, such as results/lambda.")],
    trial_id: Annotated[str, typer.Argument(help="A trial of it: its trial_id in the table of trials.")],
    out: Annotated[str | None, typer.Option(help="A folder to keep the new results in; default: none.")] = None,
    debug: Debug = False,
) -> None:
    """Train one stored trial again from its row: exit code 0 when it is bitwise as stored, 1 naming what differs.

    It trains alone, in this process; the study's file is not needed, and nothing in the results is changed.
    """

    def action() -> int:
        from vmi.cli.rerun import rerun_trial  # loads torch

        with terminable(), scratch() as own:
            kept = opened(out, "--out") if out else None
            return rerun_trial(opened(folder), trial_id, kept, own / "rerun", Console())

    raise typer.Exit(guarded(action, debug, only_says=out is None))


def _study(path: Path, options: StudyOptions, usage: tuple[Problem, ...]) -> Study:
    """The study as running it with these options would take it.

    Raises one InputError with all that is wrong with options, file and study.
    """
    from vmi.study.checks import validate
    from vmi.study.loading import load

    wrong = replace(options, usage=usage).problems()
    try:
        study, unknown = options.applied(load(path))
        wrong += unknown
        if not wrong:  # whoever plans or measures validates it
            return study
        validate(study)
    except InputError as error:
        raise InputError([*wrong, *error.problems], error.where or "options") from error
    raise InputError(wrong, "options")


def _hardware(given: PlanOptions) -> Iterator[Problem]:
    allowed = f"a whole number from 1 to {MAX_WORKERS}"
    for name, value in (("--gpus", given.gpus), ("--cpus", given.cpus)):
        if value is not None and not is_whole(value, 1, MAX_WORKERS):
            yield Problem(name, value, allowed)
    if given.gpus is not None and given.cpus is not None:
        yield Problem("--cpus", given.cpus, "not together with --gpus: a pack runs on one of the two")
    price, memory = given.gpu_hour, given.gpu_memory
    if price is not None and not (isinstance(price, int | float) and math.isfinite(price) and price >= 0):
        yield Problem("--gpu-hour", price, "a price, at least 0")
    if memory is not None:
        if not (isinstance(memory, int | float) and 0 < memory <= MAX_GIGABYTES):
            yield Problem("--gpu-memory", memory, f"GB above 0, at most {MAX_GIGABYTES}")
        if given.gpus is None:
            yield Problem("--gpu-memory", memory, "only together with --gpus")


def _numbers(text: str | None) -> tuple[tuple[int, ...], list[Problem]]:
    """ "10,30" -> (10, 30)."""
    pieces = [] if text is None else [piece.strip() for piece in text.split(",")]
    if all(p.isascii() and p.isdecimal() and len(p) < 10 and 1 <= int(p) <= MAX_WORKERS for p in pieces):
        return tuple(map(int, pieces)), []
    return (), [Problem("--simulate", text, f"numbers of workers from 1 to {MAX_WORKERS}, such as 10,30,100")]


def _command(study_file: Path, options: PlanOptions) -> str:
    """The `vmi calibrate` that measures what this plan lacks."""
    given: dict[str, Any] = {"--scale": options.scale, "--data": options.data, "--out": options.calibration}
    given |= {"--pack-size": options.pack_size if options.pack_size != AUTO else None}
    given |= {"--results": options.root if options.root != Path("results") and not options.calibration else None}
    given |= {"--device": "cuda" if options.gpus else None}
    parts = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    return shlex.join(["vmi", "calibrate", str(study_file), *(["--smoke"] if options.smoke else []), *parts])


def _cores() -> int:
    from vmi.cost.hardware import cores

    return cores()
