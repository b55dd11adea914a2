"""The ledger: every trial is handed out once, told once, and found again; it starts and writes nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmi.runners.ledger import Ledger
from vmi.search.factory import searcher_for
from vmi.spec.trial import Outcome, PackSpec, Suggestion, Trial
from vmi.study.space import choice, log_uniform
from vmi.study.study import Study, trials
from vmi.worker.messages import Ended, Row, Update

METRIC = "accuracy_majority"
GRID = {"mi_weight": choice(0, 1, 4), "layout": choice("n16+c10*", "c10*")}


def study(**changes: Any) -> Study:
    return Study(**{"name": "s", "space": GRID, "seeds": range(3), **changes})


def sampled(**changes: Any) -> Study:
    space = {"mi_weight": log_uniform(0.5, 32)}
    return study(**{"space": space, "searcher": "random", "suggestions": 8, "seeds": range(2), **changes})


def none(ids: Collection[str]) -> Mapping[str, Row]:
    return {}


def ledger_of(
    made: Study,
    stored: Iterable[Row] = (),
    adopt: Callable[[Collection[str]], Mapping[str, Row]] = none,
    pack_size: int = 4,
    workers: Callable[[], int] = lambda: 2,
) -> Ledger:
    rows = {row["trial_id"]: row for row in stored}
    return Ledger(made, searcher_for(made, 0), rows, adopt, pack_size=pack_size, workers=workers)


def value_of(trial: Trial) -> float:
    """A metric that tells settings and seeds apart."""
    return trial.config.mi_weight / 10 + trial.config.seed / 100


def completed(trial: Trial, value: float | None = None) -> Ended:
    return Ended(trial.trial_id, "completed", 9, {METRIC: value_of(trial) if value is None else value})


def failed(trial: Trial) -> Ended:
    return Ended(trial.trial_id, "failed", 5, {}, "loss was not finite at step 5")


def row_of(trial: Trial, result: Ended | None = None) -> dict[str, Any]:
    """The trial as the store would hold it."""
    result = result or completed(trial)
    head = {"trial_id": trial.trial_id, "suggestion_id": trial.suggestion_id, "data_fingerprint": "x"}
    ended = {"outcome": result.outcome, "step": result.step, "reason": result.reason or None}
    return {**trial.config.__dict__, **head, **ended, METRIC: None, **result.metrics}


def end(ledger: Ledger, spec: PackSpec, results: Iterable[Ended]) -> None:
    """The last update of a pack's worker."""
    ledger.take(Update(spec.pack_id, 9, 9, tuple(results)))


def run(ledger: Ledger, how: Callable[[Trial], Ended] = completed) -> list[PackSpec]:
    """Take and end packs one after another until there is no more."""
    taken = []
    while (spec := ledger.next_pack()) is not None:
        taken.append(spec)
        end(ledger, spec, [how(trial) for trial in spec.trials])
    return taken


def ids(packs: Iterable[PackSpec]) -> list[str]:
    return [trial.trial_id for spec in packs for trial in spec.trials]


def all_trials(made: Study) -> list[Trial]:
    return [trial for suggestion in searcher_for(made, 0).ask(10**6) for trial in trials(made, suggestion)]


class Listening:
    """A searcher that keeps what it is told, in front of a real one."""

    def __init__(self, made: Study) -> None:
        self.real, self.told = searcher_for(made, 0), []
        self.replay = self.real.replay

    def ask(self, count: int) -> list[Suggestion]:
        return self.real.ask(count)

    def tell(self, suggestion_id: str, outcomes: Iterable[Outcome]) -> None:
        self.told.append((suggestion_id, list(outcomes)))
        self.real.tell(suggestion_id, self.told[-1][1])

    @property
    def done(self) -> bool:
        return self.real.done


def listening(made: Study, stored: Iterable[Row] = (), pack_size: int = 4) -> tuple[Ledger, Listening]:
    searcher = Listening(made)
    rows = {row["trial_id"]: row for row in stored}
    return Ledger(made, searcher, rows, none, pack_size=pack_size, workers=lambda: 2), searcher


