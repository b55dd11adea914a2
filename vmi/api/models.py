"""`vmi.load_model` and `vmi.evaluate`: a trained model of a study or an export, and the MI account of any model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vmi.api.results import Results, open
from vmi.spec.errors import InputError, Problem
from vmi.storage.paths import AnyPath, local, path_of

if TYPE_CHECKING:
    from vmi.data.dataset import Dataset
    from vmi.estimation.evaluate import Account, Arrays
    from vmi.estimation.model import FixedModel, Wrapped
    from vmi.estimation.q_fit import Settings


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


def evaluate(
    model: FixedModel,
    data: Dataset | Arrays | str,
    *,
    seeds: int = 3,
    seed: int = 0,
    resamples: int = 1000,
    settings: Settings | None = None,
) -> Account:
    """The MI account of a model on a data set, in nats; the model is left bitwise as it was.

    Arguments:
        model: a `FixedModel`; `vmi.estimation.model.wrap` makes one of two functions
        data: what a study's `dataset` may be, by name or as a file or folder of your own; or a `vmi.Dataset`
        seeds: how many Q are fitted, with `seed`, `seed + 1`, ...: their spread is part of the result
        seed: the first of them
        resamples: of the bootstrap over held-out images
        settings: of Q's fit; its widths are by default those of the data set's encoder

    Returns:
        The `Account`, which has every quantity of the MI card with its intervals.

    Raises:
        vmi.InputError: the model's shapes do not match the data, or an option is out of range; nothing was trained
    """
    from vmi.driver.own_data import read
    from vmi.estimation.evaluate import evaluate as account_of  # loads torch
    from vmi.spec.datasets import is_place
    from vmi.worker.own_images import hold

    images = read(data) if isinstance(data, str) and is_place(data) else data
    if isinstance(images, str):
        hold(images)
    return account_of(model, images, seeds=seeds, seed=seed, resamples=resamples, settings=settings)
