"""`vmi.load_model`: a trained model, exported or kept in a study's results, as one that `vmi.evaluate` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vmi.api.results import Results, open
from vmi.spec.errors import InputError, Problem
from vmi.storage.paths import AnyPath, local, path_of

if TYPE_CHECKING:
    from vmi.estimation.model import Wrapped


def load_model(folder: str | Path | AnyPath | Results, trial_id: str | None = None) -> Wrapped:
    """A trained model, frozen: of a folder that `vmi export` wrote, or of a trial of a study whose model was kept.

    Arguments:
        folder: an exported model's folder; or a study's results, as a folder, an address in a bucket or `vmi.Results`
        trial_id: the trial, of a study's results; of an exported model it may be left out

    Returns:
        A model for `vmi.evaluate`, with `encode` and `decode` on flat images (`vmi.estimation.model.FixedModel`).
        Nothing that lies in the folder is run. The plain torch module is what the folder's own `model.py` loads.

    Raises:
        vmi.InputError: no such folder or trial, a trial that did not complete, or whose model was not kept

    Example:
        >>> import vmi
        >>> account = vmi.evaluate(vmi.load_model("exported"), "digits")  # doctest: +SKIP
    """
    from vmi.export.folder import is_exported, read, stored_row  # loads torch

    place = local(path_of(folder, "folder")) if isinstance(folder, str | AnyPath) else None
    if place is not None and is_exported(place):
        return read(place, trial_id)
    from vmi.estimation.model import from_folder

    results = folder if isinstance(folder, Results) else open(folder)
    if not isinstance(trial_id, str):
        raise InputError([Problem("trial_id", trial_id, "a completed trial of this study: its trial_id in `trials`")])
    stored_row(results._read.trials, trial_id, "trial_id")
    return from_folder(results.folder, trial_id)
