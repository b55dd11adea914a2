"""`vmi export`: what a study has found in forms that others read: a trained model, a CSV file, an Optuna storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmi.cli.arguments import Debug
from vmi.cli.run import guarded
from vmi.spec.errors import InputError, Problem, printable
from vmi.spec.home import expanded
from vmi.storage.paths import AnyPath, file_on, local, opened, path_of

if TYPE_CHECKING:
    from analysis.data.study_results import StudyResults
    from vmi.spec.trial import Row
    from vmi.training.pack import Pack

Results = Annotated[str, typer.Argument(help="A study's results, for a model with kept models: results/lambda.")]
TrialId = Annotated[str | None, typer.Argument(help="A completed trial of it, as its trials table names it.")]
Dir = Annotated[str | None, typer.Argument(help="A new folder, or an empty one, for that trial's model.")]
Onnx = Annotated[
    bool, typer.Option("--onnx", help="Also write encoder.onnx and decoder.onnx (pip install onnx onnxscript).")
]
Csv = Annotated[str | None, typer.Option("--csv", metavar="FILE", help="Write its trials as one CSV file.")]
Optuna = Annotated[
    str | None,
    typer.Option("--optuna", metavar="FILE", help="Write it as an Optuna journal, which optuna-dashboard opens."),
]


def export(
    results: Results,
    trial_id: TrialId = None,
    dir: Dir = None,
    onnx: Onnx = False,
    csv: Csv = None,
    optuna: Optuna = None,
    debug: Debug = False,
) -> None:
    """Write what others read: a trial's model as plain torch with a card, the trials as CSV, the study for Optuna."""

    def action() -> int:
        folder, problems = opened(results), [*_missing(trial_id, dir, onnx, csv, optuna), *_taken(dir, csv, optuna)]
        if trial_id is not None and dir is not None:
            _export_model(folder, trial_id, dir, onnx, problems)
        if csv or optuna or problems:
            _export_tables(folder, csv, optuna, problems)
        return 0

    raise typer.Exit(guarded(action, debug))


def _missing(
    trial_id: str | None, dir: str | None, onnx: bool, csv: str | None, optuna: str | None
) -> Iterator[Problem]:
    """What was not given that something else needs."""
    if trial_id is not None and dir is None:
        yield Problem("DIR", dir, "the folder for the model of this trial")
    elif trial_id is None and not (csv or optuna):
        yield Problem("TRIAL_ID", trial_id, "a trial and a folder for its model, --csv FILE or --optuna FILE")
    elif trial_id is None and onnx:
        yield Problem("--onnx", onnx, "only with a trial, whose model it writes")


def _taken(dir: str | None, csv: str | None, optuna: str | None) -> Iterator[Problem]:
    """Places that are there already, that cannot be, or that are given twice."""
    seen: dict[AnyPath, str] = {}
    for name, place in (("DIR", dir), ("--csv", csv), ("--optuna", optuna)):
        path = path_of(place, name) if place and place.strip() else None
        whole = path.resolve() if isinstance(path, Path) else path
        if whole is not None and (other := seen.setdefault(whole, name)) != name:
            yield Problem(name, place, f"another place than {other}")
        elif place is not None and name != "DIR" and (whole is None or whole.exists()):
            yield Problem(name, place, "a file that does not exist yet")
        elif whole is not None and name != "DIR" and (file := file_on(whole)):
            yield Problem(name, place, f"a file in a folder; {file} is a file")


def _export_tables(folder: AnyPath, csv: str | None, optuna: str | None, problems: list[Problem]) -> None:
    """Write the tables that are asked for. Raises one InputError with these problems and those of the folder."""
    from analysis.data.frames import trials_table
    from vmi.results.csv_export import to_csv

    results = _study(folder, problems)
    if csv is not None:
        to_csv(trials_table(results), path_of(csv, "--csv"))
        typer.echo(f"trials: {printable(csv)}")
    if optuna is not None:
        from vmi.search.optuna_export import to_optuna  # loads Optuna

        to_optuna(results.spec, results.trials, path_of(optuna, "--optuna"))
        typer.echo(f"Optuna: {printable(optuna)} (optuna-dashboard opens it)")


def _study(folder: AnyPath, problems: list[Problem]) -> StudyResults:
    """The study of a folder. Raises one InputError with these problems and what is wrong with the folder."""
    from analysis.data.study_results import open_study
    from vmi.cli.results import undamaged

    try:
        results = open_study(folder)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    if problems:
        raise InputError(problems)
    undamaged(results)
    return results


def _export_model(folder: AnyPath, trial_id: str, dir: str, onnx: bool, problems: list[Problem]) -> None:
    from vmi.worker.work import prepare  # loads torch

    prepare("cpu")
    target = expanded(dir, "DIR")
    row, pack = _found(folder, trial_id, [*problems, *_problems(dir, onnx)])
    _write(pack, row, target, onnx)
    typer.echo(f"model: {printable(str(target))}")


def _problems(dir: str, onnx: bool) -> list[Problem]:
    """What is wrong with all but the trial."""
    from vmi.export.folder import folder_problems
    from vmi.export.onnx_files import check_installed

    folder = local(path_of(dir, "DIR"))
    if folder is None:
        found = [Problem("DIR", dir, "a folder of this machine")]
    else:
        found = list(folder_problems("DIR", folder))
    try:
        if onnx:
            check_installed()
    except InputError as error:
        found += error.problems
    return found


def _found(folder: AnyPath, trial_id: str, problems: list[Problem]) -> tuple[Row, Pack]:
    """The stored row and the kept model. Raises one InputError with these problems and what is wrong with the trial."""
    from analysis.data.study_results import open_study
    from vmi.cli.results import undamaged
    from vmi.driver.own_data import register_beside
    from vmi.estimation.model import kept_member
    from vmi.export.folder import stored_row

    try:
        results = open_study(folder)
        undamaged(results)
        register_beside(results.folder)
        row = stored_row(results.trials, trial_id, "TRIAL_ID")
        pack = kept_member(results.folder, trial_id, field="TRIAL_ID")
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    if problems:
        raise InputError(problems)
    return row, pack


def _write(pack: Pack, row: Row, folder: Path, onnx: bool) -> None:
    from vmi.data.dataset import load
    from vmi.export.config import category_classes, config_of, needs_images
    from vmi.export.folder import write
    from vmi.sources.kept import class_names
    from vmi.worker.own_images import hold

    name, classes = pack.architecture.dataset, None
    if needs_images(pack):
        hold(name)
        classes = category_classes(pack, load(name))
    write(pack, config_of(pack, row, classes, class_names(name)), row, folder, onnx)
