"""What a driver does about requests to stop: the trials that no worker has begun get their rows from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from vmi.driver.own_data import register_beside
from vmi.in_flight.steering import StopRequests
from vmi.results.rows import attempts_with
from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.search.factory import searcher_for
from vmi.search.trial_count import values_of
from vmi.spec.config import FIELD_TYPES, TrialConfig
from vmi.spec.errors import InputError
from vmi.spec.trial import RETRIABLE, Cost, Row, Stopped, Trial, row_of
from vmi.spec.version import version
from vmi.spec.words import counted
from vmi.study.study import Study, trials
from vmi.study.study_json import study_of
from vmi.worker.takeover import packs_planned


class Stopping:
    """The requests to stop trials of one run's study, as a `vmi.runners.ledger.Stopper`.

    `attempt` is which start of the study this is; `acquire` makes this process its driver, before anything is written;
    `stored` is told the ids of trials that have a row; `say` what a user is told.
    """

    def __init__(
        self,
        store: Store,
        attempt: Callable[[], int],
        acquire: Callable[[], object],
        stored: Callable[[Iterable[str]], object],
        say: Callable[[str], object],
    ) -> None:
        """Raises StoreError naming a damaged request."""
        self._store, self._attempt, self._acquire, self._stored, self._say = store, attempt, acquire, stored, say
        self._requests = StopRequests(store)
        self._requests.checked()

    def news(self) -> bool:
        found = self._requests.look()
        for request in found:
            self._say(f"stopping trials where {request.where}, as {request.user} on {request.host} has asked")
        return bool(found)

    def met_by(self, stored: Iterable[Trial]) -> Mapping[str, str]:
        """Why each of these trials that meets a request is to be stopped, by its id."""
        return self._requests.met_by(stored)

    def stop(self, study: Study, waiting: Sequence[Trial]) -> Mapping[str, Row]:
        reasons = self._requests.met_by(waiting)
        if not reasons:
            return {}
        self._acquire()
        layouts, dataset = values_of(study, "layout"), values_of(study, "dataset")[0]
        attempt = self._attempt()
        recorder = ParquetRecorder(self._store, layouts, dataset, attempt, lambda: datetime.now(UTC))
        cost = Cost(0.0, "", 0, attempt, "", json.dumps({"vmi-sweeps": version()}))
        for trial in (trial for trial in waiting if trial.trial_id in reasons):
            recorder.finish(trial, Stopped(0, {}, reasons[trial.trial_id]), cost)
        rows = {row["trial_id"]: row for row in recorder.commit().trials}
        for reason in dict.fromkeys(reasons.values()):
            self._say(f"{counted(list(reasons.values()).count(reason), 'trial')} not begun: {reason}")
        self._stored(list(rows))
        return rows

    def lift(self) -> None:
        """Let go of all requests that there are: what they have asked for is asked for no more."""
        self._requests.lift()


def without_row(store: Store) -> tuple[list[Trial], int]:
    """The trials of a study that have no row that counts, as its store tells from outside; how many have one.

    Of a grid all that was asked for; of a search what has been handed out, and the other seeds of its suggestions.
    """
    spec, rows, packs = store.read_study(), store.finished(), packs_planned(store)
    found = {trial.trial_id: trial for pack in packs for trial in pack.trials}
    if spec is not None:
        study = study_of(spec)
        searcher = searcher_for(study, seed=0)
        asked = searcher.ask(sys.maxsize) if study.searcher == "grid" else []
        found |= {trial.trial_id: trial for suggestion in asked for trial in trials(study, suggestion)}
        configs = [*(trial.config for trial in found.values()), *map(config_of, rows.values())]
        first = {config.suggestion_id: config for config in configs if config.seed not in study.confirm_seeds}
        every = (replace(config, seed=seed) for config in first.values() for seed in study.seeds)
        found |= {c.trial_id: Trial(c.trial_id, c.suggestion_id, c) for c in every}
    attempts = attempts_with(RETRIABLE, rows.values())
    again = {i for pack in packs for i, attempt in pack.retried.items() if attempts.get(i) == attempt}
    return [trial for trial_id, trial in found.items() if trial_id not in rows or trial_id in again], len(rows)


def asked_for(store: Store) -> list[Row]:
    """The same trials, as rows; none of a study that this program cannot read."""
    register_beside(store.folder)
    try:
        return [row_of(trial) for trial in without_row(store)[0]]
    except InputError:
        return []


def config_of(row: Row) -> TrialConfig:
    """The configuration of a stored trial."""
    return TrialConfig(**{name: row[name] for name in FIELD_TYPES})
