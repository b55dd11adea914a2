"""A study as an Optuna storage: a journal file, which Optuna loads and `optuna-dashboard FILE` opens.

Each suggestion is one Optuna trial, with the values that a searcher is told of it: means over its seeds. A grid's are
written alike.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from vmi.search.optuna_searcher import distribution, frozen_trial
from vmi.search.score import directions, ending, objective, replicates
from vmi.spec.config import FIELD_TYPES
from vmi.spec.intervals import interval
from vmi.spec.metrics import METRICS
from vmi.spec.trial import Completed, Outcome, Row, outcome_of
from vmi.storage.durable import hand_out
from vmi.storage.paths import AnyPath
from vmi.study.conditions import active
from vmi.study.space import canonical_space
from vmi.study.study import Study
from vmi.study.study_json import study_of


def to_optuna(study_spec: Mapping[str, Any], rows: Iterable[Row], file: AnyPath, field: str = "--optuna") -> None:
    """Write a study as a new Optuna journal file.

    A trial of it has the searched params with their distributions, the values of the objectives, the constraints, and
    the state: COMPLETE, PRUNED with the metric by step, FAIL, or RUNNING where seeds are missing. Its user attributes
    are `suggestion_id`, `trial_ids`, `seeds` (the completed replicates), `interval` (95 %, of the study's metric) and
    every metric's mean. Seeds of a confirmation are no part of a value; their ids are in `confirm_trial_ids`. What lies
    outside the space, as a baseline may, has no params, but its fields as the attribute `outside_space`.

    Arguments:
        study_spec: the content of `study.json`
        rows: of `trials`, one per trial
        file: where the journal is written
        field: what an error calls it

    Raises InputError where the file exists or cannot be written.
    """
    study, journal = study_of(study_spec), _Journal()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    goals = directions(study)
    wanted = [StudyDirection[direction.upper()] for direction in goals.values()]
    made = optuna.create_study(storage=JournalStorage(journal), study_name=study.name, directions=wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of the names
        made.set_metric_names(list(goals))
    space = {name: distribution(domain) for name, domain in canonical_space(study.space).items()}
    for group in _suggestions(rows):
        made.add_trial(_trial(study, space, group))
    hand_out(file, journal.data, field)


class _Journal(BaseJournalBackend):
    """What Optuna's own file backend writes, a line of JSON for each entry, until the file is put in place whole."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def data(self) -> bytes:
        return "".join(f"{line}\n" for line in self._lines).encode()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._lines += [json.dumps(log, separators=(",", ":")) for log in logs]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        return map(json.loads, self._lines[log_number_from:])


def _suggestions(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each suggestion by seed; in the order in which the first of each ended."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["suggestion_id"], []).append(row)
    found = [sorted(group, key=lambda row: int(row["seed"])) for group in groups.values()]
    return sorted(found, key=lambda group: (min(row["finished_at"] for row in group), group[0]["suggestion_id"]))


def _trial(study: Study, space: Mapping[str, BaseDistribution], rows: Sequence[Row]) -> FrozenTrial:
    by_seed = {row["seed"]: outcome_of(row) for row in rows if row["seed"] in study.seeds}
    is_whole = by_seed.keys() == {*study.seeds}
    outcomes = replicates(study, by_seed) if is_whole else list(by_seed.values())
    ended = ending(study, outcomes) if is_whole else None
    attributes = _attributes(study, rows, outcomes)
    held = {name: rows[0].get(name) for name in space}
    params = {name: v for name, v in active(held, study.conditions, held).items() if v is not None}
    try:
        trial = frozen_trial(params, ended, space, attributes)
    except ValueError:
        trial = frozen_trial({}, ended, space, {**attributes, "outside_space": params})
    trial.datetime_start = min(row["finished_at"] - timedelta(seconds=row["train_seconds"] or 0) for row in rows)
    trial.datetime_complete = max(row["finished_at"] for row in rows) if ended else None
    return trial


def _attributes(study: Study, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What Optuna has no place for: JSON values."""
    ids = {where: [r["trial_id"] for r in rows if r["seed"] in seeds] for where, seeds in _seeds(study).items()}
    values = [o.metrics.get(study.metric, math.nan) for o in outcomes if isinstance(o, Completed)]
    found = interval(values)
    names = (n for n in rows[0] if (n in METRICS or n.endswith("_nats")) and n not in FIELD_TYPES)
    means = {name: mean for name in names if (mean := objective(outcomes, name)) is not None}
    said = {"suggestion_id": rows[0]["suggestion_id"], **{where: some for where, some in ids.items() if some}}
    return {**said, "seeds": len(values), "interval": [found.low, found.high] if found else None, **means}


def _seeds(study: Study) -> dict[str, tuple[int, ...]]:
    return {"trial_ids": tuple(study.seeds), "confirm_trial_ids": tuple(study.confirm_seeds)}
