"""Conditional fields: searched where their condition holds, absent elsewhere, counted without being enumerated."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.cli.plan import Request, plan_lines
from vmi.search.factory import searcher_for
from vmi.search.grid import GridSearcher
from vmi.search.searcher import stored_suggestion
from vmi.search.trial_count import planned_trials
from vmi.spec.errors import InputError
from vmi.spec.trial import Completed
from vmi.study.checks import validate
from vmi.study.conditions import count, order, points, restricted
from vmi.study.overrides import override
from vmi.study.space import choice, integers, log_uniform, uniform
from vmi.study.study import Study, trials
from vmi.study.study_json import spec

BOTH, ONE = "n2*+n14+c10*", "n16+c10*"
SPACE: dict[str, Any] = {
    "layout": choice(ONE, BOTH),
    "mi_weight": choice(1, 4),
    "mi_weight_normal": choice(0.5, 1, 2),
}
CONDITIONS = {"mi_weight_normal": {"layout": (BOTH,)}}


def study(**changes: Any) -> Study:
    return Study(**{"name": "s", "space": SPACE, "conditions": CONDITIONS, "seeds": range(2), **changes})


def message(bad: Study) -> str:
    with pytest.raises(InputError) as caught:
        validate(bad)
    return str(caught.value)


def test_a_grid_has_each_active_combination_once() -> None:
    made = study()
    validate(made)
    found = GridSearcher(made).ask(99)
    plain = [s.params for s in found if s.params["layout"] == ONE]
    assert plain == [{"layout": ONE, "mi_weight": 1.0}, {"layout": ONE, "mi_weight": 4.0}]
    assert len(found) == 2 + 2 * 3 == len({s.suggestion_id for s in found})
    assert planned_trials(made) == 16


def test_elsewhere_a_field_takes_its_default() -> None:
    made = study()
    for suggestion in GridSearcher(made).ask(99):
        config = trials(made, suggestion)[0].config
        searched = suggestion.params.get("mi_weight_normal")
        assert config.mi_weight_normal == (config.mi_weight if searched is None else searched)


def test_a_stored_row_is_its_suggestion_with_active_fields_alone() -> None:
    made = study()
    for suggestion in GridSearcher(made).ask(99):
        row = trials(made, suggestion)[1].config.__dict__
        assert stored_suggestion(made, row) == suggestion


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_a_sampler_draws_only_active_fields_and_goes_on_from_the_store(name: str) -> None:
    space = {**SPACE, "mi_weight": log_uniform(0.5, 32), "mi_weight_normal": uniform(0.1, 4)}
    made = study(space=space, searcher=name, suggestions=24)
    validate(made)
    searcher = searcher_for(made, 0)
    whole = []
    while not searcher.done:
        for suggestion in searcher.ask(3):
            searcher.tell(suggestion.suggestion_id, [Completed(1, {made.metric: suggestion.params["mi_weight"]}, {})])  # type: ignore[dict-item]
            whole.append(suggestion)
    assert {("mi_weight_normal" in s.params) == (s.params["layout"] == BOTH) for s in whole} == {True}
    assert len({s.params["layout"] for s in whole}) == 2
    resumed = searcher_for(made, 0)
    rows = [(trials(made, s)[0].config.__dict__, [Completed(1, {made.metric: 1.0}, {})]) for s in whole[:15]]
    resumed.replay(rows, [trials(made, whole[15])[0].config.__dict__])
    assert resumed.ask(1) == [whole[15]]
    rest = resumed.ask(99)
    assert len({s.suggestion_id for s in [*whole[:16], *rest]}) == 24
    if name == "random":
        assert {s.suggestion_id for s in rest} == {s.suggestion_id for s in whole[16:]}


def test_a_small_conditional_space_is_exhausted() -> None:
    made = study(searcher="random", suggestions=100)
    searcher = searcher_for(made, 0)
    assert len(searcher.ask(100)) == 8 and searcher.done
    assert planned_trials(made) == 16


@given(st.data())
def test_points_are_counted_as_they_are_enumerated(data: st.DataObject) -> None:
    names = ("kl_weight", "mi_weight", "tc_weight", "mmd_weight")
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=4, max_size=4))
    space = {name: choice(*range(size)) for name, size in zip(names, sizes, strict=True)}
    shuffled = dict(data.draw(st.permutations(list(space.items()))))
    conditions: dict[str, Any] = {}
    for i, name in enumerate(names[1:], start=1):
        if parents := data.draw(st.lists(st.sampled_from(names[:i]), unique=True, max_size=2)):
            some = st.lists(st.integers(0, 2), min_size=1, max_size=2)
            conditions[name] = {parent: tuple(data.draw(some)) for parent in parents}
    axes = {name: domain.values for name, domain in shuffled.items()}
    found = [tuple(sorted(point.items())) for point in points(axes, conditions)]
    assert len(found) == len(set(found)) == count(shuffled, conditions)
    assert list(order(shuffled, conditions)) != [] and set(order(shuffled, conditions)) == set(names)


def test_without_conditions_points_are_the_product() -> None:
    axes = {"a": (1, 2), "b": (3, 4, 5)}
    assert [tuple(p.values()) for p in points(axes, {})] == list(itertools.product((1, 2), (3, 4, 5)))
    assert count({"mi_weight": uniform(0, 1)}, {}) is None
    huge = {"batch_size": integers(2, 10**6), "steps": integers(1, 10**6), "layout": choice(ONE, BOTH)}
    assert count(huge, {"steps": {"layout": (ONE,)}}) == (10**6 - 1) * (10**6 + 1)


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (3, "conditions = 3: a mapping"),
        ({"mi_weight_norml": {"layout": (BOTH,)}}, "did you mean 'mi_weight_normal'?"),
        (
            {"kl_weight": {"layout": (BOTH,)}},
            "kl_weight = {'layout': ('n2*+n14+c10*',)}: a searched field, one",
        ),
        ({"mi_weight_normal": (BOTH,)}, "a mapping of searched fields to those of their values that it needs"),
        ({"mi_weight_normal": {}}, "conditions.mi_weight_normal = {}: a mapping"),
        ({"mi_weight_normal": {"layuot": (BOTH,)}}, "did you mean 'layout'?"),
        (
            {"mi_weight_normal": {"dataset": ("digits",)}},
            "mi_weight_normal.dataset = ('digits',): a searched",
        ),
        ({"mi_weight_normal": {"layout": BOTH}}, "conditions.mi_weight_normal.layout = 'n2*+n14+c10*': a tuple of at"),
        ({"mi_weight_normal": {"layout": ()}}, "a tuple of at least one value"),
        ({"mi_weight_normal": {"layout": ("n2*+n14+c1",)}}, "layout[0] = 'n2*+n14+c1': a value of space.layout"),
        ({"mi_weight_normal": {"layout": ("n2*+n14+c1",)}}, "did you mean 'n2*+n14+c10*'?"),
        ({"mi_weight_normal": {"mi_weight": (1, 3)}}, "mi_weight[1] = 3: a value of space.mi_weight: 1, 4"),
        ({"mi_weight_normal": {"batch_size": (16.0,)}}, "batch_size[0] = 16.0: a value of space.batch_size: 8, 16"),
        ({"mi_weight_normal": {"mi_weight": (True,)}}, "mi_weight[0] = True: a value of"),
        ({"mi_weight_normal": {"mi_weight_normal": (1,)}}, "mi_weight_normal depends on mi_weight_normal"),
        (
            {"mi_weight": {"mi_weight_normal": (1,)}, "mi_weight_normal": {"mi_weight": (1,)}},
            "conditions.mi_weight = {'mi_weight_normal': (1,)}: conditions without a circle; mi_weight depends on "
            "mi_weight_normal depends on mi_weight",
        ),
    ],
)
def test_a_bad_condition_is_refused(conditions: Any, said: str) -> None:
    assert said in message(study(space={**SPACE, "batch_size": choice(8, 16)}, conditions=conditions))


def test_a_range_is_no_parent() -> None:
    bad = study(space={**SPACE, "mi_weight": log_uniform(1, 4)}, conditions={"mi_weight_normal": {"mi_weight": (1,)}})
    assert "a field searched with choice(...); space.mi_weight is a range" in message(bad)


def test_every_problem_of_conditions_is_shown_at_once() -> None:
    found = message(study(conditions={"a": {"layout": (BOTH,)}, "mi_weight_normal": {"b": (1,), "mi_weight": (9,)}}))
    for part in ("conditions.a", "conditions.mi_weight_normal.b", "conditions.mi_weight_normal.mi_weight[0]"):
        assert f"  {part} = " in found


def test_a_rule_between_fields_is_checked_where_both_are_active_and_nowhere_else() -> None:
    """An MI weight needs an informed block: it may be searched where there is one, beside layouts that have none."""
    space = {"layout": choice("n16+c10", ONE), "preset": choice("vae", "corrected"), "mi_weight": choice(1, 4)}
    only = {"preset": {"layout": (ONE,)}, "mi_weight": {"preset": ("corrected",)}}
    assert "mi_weight = 4.0: 0 for layout 'n16+c10'" in message(study(space=space, conditions=only))
    free = {"layout": choice(ONE, "c10*"), "tc_weight": choice(1, 2)}
    validate(study(space=free, conditions={"tc_weight": {"layout": (ONE,)}}))
    assert "tc_weight = 1.0: 0 for layout 'c10*'" in message(study(space=free, conditions={}))


def test_fixing_a_parent_settles_its_conditions() -> None:
    plain = override(study(), steps=5)
    assert plain.conditions == {"mi_weight_normal": {"layout": (BOTH,)}}
    cut, left = restricted(SPACE, {k: v for k, v in SPACE.items() if k != "layout"}, CONDITIONS, {"layout": ONE})
    assert (list(cut), left) == (["mi_weight"], {})
    cut, left = restricted(SPACE, {k: v for k, v in SPACE.items() if k != "layout"}, CONDITIONS, {"layout": BOTH})
    assert (list(cut), left) == (["mi_weight", "mi_weight_normal"], {})


def test_fewer_choices_leave_fewer_conditions() -> None:
    space = {**SPACE, "layout": choice(ONE, BOTH, "n8+c10*"), "tc_weight": choice(0, 1)}
    conditions = {"mi_weight_normal": {"layout": (BOTH,)}, "tc_weight": {"mi_weight_normal": (0.5,)}}
    small = override(study(space=space, conditions=conditions), smoke=True)
    validate(small)
    assert list(small.space) == ["layout", "mi_weight"] and small.conditions == {}  # first and last layout have neither


def test_conditions_are_part_of_what_was_asked_for(tmp_path: Any) -> None:
    assert spec(study(), 16)["conditions"] == {"mi_weight_normal": {"layout": [BOTH]}}
    lines = list(plan_lines(study(), Request(results=tmp_path)))
    assert lines[:2] == [
        "s: 16 trials (grid, 2 seeds each) on digits",
        f"condition: mi_weight_normal is searched where layout is {BOTH}",
    ]