@settings(max_examples=60)
@given(
    seeds=st.integers(1, 5),
    pack_size=st.integers(1, 20),
    workers=st.integers(1, 5),
    searcher=st.sampled_from(["grid", "random", "tpe"]),
    order=st.randoms(use_true_random=False),
)
def test_every_trial_is_handed_out_once_and_told_once_whatever_ends_first(
    seeds: int, pack_size: int, workers: int, searcher: str, order: random.Random
) -> None:
    made = study(seeds=range(seeds)) if searcher == "grid" else sampled(searcher=searcher, seeds=range(seeds))
    heard = Listening(made)
    ledger = Ledger(made, heard, {}, none, pack_size=pack_size, workers=lambda: workers)
    handed: Counter[str] = Counter()
    while not ledger.done:
        while len(ledger.running) < workers and (spec := ledger.next_pack()) is not None:
            handed.update(trial.trial_id for trial in spec.trials)
        spec = order.choice(list(ledger.running.values()))
        how = order.choice(["completed", "failed", "part", "lost"])
        if how == "lost":
            ledger.lose(spec.pack_id, "its worker died")
        else:
            results = [(failed if how == "failed" else completed)(trial) for trial in spec.trials]
            end(ledger, spec, results[:1] if how == "part" else results)
    expected = (6 if searcher == "grid" else 8) * seeds
    assert len(handed) == expected and set(handed.values()) == {1}
    assert set(ledger.outcomes.finished) | set(ledger.outcomes.lost) == set(handed)
    assert not set(ledger.outcomes.finished) & set(ledger.outcomes.lost)
    told = [suggestion_id for suggestion_id, _ in heard.told]
    assert len(told) == len(set(told)) == expected // seeds
    assert {len(outcomes) for _, outcomes in heard.told} == {seeds}
    assert ledger.next_pack() is None and not ledger.has_work()


def test_a_pack_holds_one_architecture_and_no_more_than_its_size() -> None:
    packs = run(ledger_of(study(), pack_size=4))
    assert sorted(ids(packs)) == sorted(trial.trial_id for trial in all_trials(study()))
    assert all(len(spec.trials) <= 4 for spec in packs)
    assert all(len({trial.config.architecture for trial in spec.trials}) == 1 for spec in packs)


def test_finished_trials_are_counted_as_reused_and_not_handed_out() -> None:
    made = study()
    everything = all_trials(made)
    stored, missing = everything[:7], everything[7:]
    ledger = ledger_of(made, [row_of(trial) for trial in stored])
    assert sorted(ids(run(ledger))) == sorted(trial.trial_id for trial in missing)
    assert ledger.reused == 7 and len(ledger.outcomes.finished) == len(everything) and ledger.done


def test_where_everything_is_finished_nothing_is_started_to_count_workers() -> None:
    def refuse() -> int:
        raise AssertionError("a runner was started")

    made = study()
    assert not ledger_of(made, map(row_of, all_trials(made)), workers=refuse).has_work()
    few = sampled(space={"mi_weight": choice(0, 4)}, suggestions=8)
    first = ledger_of(few)
    seen = [trial for spec in run(first) for trial in spec.trials]
    assert first.done and len(seen) == 4
    again = ledger_of(few, map(row_of, seen), workers=refuse)
    assert not again.has_work() and again.done and again.reused == 4


def test_trials_of_other_studies_are_adopted_and_count_as_reused() -> None:
    made = study()
    theirs = {trial.trial_id: row_of(trial) for trial in all_trials(made)[:5]}
    ledger = ledger_of(made, adopt=lambda wanted: {i: row for i, row in theirs.items() if i in wanted})
    assert not set(ids(run(ledger))) & set(theirs)
    assert ledger.reused == 5 and ledger.done and len(ledger.outcomes.finished) == 18


def test_a_row_of_another_meaning_is_left_aside() -> None:
    made = study()
    rows = [row_of(trial) | {"trial_id": f"{index:016x}"} for index, trial in enumerate(all_trials(made))]
    ledger = ledger_of(made, rows)
    assert len(ids(run(ledger))) == 18 and ledger.reused == 0


def test_a_sampler_waits_for_its_round_and_sees_the_mean_over_seeds() -> None:
    made = sampled(seeds=range(2), suggestions=8)
    ledger, heard = listening(made, pack_size=2)
    first: list[PackSpec] = []
    while (spec := ledger.next_pack()) is not None:
        first.append(spec)
    assert len(ids(first)) == 2 * 2  # a quarter of eight suggestions, two seeds each
    assert not ledger.done and not ledger.has_work()
    end(ledger, first[0], [completed(trial, 0.2) for trial in first[0].trials])
    assert ledger.next_pack() is None, "the round is not in"
    for spec in first[1:]:
        end(ledger, spec, [completed(trial, 0.6) for trial in spec.trials])
    assert ledger.next_pack() is not None
    means = {i: sum(o.metrics[METRIC] for o in outcomes) / 2 for i, outcomes in heard.told}  # type: ignore[union-attr]
    assert sorted(means.values()) == [pytest.approx(0.2), pytest.approx(0.6)]


