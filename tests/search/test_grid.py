"""Ask and tell: the grid hands out each point once, in order; what the metric of a suggestion is."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmi.search.factory import searcher_for
from vmi.search.grid import GridSearcher
from vmi.search.score import objective
from vmi.search.searcher import baseline_of, stored_suggestion
from vmi.spec.trial import Completed, Failed, Pruned
from vmi.study.space import choice, integers, uniform
from vmi.study.study import Study, trials


def study(**changes: Any) -> Study:
    return Study(**{"name": "s", "space": {"mi_weight": choice(0, 4)}, "seeds": range(2), **changes})


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=5, unique=True),
    st.integers(1, 4),
    st.lists(st.integers(1, 7), min_size=1, max_size=6),
)
def test_the_grid_hands_out_each_point_once(weights: list[int], steps: int, counts: list[int]) -> None:
    made = study(space={"mi_weight": choice(*weights), "steps": integers(1, steps)})
    searcher, found = GridSearcher(made), []
    for count in itertools.cycle(counts):
        asked = searcher.ask(count)
        assert len(asked) <= count
        found += asked
        if searcher.done:
            break
    points = list(itertools.product(map(float, weights), range(1, steps + 1)))
    assert [tuple(s.params.values()) for s in found] == points
    assert len({s.suggestion_id for s in found}) == len(points)
    assert searcher.ask(5) == []


def test_the_baseline_comes_first_and_only_once() -> None:
    made = study(baseline={"mi_weight": 0}, fixed={"kl_weight": 2})
    found = GridSearcher(made).ask(9)
    assert [s.params for s in found] == [{"mi_weight": 0.0}, {"mi_weight": 4.0}]
    outside = GridSearcher(study(baseline={"kl_weight": 3})).ask(9)
    assert [s.params for s in outside] == [{"kl_weight": 3.0}, {"mi_weight": 0.0}, {"mi_weight": 4.0}]
    assert baseline_of(study()) is None


def test_a_baseline_may_override_what_is_fixed() -> None:
    made = study(fixed={"kl_weight": 2}, baseline={"kl_weight": 1})
    baseline = baseline_of(made)
    assert baseline is not None
    assert trials(made, baseline)[0].config.kl_weight == 1.0


def test_two_names_of_one_configuration_are_one_suggestion() -> None:
    made = study(fixed={"mi_weight": 2, "temperature": 1.0}, space={"preset": choice("custom", "corrected", "paper")})
    assert [s.params["preset"] for s in GridSearcher(made).ask(9)] == ["custom", "paper"]


def test_params_have_the_type_of_their_field() -> None:
    made = study(space={"mi_weight": integers(0, 2), "temperature": uniform(0.1, 0.3, step=0.1)})
    found = GridSearcher(made).ask(99)
    assert {type(s.params["mi_weight"]) for s in found} == {float}
    assert sorted({s.params["temperature"] for s in found}) == [0.1, 0.2, 0.3]


def test_a_suggestion_is_that_of_its_trials() -> None:
    made = study()
    for suggestion in GridSearcher(made).ask(9):
        assert {trial.suggestion_id for trial in trials(made, suggestion)} == {suggestion.suggestion_id}


def test_replay_leaves_out_what_is_finished() -> None:
    made = study(baseline={"kl_weight": 3})
    everything = GridSearcher(made).ask(9)
    rows = [{**trials(made, s)[0].config.__dict__, "study": "s"} for s in everything]
    searcher = GridSearcher(made)
    searcher.replay([(rows[0], [Completed(9, {}, {})]), (rows[2], [Failed("broke", 1)])], [rows[1]])
    assert searcher.ask(9) == [everything[1]]
    assert searcher.done


def test_a_stored_row_is_its_suggestion() -> None:
    made = study(fixed={"kl_weight": 2})
    suggestion = GridSearcher(made).ask(1)[0]
    row = {**trials(made, suggestion)[1].config.__dict__, "outcome": "completed"}
    assert stored_suggestion(made, row) == suggestion
    assert stored_suggestion(made, suggestion.params) == suggestion


@pytest.mark.parametrize(
    ("outcomes", "value"),
    [
        ([Completed(9, {"nmi": 0.5}, {}), Completed(9, {"nmi": 0.25}, {})], 0.375),
        ([Completed(9, {"nmi": 0.5}, {}), Failed("NaN", 3), Pruned(2, {"nmi": 0.1})], 0.5),
        ([Completed(9, {"nmi": math.nan}, {}), Completed(9, {"nmi": 0.5}, {})], 0.5),
        ([Completed(9, {"nmi": math.inf}, {})], None),
        ([Completed(9, {}, {})], None),
        ([Failed("NaN", 3)], None),
        ([], None),
    ],
)
def test_the_objective_is_the_mean_over_completed_seeds(outcomes: list[Any], value: float | None) -> None:
    assert objective(outcomes, "nmi") == value


def test_only_a_sampler_loads_optuna() -> None:
    program = (
        "import sys\nfrom vmi.search.factory import searcher_for\nfrom vmi.study.study import Study\n"
        "from vmi.study.space import choice\ns = Study(name='s', space={'mi_weight': choice(0)})\n"
        "searcher_for(s, 0).ask(1)\nassert 'optuna' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_factory_selects_by_name() -> None:
    assert isinstance(searcher_for(study(), 0), GridSearcher)
    for name in ("tpe", "random"):
        assert len(searcher_for(study(searcher=name, suggestions=1), 0).ask(3)) == 1
