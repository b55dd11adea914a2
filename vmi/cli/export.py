"""`vmi export`: a trained model of a study as a folder of its own, for use without this program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmi.cli.arguments import Debug
from vmi.cli.run import guarded
from vmi.spec.errors import InputError, Problem, printable
from vmi.storage.paths import AnyPath, local, opened, path_of

if TYPE_CHECKING:
    from vmi.spec.trial import Row
    from vmi.training.pack import Pack

Results = Annotated[str, typer.Argument(help="A study's results with kept models, such as results/lambda.")]
TrialId = Annotated[str, typer.Argument(help="A completed trial of it, as its trials table names it.")]
Dir = Annotated[str, typer.Argument(help="A new folder, or an empty one, for the model.")]
Onnx = Annotated[
    bool, typer.Option("--onnx", help="Also write encoder.onnx and decoder.onnx (pip install onnx onnxscript).")
]


def export(results: Results, trial_id: TrialId, dir: Dir, onnx: Onnx = False, debug: Debug = False) -> None:
    """Write one trained model as plain torch: model.py, model.safetensors, config.json and a model card, README.md."""

    def action() -> int:
        from vmi.worker.work import prepare  # loads torch

        prepare("cpu")
        folder = Path(dir).expanduser()
        row, pack = _found(opened(results), trial_id, _problems(dir, onnx))
        _write(pack, row, folder, onnx)
        typer.echo(f"model: {printable(str(folder))}")
        return 0

    raise typer.Exit(guarded(action, debug))


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