def test_a_failed_trial_is_finished_and_a_lost_one_is_not() -> None:
    made = study(space={"mi_weight": choice(0, 4)}, seeds=range(2))
    ledger = ledger_of(made, pack_size=2)
    first, second = ledger.next_pack(), ledger.next_pack()
    assert first and second
    end(ledger, first, [failed(first.trials[0]), completed(first.trials[1])])
    ledger.lose(second.pack_id, "No space left on device")
    assert ledger.done and len(ledger.outcomes.finished) == 2
    assert ledger.outcomes.failures == {
        first.trials[0].trial_id: "loss was not finite at step 5",
        **{trial.trial_id: "No space left on device" for trial in second.trials},
    }
    resumed = ledger_of(made, [row_of(t, ledger.outcomes.finished[t.trial_id]) for t in first.trials], pack_size=2)
    assert sorted(ids(run(resumed))) == sorted(trial.trial_id for trial in second.trials)


def test_a_trial_without_a_result_is_lost_and_its_pack_mates_are_not() -> None:
    ledger = ledger_of(study(), pack_size=3)
    spec = ledger.next_pack()
    assert spec
    end(ledger, spec, [completed(trial) for trial in spec.trials[1:]])
    assert set(ledger.outcomes.lost) == {spec.trials[0].trial_id}
    assert set(ledger.outcomes.finished) == {trial.trial_id for trial in spec.trials[1:]}


@pytest.mark.parametrize(("direction", "best"), [("maximize", 4), ("minimize", 0)])
def test_the_best_is_the_best_mean_over_seeds_with_its_interval(direction: str, best: float) -> None:
    made = study(space={"mi_weight": choice(0, 1, 4)}, direction=direction)
    ledger = ledger_of(made)
    assert ledger.ranking.best is None
    run(ledger)
    assert ledger.ranking.best and ledger.ranking.best.params == {"mi_weight": best}
    value = ledger.ranking.best.value
    assert (value.count, value.mean) == (3, pytest.approx(best / 10 + 0.01))
    assert value.low is not None and value.low < value.mean
    again = ledger_of(made, map(row_of, all_trials(made)))
    assert again.ranking.best == ledger.ranking.best, "the store alone gives the same"


def test_a_suggestion_that_failed_on_all_seeds_is_never_the_best() -> None:
    made = study(space={"mi_weight": choice(0, 4)}, direction="minimize")
    ledger = ledger_of(made)
    run(ledger, lambda trial: failed(trial) if trial.config.mi_weight == 0 else completed(trial))
    assert ledger.ranking.best and ledger.ranking.best.params == {"mi_weight": 4.0}
    assert len(ledger.outcomes.failures) == 3


@pytest.mark.parametrize("made", [study(), sampled(), sampled(baseline={"mi_weight": 0})], ids=["grid", "random", "+b"])
@pytest.mark.parametrize("cut", [0, 1, 3, 7, 11])
def test_a_resumed_ledger_ends_with_the_trials_of_an_uninterrupted_one(made: Study, cut: int) -> None:
    whole = [trial for spec in run(ledger_of(made)) for trial in spec.trials]
    kept = random.Random(cut).sample(whole, cut)
    resumed = ledger_of(made, map(row_of, kept))
    rest = ids(run(resumed))
    assert not set(rest) & {trial.trial_id for trial in kept}
    assert sorted([*rest, *(trial.trial_id for trial in kept)]) == sorted(trial.trial_id for trial in whole)
    assert set(resumed.outcomes.finished) == {trial.trial_id for trial in whole} and resumed.reused == cut


def test_a_resumed_sampler_has_as_many_suggestions_as_were_asked_for() -> None:
    made = sampled(searcher="tpe", baseline={"mi_weight": 0})
    whole = [trial for spec in run(ledger_of(made)) for trial in spec.trials]
    resumed = ledger_of(made, map(row_of, whole[:7]))
    run(resumed)
    assert resumed.done and len(resumed.outcomes.finished) == len(whole) == 9 * 2
    assert {trial.trial_id for trial in whole[:7]} <= set(resumed.outcomes.finished)
