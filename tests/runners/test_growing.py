"""A ledger whose study grows while packs are out: each trial is handed out once and ends as one start would have it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests.runners.test_ledger import all_trials, completed, end, failed, ledger_of, row_of, sampled, study
from vmi.runners.ledger import Ledger
from vmi.search.factory import searcher_for
from vmi.spec.trial import PackSpec, Row
from vmi.study.space import choice, log_uniform
from vmi.study.study import Study
from vmi.worker.messages import Ended, Update

GROWN = {
    "seeds": {"seeds": range(5)},
    "values": {"space": {"mi_weight": choice(0, 1, 4, 9), "layout": choice("n16+c10*", "c10*")}},
    "both": {"seeds": range(4), "space": {"mi_weight": choice(0, 2, 1, 4), "layout": choice("n16+c10*", "c10*")}},
}


class Store:
    """The rows of a run, as it would find them."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def keep(self, spec: PackSpec, results: list[Ended]) -> None:
        by_id = {trial.trial_id: trial for trial in spec.trials}
        self.rows |= {result.trial_id: row_of(by_id[result.trial_id], result) for result in results}


def grow(ledger: Ledger, larger: Study, store: Store) -> None:
    ledger.grow(larger, searcher_for(larger, 0), store.rows)


@pytest.mark.parametrize("growth", GROWN)
@pytest.mark.parametrize("moment", [0, 1, 2, 4, 6])
def test_a_grid_that_grows_at_any_moment_has_each_trial_once(growth: str, moment: int) -> None:
    made, larger = study(), study(**GROWN[growth])
    order, ledger, store, handed = random.Random(moment), ledger_of(made, pack_size=3), Store(), Counter[str]()
    ended = 0
    while True:
        while len(ledger.running) < 2 and (spec := ledger.next_pack()) is not None:
            handed.update(trial.trial_id for trial in spec.trials)
        if ended == moment:
            grow(ledger, larger, store)
            ended += 1
            continue
        if not ledger.running:
            break
        spec = order.choice(list(ledger.running.values()))
        results = [(failed if trial.config.seed == 1 else completed)(trial) for trial in spec.trials]
        store.keep(spec, results)
        end(ledger, spec, results)
        ended += 1
    whole = ledger_of(larger, store.rows.values())
    assert ledger.done and set(handed.values()) == {1} and set(handed) == {t.trial_id for t in all_trials(larger)}
    assert set(ledger.outcomes.finished) == set(handed) and ledger.reused == 0
    assert dict(ledger.outcomes.failures) == dict(whole.outcomes.failures)
    best = [(one.params, one.value) for one in (ledger.ranking.best, whole.ranking.best) if one]
    assert len(best) == 2 and best[0] == best[1]


@pytest.mark.parametrize("moment", range(6))
def test_a_search_has_as_many_suggestions_as_one_that_asked_for_all(moment: int) -> None:
    made = sampled(searcher="tpe", suggestions=6)
    larger = sampled(searcher="tpe", suggestions=9, seeds=range(3), space={"mi_weight": log_uniform(0.5, 100)})
    ledger, store, handed = ledger_of(made, pack_size=3), Store(), Counter[str]()
    for number in range(1000):
        while len(ledger.running) < 2 and (spec := ledger.next_pack()) is not None:
            handed.update(trial.trial_id for trial in spec.trials)
        if number == moment:
            grow(ledger, larger, store)
        elif ledger.running:
            spec = next(iter(ledger.running.values()))
            results = [completed(trial) for trial in spec.trials]
            store.keep(spec, results)
            end(ledger, spec, results)
        else:
            break
    assert ledger.done and len(handed) == 27 and set(handed.values()) == {1}
    assert len({row["suggestion_id"] for row in store.rows.values()}) == 9


def test_rows_of_a_pack_that_still_runs_are_told_once_it_has_ended() -> None:
    made, larger = study(), study(seeds=range(4))
    ledger, store = ledger_of(made, pack_size=4), Store()
    spec = ledger.next_pack()
    assert spec is not None
    first = [completed(trial) for trial in spec.trials[:2]]
    store.keep(spec, first)
    ledger.take(Update(spec.pack_id, 5, 9, stored=tuple(result.trial_id for result in first)))
    grow(ledger, larger, store)
    assert not ledger.outcomes.finished and ledger.outcomes.safe == 2
    results = [completed(trial) for trial in spec.trials]
    store.keep(spec, results)
    end(ledger, spec, results)
    assert set(ledger.outcomes.finished) == {trial.trial_id for trial in spec.trials}


def test_what_was_lost_before_is_trained_again_as_a_next_start_would() -> None:
    made, larger = study(), study(seeds=range(4))
    ledger, store = ledger_of(made, pack_size=4), Store()
    spec = ledger.next_pack()
    assert spec is not None
    ledger.lose(spec.pack_id, "its worker died")
    assert len(ledger.outcomes.failures) == len(spec.trials)
    grow(ledger, larger, store)
    handed: list[Any] = []
    while (again := ledger.next_pack()) is not None:
        handed += [trial.trial_id for trial in again.trials]
        results = [completed(trial) for trial in again.trials]
        store.keep(again, results)
        end(ledger, again, results)
    assert sorted(handed) == sorted(t.trial_id for t in all_trials(larger))
    assert ledger.done and not ledger.outcomes.failures


def test_leaders_that_are_being_confirmed_are_confirmed_once() -> None:
    made = study(confirm=1, confirm_seeds=(100, 101))
    larger = study(confirm=1, confirm_seeds=(100, 101), seeds=range(4))
    ledger, store, handed = ledger_of(made, pack_size=6), Store(), Counter[str]()
    grown = False
    while (spec := ledger.next_pack()) is not None:
        handed.update(trial.trial_id for trial in spec.trials)
        if not grown and {trial.config.seed for trial in spec.trials} <= {100, 101}:
            grow(ledger, larger, store)
            grown = True
        results = [completed(trial) for trial in spec.trials]
        store.keep(spec, results)
        end(ledger, spec, results)
    assert grown and ledger.done and set(handed.values()) == {1} and len(handed) == 6 * 4 + 2
    assert ledger.ranking.best is not None and ledger.ranking.best.value.count == 2
