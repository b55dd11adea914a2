"""Growth: what two requests make together has every trial of both, and what contradicts is named field by field."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.search.grid import GridSearcher
from vmi.spec.goals import at_least
from vmi.spec.requests import covered
from vmi.study.checks import validate
from vmi.study.growth import Grown, grown, growth
from vmi.study.space import Domain, choice, integers, log_uniform, uniform
from vmi.study.study import Study, trials
from vmi.study.study_json import spec, study_of

BASE = Study(name="s", fixed={"steps": 20}, space={"mi_weight": choice(0, 4)}, seeds=range(2))


def described(study: Study) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(spec(study, 0)))
    return made


def after(old: Study, new: Study) -> Grown:
    return grown(described(old), new)


def ids(study: Study) -> set[str]:
    """Every trial of a grid."""
    return {t.trial_id for s in GridSearcher(study).ask(10**6) for t in trials(study, s)}


def row(study: Study, trial: Any) -> dict[str, Any]:
    return {**vars(trial.config), "trial_id": trial.trial_id, "suggestion_id": trial.suggestion_id}


def domain(**axes: Domain) -> Study:
    return replace(BASE, space=axes, searcher="random", suggestions=4)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (BASE, replace(BASE, seeds=range(5)), ["seeds 2 → 5"]),
        (BASE, replace(BASE, seeds=(7, 8)), ["seeds 2 → 4"]),
        (BASE, replace(BASE, space={"mi_weight": choice(0, 4, 16, 32)}), ["mi_weight 2 → 4 values"]),
        (BASE, replace(BASE, space={"mi_weight": choice(16)}), ["mi_weight 2 → 3 values"]),
        (BASE, replace(BASE, space={"mi_weight": choice(0, 4), "temperature": choice(0.5, 1)}),
         ["temperature: 2 values"]),
        (BASE, replace(BASE, fixed={"steps": 20, "mi_weight": 4}, space={"entropy_weight": choice(0, 1)}),
         ["entropy_weight: 2 values"]),
        (BASE, replace(BASE, space={"mi_weight": choice(0, 4), "kl_weight": choice(2, 3)}), ["kl_weight: 3 values"]),
        (BASE, replace(BASE, baseline={"mi_weight": 1}), ["a baseline"]),
        (domain(mi_weight=uniform(0, 4)), domain(mi_weight=uniform(1, 9)), ["mi_weight 0 to 4 → 0 to 9"]),
        (domain(mi_weight=log_uniform(1, 4)), domain(mi_weight=log_uniform(0.1, 2)), ["mi_weight 1 to 4 → 0.1 to 4"]),
        (domain(batch_size=integers(16, 64, step=16)), domain(batch_size=integers(32, 130, step=16)),
         ["batch_size 16 to 64 → 16 to 128"]),
        (domain(mi_weight=choice(1, 2)), domain(mi_weight=uniform(0, 4)), ["mi_weight 2 values → 0 to 4"]),
        (domain(mi_weight=uniform(0, 4)), replace(domain(mi_weight=uniform(0, 4)), suggestions=9),
         ["suggestions 4 → 9"]),
        (BASE, replace(BASE, confirm=1, confirm_seeds=(100,)), ["confirm 0 → 1", "confirm_seeds 0 → 1"]),
        (BASE, replace(BASE, objectives={"accuracy_majority": "maximize", "nmi": "maximize"}), ["objectives 1 → 2"]),
    ],
)  # fmt: skip
def test_what_is_asked_for_more_is_gained_and_said(old: Study, new: Study, said: list[str]) -> None:
    made, problems = after(old, new)
    assert not problems and growth(described(old), described(made)) == said
    validate(made)
    again, none = after(made, old)  # what was asked for before adds nothing
    assert not none and growth(described(made), described(again)) == []


@pytest.mark.parametrize(
    ("new", "fields"),
    [
        (replace(BASE, fixed={"steps": 30}), ["fixed.steps"]),
        (replace(BASE, fixed={}), ["fixed.steps"]),
        (replace(BASE, fixed={"steps": 20, "kl_weight": 2}), ["fixed.kl_weight"]),
        (replace(BASE, direction="minimize", metric="nmi"), ["metric", "direction"]),
        (replace(BASE, restarts=2), ["restarts", "choose_by"]),
        (replace(BASE, searcher="random", suggestions=4), ["searcher"]),
        (replace(BASE, constraints={"nmi": at_least(0.1)}), ["constraints.nmi"]),
        (replace(BASE, space={"mi_weight": uniform(1, 3, step=1)}), ["space.mi_weight"]),
        (replace(BASE, space={"mi_weight": choice(0, 4), "kl_weight": uniform(2, 3, step=1)}), ["space.kl_weight"]),
    ],
)
def test_what_would_change_the_trials_that_are_there_is_refused_field_by_field(new: Study, fields: list[str]) -> None:
    assert [problem.field for problem in after(BASE, new).problems] == fields


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (uniform(0, 4), log_uniform(1, 4)),
        (uniform(0, 4, step=1), uniform(0, 4, step=0.5)),
        (uniform(0, 4, step=1), uniform(0.5, 4.5, step=1)),
        (uniform(0, 4), choice(5, 6)),
    ],
)
def test_ranges_that_no_one_range_holds_contradict(old: Domain, new: Domain) -> None:
    found = after(domain(mi_weight=old), domain(mi_weight=new)).problems
    assert [problem.field for problem in found] == ["space.mi_weight"]


def test_a_metric_that_nobody_named_stays_and_one_that_contradicts_is_said_beside_all_else() -> None:
    old = replace(BASE, metric="nmi")
    assert after(old, BASE).problems == () and after(old, BASE).study.metric == "nmi"
    bad = replace(BASE, metric="ari", fixed={"steps": 1}, searcher="tpe", suggestions=2)
    assert [p.field for p in after(old, bad).problems] == ["metric", "searcher", "fixed.steps"]


def test_values_in_another_order_are_no_growth() -> None:
    again = replace(BASE, space={"mi_weight": choice(4, 0)})
    made, problems = after(BASE, again)
    assert not problems and made.space == BASE.space and growth(described(BASE), described(made)) == []


def test_an_axis_can_join_where_a_text_is_searched_beside_some_values_alone() -> None:
    space: dict[str, Domain] = {"preset": choice("vae", "invariant"), "layout": choice("n16", "c10*")}
    old = replace(BASE, metric="elbo_nats", space=space, conditions={"layout": {"preset": ("vae",)}})
    validate(old)
    made, problems = after(old, replace(old, space={**old.space, "kl_weight": choice(1, 2)}))
    assert not problems and made.space["kl_weight"] == choice(1, 2)


def test_two_baselines_contradict() -> None:
    found = after(replace(BASE, baseline={"mi_weight": 1}), replace(BASE, baseline={"mi_weight": 2})).problems
    assert [problem.field for problem in found] == ["baseline.mi_weight"]


def test_conditions_grow_with_what_they_depend_on() -> None:
    n, nc, c = "n2*+n14", "n2*+n14+c10*", "n16+c10*"
    old = replace(BASE, metric="elbo_nats", space={"layout": choice(n, c), "mi_weight_normal": choice(1, 2)},
                  conditions={"mi_weight_normal": {"layout": (n,)}})  # fmt: skip
    new = replace(old, space={"layout": choice(nc), "mi_weight_normal": choice(2, 3)},
                  conditions={"mi_weight_normal": {"layout": (nc,)}})  # fmt: skip
    made, problems = after(old, new)
    assert not problems and made.conditions == {"mi_weight_normal": {"layout": (n, nc)}}
    validate(made)
    assert ids(old) | ids(new) <= ids(made)
    assert "conditions of mi_weight_normal" in growth(described(old), described(made))
    parentless = replace(new, conditions={})
    assert [p.field for p in after(old, parentless).problems] == ["conditions.mi_weight_normal"]


def test_a_study_is_what_its_description_says() -> None:
    study = replace(
        BASE, space={"mi_weight": uniform(0, 4, step=0.5), "batch_size": integers(16, 64, log=True)}, searcher="tpe",
        suggestions=3, pruner="median", confirm=1, confirm_seeds=(9,), constraints={"nmi": at_least(0.1)},
        objectives={"accuracy_majority": "maximize", "nmi": "maximize"}, baseline={"mi_weight": 1},
    )  # fmt: skip
    assert described(study_of(described(study))) == described(study)
    restarted = replace(BASE, restarts=2, choose_by="mi_encoder_nats")
    assert described(study_of(described(restarted))) == described(restarted)


weights = st.lists(st.sampled_from([0.0, 1.0, 4.0, 8.0, 16.0]), min_size=1, max_size=4, unique=True)
someseeds = st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True)


@given(st.lists(st.tuples(weights, st.lists(st.sampled_from([0.3, 0.5, 1.0]), max_size=2, unique=True), someseeds),
                min_size=2, max_size=4))  # fmt: skip
def test_a_grid_that_has_grown_has_every_trial_of_each_request_and_each_is_found_in_it(requests: list[Any]) -> None:
    studies = []
    for mi_weights, temperatures, seeds in requests:
        space: dict[str, Domain] = {"mi_weight": choice(*mi_weights)}
        if temperatures and 0.5 in temperatures:  # the default is among them: an axis may come, and go
            space["temperature"] = choice(*temperatures)
        studies.append(replace(BASE, space=space, seeds=seeds))
    whole = described(studies[0])
    for study in studies[1:]:
        made, problems = grown(whole, study)
        assert not problems
        whole = described(made)
    final = study_of(whole)
    everything = {t.trial_id: row(final, t) for s in GridSearcher(final).ask(10**6) for t in trials(final, s)}
    kept = [{"spec": described(study)} for study in studies]
    for study in studies:
        assert ids(study) <= everything.keys()
        found = covered({**described(study), "requests": kept}, list(everything.values()))
        assert {r["trial_id"] for r in found} == ids(study)
