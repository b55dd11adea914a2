"""An exported model as a folder: checked before anything is written, whole or not there at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vmi.estimation.model import Parameters, Wrapped, wrap
from vmi.export import model as plain
from vmi.export import onnx_files
from vmi.export.card import card
from vmi.export.config import FORMAT
from vmi.export.weights import plain_model
from vmi.spec.errors import InputError, Problem, near
from vmi.spec.trial import Row
from vmi.training.pack import Pack

CARD, CODE = "README.md", "model.py"


def write(pack: Pack, config: Mapping[str, Any], row: Row, folder: Path, onnx: bool = False) -> None:
    """Write the only member of this pack, with its config.json and its stored row, into a folder.

    One that is absent is there at once and whole. One that is there, and empty, stays the folder that it is: it may be
    somebody's working folder. What is left of a failed attempt is removed. Raises OSError.
    """
    model, folder = plain_model(pack, config), folder.absolute()
    moved: list[Path] = []
    temporary = (folder if folder.is_dir() else folder.parent) / f".tmp-{os.getpid()}-{folder.name}"
    temporary.mkdir(parents=True)
    try:
        model.save(temporary)
        shutil.copyfile(plain.__file__, temporary / CODE)
        (temporary / CARD).write_text(card(config, row, onnx), encoding="utf-8")
        if onnx:
            onnx_files.write(model, temporary)
        if not folder.is_dir():
            temporary.replace(folder)
        else:
            for path in temporary.iterdir():
                moved.append(path.replace(folder / path.name))  # noqa: PERF401  those before one that fails count
            temporary.rmdir()
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in moved:
            path.unlink(missing_ok=True)
        raise


def read(folder: Path, trial_id: str | None = None) -> Wrapped:
    """An exported model as one that `vmi.evaluate` takes. Nothing in the folder is run: its model.py is not read.

    Raises InputError where a file is missing or is not what `vmi export` writes, or where it is of another trial.
    """
    allowed = "a folder that `vmi export` has written"
    try:
        model = plain.load(folder)
        found, own, dataset = (model.config[name] for name in ("format", "trial_id", "data"))
        name = f"trial {own} ({model.config['layout']}, trained on {dataset['name']})"
    except Exception as error:  # whatever JSON, safetensors and torch raise for what is not whole
        raise InputError([Problem("folder", str(folder), allowed, f"{type(error).__name__}: {error}")]) from error
    if found != FORMAT:
        raise InputError([Problem("folder", str(folder), f"{allowed}, of format {FORMAT}", f"its format is {found}")])
    if trial_id not in (None, own):
        raise InputError([Problem("trial_id", trial_id, f"{own}, whose model {folder} is")])

    def encode(images_ND: Tensor) -> list[Parameters]:
        heads = model.heads(images_ND)
        return [(raw.mean, raw.log_variance) if isinstance(raw, plain.Normal) else raw for raw in heads]

    def decode(code_NL: Tensor) -> Tensor:
        return model.decode(code_NL).flatten(1)

    return wrap(model.config["layout"], encode, decode, [model], name, dataset["name"])


def is_exported(folder: Path) -> bool:
    """Whether it has a file that only an exported model has, whole or not."""
    return any((folder / name).is_file() for name in (plain.CONFIG, plain.WEIGHTS))


def folder_problems(name: str, folder: Path) -> Iterator[Problem]:
    """What is wrong with the place where a model is to be written."""
    if folder.is_dir() and any(folder.iterdir()):
        yield Problem(name, str(folder), "a new folder, or an empty one", "it is not empty")
    elif folder.exists() and not folder.is_dir():
        yield Problem(name, str(folder), "a new folder, or an empty one", "it is a file")


def stored_row(trials: Iterable[Row], trial_id: str, field: str) -> Row:
    """The row of a completed trial. Raises InputError for an unknown one, with the nearest, and for any other end."""
    rows = {row["trial_id"]: row for row in trials}
    if trial_id not in rows:
        hint = near(trial_id, [i for i, row in rows.items() if row["outcome"] == "completed"])
        raise InputError([Problem(field, trial_id, "the trial_id of a completed trial of this study", hint)])
    row = rows[trial_id]
    if row["outcome"] != "completed":
        ended = (
            f"it {'failed' if row['outcome'] == 'failed' else 'was ' + row['outcome']}: {row['reason'] or 'no reason'}"
        )
        raise InputError([Problem(field, trial_id, "a completed trial: no other one has a model", ended)])
    return row
