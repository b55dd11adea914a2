"""Optuna behind ask and tell: it learns, repeats nothing, and is rebuilt from the store."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState

from vmi.search.optuna_searcher import MAX_REPEATS, OptunaSearcher
from vmi.search.searcher import Searcher
from vmi.spec.trial import Completed, Failed, Outcome, Pruned, Stopped, Suggestion
from vmi.study.checks import validate
from vmi.study.space import choice, integers, log_uniform, uniform
from vmi.study.study import Study, trials

CONTINUOUS = {"mi_weight": log_uniform(0.5, 32), "temperature": uniform(0.2, 2)}


def study(**changes: Any) -> Study:
    fields = {"name": "s", "space": CONTINUOUS, "seeds": range(2), "searcher": "tpe", "suggestions": 12}
    return Study(**{**fields, **changes})


def toy(suggestion: Suggestion) -> float:
    """Best at mi_weight 8, temperature 0.5."""
    params = suggestion.params
    if not params["mi_weight"]:  # the baseline
        return -99.0
    return -((math.log2(float(params["mi_weight"])) - 3) ** 2) - (float(params["temperature"]) - 0.5) ** 2


def ended(*values: float | None) -> list[Outcome]:
    return [Failed("broke", 1) if v is None else Completed(9, {"accuracy_majority": v}, {}) for v in values]


def told(searcher: Searcher, suggestion: Suggestion, *values: float | None) -> None:
    searcher.tell(suggestion.suggestion_id, ended(*values))


def run(searcher: Searcher, batch: int, value: Callable[[Suggestion], float | None] = toy) -> list[Suggestion]:
    found: list[Suggestion] = []
    while not searcher.done:
        asked = searcher.ask(batch)
        for suggestion in asked:
            told(searcher, suggestion, value(suggestion))
        found += asked
    return found


def ids(suggestions: list[Suggestion]) -> list[str]:
    return [suggestion.suggestion_id for suggestion in suggestions]


def rows(made: Study, suggestions: list[Suggestion]) -> list[dict[str, Any]]:
    return [dict(trials(made, suggestion)[0].config.__dict__) for suggestion in suggestions]


def test_tpe_finds_a_better_region_than_random_search() -> None:
    def late(name: str, seed: int) -> float:
        found = run(OptunaSearcher(study(searcher=name, suggestions=50), seed), batch=5)
        return statistics.mean(toy(suggestion) for suggestion in found[25:])

    tpe, chance = ([late(name, seed) for seed in range(3)] for name in ("tpe", "random"))
    assert max(chance) < min(tpe)


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_the_number_of_suggestions_is_kept_and_the_seed_decides_them(name: str) -> None:
    made = study(searcher=name)
    first, second, other = (run(OptunaSearcher(made, seed), batch=4) for seed in (0, 0, 1))
    assert len(set(ids(first))) == len(first) == 12
    assert ids(first) == ids(second)
    assert not set(ids(first)) & set(ids(other))
    assert set(first[0].params) == {"mi_weight", "temperature"}


def test_many_may_be_asked_before_any_is_told() -> None:
    searcher = OptunaSearcher(study(suggestions=30), 0)
    assert len(set(ids(searcher.ask(30)))) == 30
    assert searcher.done
    assert searcher.ask(1) == []


def test_random_points_do_not_depend_on_what_is_told_or_how_they_are_asked() -> None:
    made = study(searcher="random")
    assert ids(run(OptunaSearcher(made, 0), 1)) == ids(run(OptunaSearcher(made, 0), 5, lambda s: None))


@pytest.mark.parametrize("interrupted_after", [0, 1, 5, 11, 12])
@pytest.mark.parametrize("space", [CONTINUOUS, {"mi_weight": choice(1, 2, 3, 4), "temperature": choice(0.5, 1, 1.5)}])
def test_a_resumed_random_search_has_the_same_suggestions(space: Any, interrupted_after: int) -> None:
    made = study(searcher="random", space=space, suggestions=11, baseline={"mi_weight": 0})
    whole = run(OptunaSearcher(made, 3), 4)
    assert len(whole) == 12
    shuffled = random.Random(0).sample(whole, interrupted_after)
    finished, unfinished = shuffled[::2], shuffled[1::2]
    resumed = OptunaSearcher(made, 3)
    resumed.replay([(row, ended(0.5)) for row in rows(made, finished)], rows(made, unfinished))
    rest = run(resumed, 4)
    assert len(ids(rest)) == len(set(ids(rest)))
    assert set(ids(rest)) | set(ids(finished)) == set(ids(whole))
    assert not set(ids(rest)) & set(ids(finished))


@pytest.mark.parametrize("interrupted_after", [3, 15])
def test_a_resumed_tpe_search_goes_on_from_the_store(interrupted_after: int) -> None:
    made = study(suggestions=24, baseline={"mi_weight": 0})
    searcher = OptunaSearcher(made, 0)
    before = searcher.ask(interrupted_after)
    resumed = OptunaSearcher(made, 0)
    stored = [(row, ended(toy(s))) for row, s in zip(rows(made, before[1:]), before[1:], strict=True)]
    resumed.replay([(rows(made, before[:1])[0], ended(0.1)), *stored])
    assert len(resumed._optuna.get_trials(states=(TrialState.COMPLETE,))) == interrupted_after - 1
    rest = run(resumed, 4)
    assert len(set(ids(before)) | set(ids(rest))) == len(before) + len(rest) == 25


def test_unfinished_suggestions_come_first_and_are_learnt_from() -> None:
    made = study()
    begun = OptunaSearcher(made, 0).ask(3)
    resumed = OptunaSearcher(made, 0)
    resumed.replay([], rows(made, begun))
    again = resumed.ask(3)
    assert again == begun
    told(resumed, again[1], 0.75, 0.25)
    complete = resumed._optuna.get_trials(states=(TrialState.COMPLETE,))
    assert [(trial.params, trial.value) for trial in complete] == [(dict(again[1].params), 0.5)]
    assert len(run(resumed, 4)) == 9


def test_a_failed_suggestion_is_failed_and_never_nan() -> None:
    searcher = OptunaSearcher(study(), 0)
    first, second, third = searcher.ask(3)
    told(searcher, first, None, None)
    told(searcher, second, math.nan, None)
    told(searcher, third, 0.5, None)
    found = [(trial.state, trial.value) for trial in searcher._optuna.trials]
    assert found == [(TrialState.FAIL, None), (TrialState.FAIL, None), (TrialState.COMPLETE, 0.5)]
    searcher.replay([(rows(study(), [first])[0], ended(None))])  # known already
    assert len(searcher._optuna.trials) == 3
    with pytest.raises(KeyError):
        told(searcher, first, 0.5)


@pytest.mark.parametrize("kind", [Pruned, Stopped])
def test_a_suggestion_of_which_a_seed_was_cut_short_is_pruned_with_what_it_had(kind: Any) -> None:
    searcher = OptunaSearcher(study(), 0)
    first, second, third = searcher.ask(3)
    for suggestion, short in ((first, kind(4, {"accuracy_majority": 0.25})), (second, kind(0, {}))):
        searcher.tell(suggestion.suggestion_id, [*ended(0.5), short])
    told(searcher, third, 0.5, 0.5)
    found = [(trial.state.name, trial.intermediate_values) for trial in searcher._optuna.trials]
    assert found == [("PRUNED", {4: 0.25}), ("PRUNED", {}), ("COMPLETE", {})]
    assert len(searcher.ask(9)) == 9, "and the search goes on"


def test_replayed_failures_are_failed() -> None:
    made = study()
    searcher = OptunaSearcher(made, 0)
    inside, outside = {"mi_weight": 4.0, "temperature": 0.5}, {"mi_weight": 400.0, "temperature": 1.0}
    searcher.replay([(inside, ended(None)), (outside, ended(1.0))])
    assert [trial.state for trial in searcher._optuna.trials] == [TrialState.FAIL]  # 400 is outside the space


BESIDE = {
    "auto": ({"likelihood_variance": choice("auto"), "mi_weight": uniform(0, 4)}, {}),
    "a preset of equal numbers": ({"preset": choice("custom"), "mi_weight": uniform(0, 4)}, {"preset": "corrected"}),
    "a step below what Optuna tells apart": ({"mi_weight": uniform(0.001, 10, step=1e-7)}, {}),
}


@pytest.mark.parametrize("case", BESIDE)
def test_a_finished_search_asks_for_nothing_more_where_optuna_does_not_take_its_points(case: str) -> None:
    space, called = BESIDE[case]
    made = study(searcher="random", suggestions=20, space=space)
    validate(made)
    found = run(OptunaSearcher(made, 0), 4, lambda suggestion: float(suggestion.params["mi_weight"]))
    again = OptunaSearcher(made, 0)
    again.replay([({**row, **called}, ended(row["mi_weight"])) for row in rows(made, found)])
    assert len(found) == 20 and again.ask(9) == [] and again.done


def test_a_point_whose_field_is_at_its_default_elsewhere_now_teaches_nothing() -> None:
    before = study(searcher="random", fixed={"kl_weight": 5}, space={"layout": choice("n8+c10*", "n4+c10*")})
    (one,) = [s for s in OptunaSearcher(before, 0).ask(2) if s.params["layout"] == "n4+c10*"]
    space = {**before.space, "kl_weight": uniform(1, 10)}
    after = study(searcher="random", space=space, conditions={"kl_weight": {"layout": ("n8+c10*",)}})
    searcher = OptunaSearcher(after, 0)
    searcher.replay([(rows(before, [one])[0], ended(1.0))])
    assert searcher._optuna.trials == []


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_a_small_discrete_space_is_exhausted_without_repeats(name: str) -> None:
    made = study(searcher=name, suggestions=500, space={"mi_weight": choice(1, 2, 4), "batch_size": integers(8, 24, 8)})
    validate(made)
    searcher = OptunaSearcher(made, 0)
    found = run(searcher, 4, lambda suggestion: float(suggestion.params["mi_weight"]))
    assert len(found) == len(set(ids(found))) <= 9
    assert len(found) >= (9 if name == "random" else 6)
    assert searcher.ask(1) == []
    values = {(t.params["mi_weight"], t.value) for t in searcher._optuna.get_trials(states=(TrialState.COMPLETE,))}
    assert values <= {(1.0, 1.0), (2.0, 2.0), (4.0, 4.0)}  # a repeat is told the known value
    assert len(searcher._optuna.trials) <= 9 + 9 * MAX_REPEATS


def test_the_baseline_comes_first_and_teaches_nothing() -> None:
    made = study(baseline={"mi_weight": 0}, suggestions=2)
    searcher = OptunaSearcher(made, 0)
    asked = searcher.ask(9)
    assert asked[0].params == {"mi_weight": 0.0}
    assert len(asked) == 3
    told(searcher, asked[0], 1.0)
    assert all(trial.value is None for trial in searcher._optuna.trials)


def test_minimising() -> None:
    made = study(metric="distortion_nats", direction="minimize")
    assert OptunaSearcher(made, 0)._optuna.direction.name == "MINIMIZE"


def test_ranges_with_steps_and_logarithms_stay_in_their_bounds(capfd: pytest.CaptureFixture[str]) -> None:
    space = {
        "mi_weight": uniform(0, 1, step=0.3),
        "batch_size": integers(8, 64, log=True),
        "steps": integers(1, 9, 5),
    }
    made = study(space=space, searcher="random", suggestions=20)
    for suggestion in run(OptunaSearcher(made, 0), 4, lambda s: 0.0):
        assert suggestion.params["mi_weight"] in (0.0, 0.3, 0.6, 0.9)
        assert 8 <= int(suggestion.params["batch_size"]) <= 64
        assert suggestion.params["steps"] in (1, 6)
    assert capfd.readouterr() == ("", "")  # Optuna is quiet
