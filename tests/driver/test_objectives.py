"""Optuna with several objectives and constraints: it finds the known front, keeps the bounds, and sees both again."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from optuna.trial import TrialState

from vmi.search.optuna_searcher import OptunaSearcher
from vmi.search.score import Ending, ending, score
from vmi.spec.trial import Completed, Failed, Outcome, Pruned, Suggestion
from vmi.study.space import at_least, choice, uniform
from vmi.study.study import Study, trials

TWO = {"accuracy_majority": "maximize", "distortion_nats": "minimize"}
SPACE = {"mi_weight": uniform(0, 1), "kl_weight": uniform(0, 1)}


def study(**changes: Any) -> Study:
    fields = {"name": "s", "space": SPACE, "seeds": range(2), "searcher": "tpe", "suggestions": 60}
    return Study(**{**fields, "objectives": TWO, **changes})


def toy(suggestion: Suggestion) -> list[Outcome]:
    """The front is kl_weight = 0: whatever mi_weight buys in accuracy it costs in distortion."""
    x, y = (float(suggestion.params[name]) for name in ("mi_weight", "kl_weight"))
    metrics = {"accuracy_majority": x - y, "distortion_nats": x + y, "mi_encoder_nats": x}
    return [Completed(9, {name: v + noise for name, v in metrics.items()}, {}) for noise in (-0.01, 0.01)]


def run(searcher: OptunaSearcher, batch: int = 5) -> list[Suggestion]:
    found: list[Suggestion] = []
    while not searcher.done:
        for suggestion in searcher.ask(batch):
            searcher.tell(suggestion.suggestion_id, toy(suggestion))
            found.append(suggestion)
    return found


def late(made: Study, field: str, seed: int) -> float:
    return statistics.mean(float(s.params[field]) for s in run(OptunaSearcher(made, seed))[30:])


def test_tpe_goes_to_the_front_where_random_search_does_not() -> None:
    tpe, chance = ([late(study(searcher=name), "kl_weight", seed) for seed in range(3)] for name in ("tpe", "random"))
    assert max(tpe) < 0.3 < min(chance)


def test_tpe_is_told_of_constraints_and_keeps_them() -> None:
    bounded = study(constraints={"mi_encoder_nats": at_least(0.8)})
    free, kept = ([late(made, "mi_weight", seed) for seed in range(3)] for made in (study(), bounded))
    assert max(free) < min(kept) and min(kept) > 0.7


def test_a_constraint_may_stand_beside_a_single_objective() -> None:
    made = study(objectives={}, direction="minimize", constraints={"mi_encoder_nats": at_least(0.8)})
    searcher = OptunaSearcher(made, 0)
    run(searcher)
    assert searcher._optuna.best_trial.params["mi_weight"] == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("cut", [1, 12, 40])
def test_a_resumed_search_is_told_what_the_uninterrupted_one_was(cut: int) -> None:
    made = study(constraints={"mi_encoder_nats": at_least(0.5)}, suggestions=50)
    live = OptunaSearcher(made, 0)
    before = live.ask(cut)
    for suggestion in before:
        live.tell(suggestion.suggestion_id, toy(suggestion))
    resumed = OptunaSearcher(made, 0)
    resumed.replay([(trials(made, s)[0].config.__dict__, toy(s)) for s in before])
    both = [[(t.params, t.values, t.constraints, t.state) for t in s._optuna.trials] for s in (live, resumed)]
    assert both[0] == both[1]
    assert {len(t.values) for t in resumed._optuna.trials} == {2} and all(t.constraints for t in resumed._optuna.trials)
    assert [t.number for t in live._optuna.best_trials] == [t.number for t in resumed._optuna.best_trials]
    resumed._draws = live._draws  # the same random numbers: what is drawn then depends on what was told alone
    assert live.ask(3) == resumed.ask(3)


def test_an_unfinished_suggestion_is_handed_out_again_and_told_with_its_constraints() -> None:
    made = study(constraints={"mi_encoder_nats": at_least(0.5)})
    begun = OptunaSearcher(made, 0).ask(2)
    resumed = OptunaSearcher(made, 0)
    resumed.replay([], [trials(made, s)[0].config.__dict__ for s in begun])
    assert resumed.ask(2) == begun
    resumed.tell(begun[0].suggestion_id, toy(begun[0]))
    first, second = resumed._optuna.trials
    assert first.constraints == {"mi_encoder_nats": pytest.approx(0.5 - float(begun[0].params["mi_weight"]))}
    assert (first.state, second.state) == (TrialState.COMPLETE, TrialState.RUNNING)


def done(**metrics: float) -> Completed:
    return Completed(9, metrics, {})


def test_a_suggestion_without_a_value_of_every_metric_has_failed() -> None:
    made = study()
    halves: list[Outcome] = [done(accuracy_majority=0.5), Failed("broke", 3)]
    assert score(made, halves) is None
    assert ending(made, halves) == Ending(None, {}, None)
    found = score(made, [*halves, done(accuracy_majority=0.7, distortion_nats=40.0)])
    assert found is not None and found.means == {"accuracy_majority": pytest.approx(0.6), "distortion_nats": 40.0}


def test_a_suggestion_of_which_a_seed_was_stopped_is_pruned_and_has_no_mean() -> None:
    """The mean over the seeds that survived would flatter it."""
    made = study(objectives={}, pruner="median", suggestions=3)
    outcomes: list[Outcome] = [
        done(accuracy_majority=0.9),
        Pruned(100, {"accuracy_majority": 0.2}),
        Pruned(100, {"accuracy_majority": 0.4}),
        Pruned(300, {"accuracy_majority": 0.6}),
    ]
    assert score(made, outcomes) is None
    live, resumed = OptunaSearcher(made, 0), OptunaSearcher(made, 0)
    (suggestion,) = live.ask(1)
    live.tell(suggestion.suggestion_id, outcomes)
    resumed.replay([(trials(made, suggestion)[0].config.__dict__, outcomes)])
    for searcher in (live, resumed):
        (told,) = searcher._optuna.trials
        assert told.state == TrialState.PRUNED
        assert told.intermediate_values == {100: pytest.approx(0.3), 300: 0.6}
        assert told.value == 0.6  # as Optuna has it of every pruned trial: its last value
    assert ending(made, [Pruned(5, {})]) == Ending(None, {}, {})


def test_pruned_suggestions_are_known_and_not_drawn_again() -> None:
    made = study(objectives={}, pruner="median", space={"mi_weight": choice(0, 1, 2)}, suggestions=9)
    searcher = OptunaSearcher(made, 0)
    found = searcher.ask(2)
    for suggestion in found:
        searcher.tell(suggestion.suggestion_id, [Pruned(5, {"accuracy_majority": 0.1})])
    found += searcher.ask(9)
    assert len({s.suggestion_id for s in found}) == len(found) <= 3
