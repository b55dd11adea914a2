"""The commands before, beside and about a run: `vmi plan`, `calibrate`, `status` and `watch`."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from vmi.cli.arguments import Data, Debug, Name, PackSize, Results, Scale, Seeds, Smoke, Steps
from vmi.cli.parsing import number, usage_problems, whole
from vmi.cli.run import guarded
from vmi.cost.sizing import AUTO
from vmi.driver.options import RunOptions, is_whole, parse_seeds, place_of
from vmi.process.scratch import scratch
from vmi.spec.errors import InputError, Problem, printable
from vmi.storage.paths import AnyPath, opened

MAX_WORKERS = 100_000
MEASURED = "A pack size to measure up to in any case; auto: those that memory holds and whose steps are not too long."
MAX_GIGABYTES = 10_000

StudyFile = Annotated[Path, typer.Argument(help="A study, such as sweeps/lambda.py.")]
Gpus = Annotated[
    int | None, typer.Option(help="Plan for so many GPUs, one pack on each.", parser=whole, metavar="INTEGER")
]
Cpus = Annotated[
    int | None, typer.Option(help="Plan for so many CPU cores; default: this node's.", parser=whole, metavar="INTEGER")
]
Hardware = Annotated[str | None, typer.Option(help="Name of measured hardware; default: this CPU, any GPU.")]
GpuHour = Annotated[
    float | None, typer.Option(help="Price of one GPU (or core) for an hour.", parser=number, metavar="FLOAT")
]
GpuMemory = Annotated[
    float | None,
    typer.Option(help="Free memory of one GPU, in GB; default: this node's.", parser=number, metavar="FLOAT"),
]
Calibration = Annotated[str | None, typer.Option(help="Measurements; default: calibration.json there.")]
Simulate = Annotated[str | None, typer.Option(help="Numbers of workers to compare: 10,30,100.")]


def plan(
    context: typer.Context,
    study_file: StudyFile,
    results: Results = "results",
    smoke: Smoke = False,
    data: Data = None,
    steps: Steps = None,
    seeds: Seeds = None,
    scale: Scale = None,
    name: Name = None,
    pack_size: PackSize = AUTO,
    gpus: Gpus = None,
    cpus: Cpus = None,
    hardware: Hardware = None,
    gpu_hour: GpuHour = None,
    gpu_memory: GpuMemory = None,
    calibration: Calibration = None,
    simulate: Simulate = None,
    debug: Debug = False,
) -> None:
    """Say what running a study would do and take: trials, packs, what is finished already, warnings, time and cost."""

    def action() -> int:
        from vmi.cli.plan import Request, plan_lines
        from vmi.cost.prediction import Target

        numbers = _numbers(simulate)
        where = place_of(results)
        options = _options(where, seeds, pack_size, usage_problems(context))
        wrong = [*options.problems(), *_hardware(gpus, cpus, gpu_hour, gpu_memory), *numbers[1]]
        study = _study(study_file, wrong, smoke=smoke, dataset=data, steps=steps, seeds=seeds, scale=scale, name=name)
        given: dict[str, Any] = {"--scale": scale, "--data": data, "--calibration": calibration}
        given |= {"--pack-size": pack_size if pack_size != AUTO else None}
        given |= {"--results": f"{where}" if where != Path("results") and not calibration else None}
        device = "cpu" if gpus is None else "cuda"
        request = Request(
            results=opened(where, "--results"),
            pack_size=pack_size,
            target=Target(device, gpus or cpus or _cores(), hardware, gpu_hour),
            calibration=opened(calibration, "--calibration") if calibration else None,
            command=_command(study_file, {**given, "--device": "cuda" if gpus else None}, smoke),
            simulate=numbers[0],
            gpu_bytes=None if gpu_memory is None else round(gpu_memory * 1e9),
        )
        for line in plan_lines(study, request):
            typer.echo(line)
        return 0

    raise typer.Exit(guarded(action, debug, only_says=True))


def calibrate(
    context: typer.Context,
    study_file: StudyFile,
    out: Annotated[str | None, typer.Option(help="The file to keep; default: calibration.json there.")] = None,
    results: Results = "results",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    smoke: Smoke = False,
    data: Data = None,
    scale: Scale = None,
    pack_size: Annotated[str, typer.Option(help=MEASURED, parser=whole, metavar="INTEGER|auto")] = AUTO,
    debug: Debug = False,
) -> None:
    """Measure what packs of a study cost on this node, for `vmi plan`: a minute or so, one thread, no Ray."""

    def action() -> int:
        wrong = _options(place_of(results), None, pack_size, usage_problems(context)).problems()
        study = _study(study_file, wrong, smoke=smoke, dataset=data, scale=scale)
        from vmi.cli.calibrate import calibrated  # loads torch

        where = opened(results, "--results")
        kept = opened(out, "--out") if out else where / "calibration.json"
        with scratch():
            for line in calibrated(study, pack_size, device, kept):
                typer.echo(printable(line))
        return 0

    raise typer.Exit(guarded(action, debug))


def status(
    folder: Annotated[str, typer.Argument(help="A study's results, or the folder of all results.")] = "results",
    debug: Debug = False,
) -> None:
    """Say how studies stand, from their stores and their running drivers."""

    def action() -> int:
        from vmi.driver.status import status_lines

        for line in status_lines(opened(folder)):
            typer.echo(line)
        return 0

    raise typer.Exit(guarded(action, debug, only_says=True))


def watch(
    folder: Annotated[str, typer.Argument(help="A study's results, such as results/lambda.")],
    debug: Debug = False,
) -> None:
    """Follow a running study until its driver is done: exit code 0 when every trial has completed, else 1."""

    def action() -> int:
        from vmi.driver.watch import watch as follow

        return follow(opened(folder), Console())

    raise typer.Exit(guarded(action, debug))


def _study(path: Path, wrong: list[Problem], *, seeds: str | None = None, **wishes: Any) -> Any:
    """The study with the wishes of the command line, as running it with them would take it.

    Raises one InputError with all that is `wrong` with options, file and study.
    """
    from vmi.study.checks import validate
    from vmi.study.loading import load
    from vmi.study.overrides import wished

    try:
        study, unknown = wished(load(path), seeds=parse_seeds(seeds) if seeds is not None else None, **wishes)
        wrong = [*wrong, *unknown]
        if not wrong:  # whoever plans or measures validates it
            return study
        validate(study)
    except InputError as error:
        raise InputError([*wrong, *error.problems], error.where or "options") from error
    raise InputError(wrong, "options")


def _options(results: AnyPath, seeds: str | None, pack_size: int | str, usage: tuple[Problem, ...]) -> RunOptions:
    return RunOptions(results=results, seeds=seeds, pack_size=pack_size, usage=usage)


def _hardware(gpus: int | None, cpus: int | None, gpu_hour: float | None, gpu_memory: float | None) -> list[Problem]:
    named = (("--gpus", gpus), ("--cpus", cpus))
    allowed = f"a whole number from 1 to {MAX_WORKERS}"
    found = [Problem(n, v, allowed) for n, v in named if v is not None and not is_whole(v, 1, MAX_WORKERS)]
    if gpus is not None and cpus is not None:
        found.append(Problem("--cpus", cpus, "not together with --gpus: a pack runs on one of the two"))
    if gpu_hour is not None and not (isinstance(gpu_hour, int | float) and math.isfinite(gpu_hour) and gpu_hour >= 0):
        found.append(Problem("--gpu-hour", gpu_hour, "a price, at least 0"))
    if gpu_memory is not None:
        if not (isinstance(gpu_memory, int | float) and 0 < gpu_memory <= MAX_GIGABYTES):
            found.append(Problem("--gpu-memory", gpu_memory, f"GB above 0, at most {MAX_GIGABYTES}"))
        if gpus is None:
            found.append(Problem("--gpu-memory", gpu_memory, "only together with --gpus"))
    return found


def _numbers(text: str | None) -> tuple[tuple[int, ...], list[Problem]]:
    """ "10,30" -> (10, 30)."""
    pieces = [] if text is None else [piece.strip() for piece in text.split(",")]
    if all(p.isascii() and p.isdecimal() and len(p) < 10 and 1 <= int(p) <= MAX_WORKERS for p in pieces):
        return tuple(map(int, pieces)), []
    return (), [Problem("--simulate", text, f"numbers of workers from 1 to {MAX_WORKERS}, such as 10,30,100")]


def _command(study_file: Path, given: dict[str, Any], smoke: bool) -> str:
    renamed = {"--calibration": "--out"}
    options = [part for n, v in given.items() if v is not None for part in (renamed.get(n, n), str(v))]
    return shlex.join(["vmi", "calibrate", str(study_file), *(["--smoke"] if smoke else []), *options])


def _cores() -> int:
    from vmi.cost.hardware import cores

    return cores()
