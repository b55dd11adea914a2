"""The trials that a stored study asks for, as rows, whether they have ended or not."""

from __future__ import annotations

from vmi.driver.own_data import register_beside
from vmi.results.store import Store
from vmi.search.grid import GridSearcher
from vmi.search.trial_count import EVERYTHING
from vmi.spec.errors import InputError
from vmi.spec.trial import Row, Trial
from vmi.study.checks import validate
from vmi.study.study import trials
from vmi.study.study_json import study_of


def asked_rows(store: Store) -> list[Row]:
    """Of a grid all points on all seeds, of a search no more than is known: none. None of what this program can't read.

    Only the columns of the configuration and the ids.
    """
    spec = store.read_study()
    if not spec or spec.get("searcher") != "grid":
        return []
    register_beside(store.folder)
    study = study_of(spec)
    try:
        validate(study)
    except InputError:
        return []
    return [row_of(trial) for suggestion in GridSearcher(study).ask(EVERYTHING) for trial in trials(study, suggestion)]


def row_of(trial: Trial) -> Row:
    """What a row of `trials` will have of the trial before it ends."""
    return {**vars(trial.config), "trial_id": trial.trial_id, "suggestion_id": trial.suggestion_id}
