"""What a study may want: every bad objective, constraint, pruner and confirmation is named, all at once."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.images import small_images

from vmi.cli.plan import Request, plan_lines
from vmi.search.trial_count import planned_trials, values_of
from vmi.spec.errors import InputError
from vmi.spec.goals import Bound
from vmi.study.checks import validate
from vmi.study.overrides import override
from vmi.study.space import at_least, at_most, choice, log_uniform, uniform
from vmi.study.study import Study
from vmi.study.study_json import differences, spec

TWO = {"accuracy_majority": "maximize", "distortion_nats": "minimize"}


def study(**changes: Any) -> Study:
    fields = {"name": "s", "space": {"mi_weight": log_uniform(0.5, 32)}, "seeds": range(2)}
    return Study(**{**fields, "searcher": "tpe", "suggestions": 8, **changes})


def message(bad: Study) -> str:
    with pytest.raises(InputError) as caught:
        validate(bad)
    return str(caught.value)


GOOD: dict[str, Any] = {
    "objectives": TWO,
    "constraints": {"mi_encoder_nats": at_least(1.5), "rate_nats": at_most(30)},
    "confirm": 2,
    "confirm_seeds": range(100, 103),
}


def test_a_good_study_is_taken() -> None:
    validate(study(**GOOD))
    validate(study(pruner="median", constraints={"mi_encoder_nats": at_least(1)}))
    validate(study(searcher="grid", suggestions=None, space={"mi_weight": choice(0, 4)}, **GOOD))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives": 3}, "objectives = 3: a mapping of metrics to 'maximize' or 'minimize'"),
        ({"objectives": {"acuracy_majority": "maximize", **TWO}}, "did you mean 'accuracy_majority'?"),
        ({"objectives": {3: "maximize", **TWO}}, "objectives.3 = 3: a metric, one of"),
        ({"objectives": {**TWO, "nmi": "maximise"}}, "objectives.nmi = 'maximise': one of maximize, minimize (did you"),
        ({"objectives": {**TWO, "nmi": None}}, "objectives.nmi = None: one of maximize, minimize"),
        ({"objectives": {"accuracy_majority": "maximize"}}, "none, or 2 to 4 of them (one objective is metric= and"),
        ({"objectives": dict.fromkeys(("nmi", "ari", "rate_nats", "elbo_nats", "accuracy_train"), "minimize")}, "2 to"),
        ({"objectives": TWO, "metric": "nmi"}, "metric = 'nmi': one of the objectives (accuracy_majority, distort"),
        ({"objectives": TWO, "direction": "minimize"}, "direction = 'minimize': as in objectives: 'maximize' for"),
        ({"objectives": {**TWO, "mi_encoder_lower_nats": "maximize"}, "fixed": {"layout": "c10*"}},
         "objectives.mi_encoder_lower_nats = 'mi_encoder_lower_nats': one that layout 'c10*' can give"),
        ({"constraints": [1]}, "constraints = [1]: a mapping of metrics to at_least(x) or at_most(x)"),
        ({"constraints": {"mi_encodr_nats": at_least(1)}}, "did you mean 'mi_encoder_nats'?"),
        ({"constraints": {"mi_encoder_nats": 1.5}}, "constraints.mi_encoder_nats = 1.5: at_least(x) or at_most(x)"),
        ({"constraints": {"mi_encoder_nats": Bound()}}, "at_least(x) or at_most(x) of finite numbers"),
        *[({"constraints": {"rate_nats": at_most(x)}}, "at_least(x) or at_most(x) of finite numbers")
          for x in (math.nan, math.inf, -math.inf, "3", None, True, 10**400)],
        ({"constraints": {"rate_nats": Bound(3, 1)}}, "constraints.rate_nats = Bound(low=3, high=1): low must be"),
        ({"constraints": {"mi_encoder_lower_nats": at_least(1)}, "fixed": {"layout": "c10*"}},
         "constraints.mi_encoder_lower_nats = 'mi_encoder_lower_nats': one that layout 'c10*' can give"),
        ({"pruner": "meddian"}, "one of hyperband, median, successive_halving (did you mean 'median'?)"),
        ({"pruner": 3}, "pruner = 3: one of"),
        ({"pruner": "median", "objectives": TWO}, "pruner = 'median': absent beside objectives"),
        ({"pruner": "median", "searcher": "grid", "suggestions": None}, "absent: a grid trains every combination to"),
        *[({"confirm": x, "confirm_seeds": (9,)}, "how many suggestions to train again: a whole number from 0 to 1000")
          for x in (-1, 1.5, "one", None, True, 10**9)],
        ({"confirm": 9, "confirm_seeds": (9,)}, "confirm = 9: at most the 8 suggestions of the search"),
        ({"confirm_seeds": (9,)}, "confirm = 0: at least 1 where confirm_seeds are given"),
        ({"confirm": 1}, "confirm_seeds = (): 1 to 10000 of them"),
        ({"confirm": 1, "confirm_seeds": 5}, "confirm_seeds = 5: 1 to 10000 whole numbers"),
        ({"confirm": 1, "confirm_seeds": (7, -1)}, "confirm_seeds[1] = -1: a whole number from 0 to"),
        ({"confirm": 1, "confirm_seeds": (7, 7)}, "confirm_seeds[1] = 7: different seeds; index 0 is the same"),
        ({"confirm": 1, "confirm_seeds": (7, 1)}, "confirm_seeds = (7, 1): seeds that the search does not use: a"),
        *[({"restarts": x}, f"restarts = {x!r}: how many seeds form one replicate: a whole number from 1")
          for x in (0, -1, 2.0, "2", None, True, 10_001)],
        ({"restarts": 10**5000}, "a whole number from 1 to 10000"),
        ({"confirm": 10**5000, "confirm_seeds": (9,)}, "a whole number from 0 to 1000"),
        ({"restarts": 3},
         "restarts = 3: at most the 2 seeds, of which so many form one replicate (nearest: 2, or 3 seeds)"),
        ({"restarts": 8, "seeds": range(20)},
         "restarts = 8: a count that divides the 20 seeds into groups (nearest: 5 or 10, or 16 or 24 seeds)"),
        ({"restarts": 2, "confirm": 1, "confirm_seeds": (7, 8, 9)},
         "confirm_seeds = (7, 8, 9): whole groups of 2 restarts; these are 3 seeds (nearest: 2 or 4 seeds)"),
        ({"restarts": 2, "confirm": 1, "confirm_seeds": (7,)}, "these are 1 seeds (nearest: 2 seeds)"),
        ({"choose_by": "mi_veiw_nats"}, "(did you mean 'mi_view_nats'?)"),
        ({"choose_by": 3}, "choose_by = 3: one of categories_used, "),
        *[({"choose_by": name}, f"choose_by = {name!r}: a metric that looks at no label, one of categories_used, ")
          for name in ("accuracy_majority", "accuracy_hungarian", "accuracy_train", "accuracy_kmeans", "nmi", "ari")],
        ({"choose_by": "rate_nats"}, "choose_by = 'rate_nats': a metric of which one way is better, one of"),
        ({"restarts": 2, "fixed": {"layout": "n16*"}, "metric": "elbo_nats", "baseline": {}},
         "choose_by = 'mi_view_nats': one that layout 'n16*' can give (one of distortion_nats, elbo_nats, mi_decoder"),
        ({"confirm": 8, "confirm_seeds": range(10, 10_010), "suggestions": 90_000},
         "trials = 260000: at most 100000; this is 90000 points x 2 seeds and 80000 to confirm"),
    ],
)  # fmt: skip
def test_a_bad_goal_is_refused(changes: dict[str, Any], said: str) -> None:
    assert said in message(study(**changes))


def test_every_problem_is_shown_at_once() -> None:
    found = message(
        study(
            objectives={"nope": "up", "nmi": "maximize"},
            constraints={"also_nope": at_least(math.nan)},
            conditions={"mi_weight": {"layout": ("c10*",)}},
            pruner="non",
            restarts=0,
            choose_by="nmi",
            confirm=1,
            confirm_seeds=(0,),
        )
    )
    for part in ("objectives.nope", "constraints.also_nope", "conditions.mi_weight.layout", "pruner", "confirm_seeds",
                 "restarts", "choose_by"):  # fmt: skip
        assert f"  {part} = " in found


def test_goals_are_part_of_what_was_asked_for_and_absent_where_there_are_none() -> None:
    made = spec(study(**GOOD), planned=22)
    assert json.loads(json.dumps(made)) == made
    assert made["objectives"] == TWO
    assert made["constraints"] == {
        "mi_encoder_nats": {"low": 1.5, "high": None},
        "rate_nats": {"low": None, "high": 30},
    }
    assert (made["confirm"], made["confirm_seeds"]) == (2, [100, 101, 102])
    plain = spec(study(), planned=16)
    assert not {"objectives", "constraints", "conditions", "pruner", "confirm", "confirm_seeds"} & set(plain)
    assert not {"restarts", "choose_by"} & set(plain), "a study from before they were there is the same study"
    chosen = spec(study(restarts=2), planned=16)
    assert (chosen["restarts"], chosen["choose_by"]) == (2, "mi_view_nats")
    assert [p.field for p in differences(plain, chosen)] == ["restarts", "choose_by"]
    fields = {problem.field for problem in differences(plain, made)}
    assert fields >= {"objectives.distortion_nats", "constraints.rate_nats", "confirm", "confirm_seeds"}


def test_the_plan_tells_of_every_goal_and_counts_the_confirmation(tmp_path: Path) -> None:
    assert planned_trials(study(**GOOD)) == 8 * 2 + 2 * 3

    assert list(plan_lines(study(**GOOD), Request(results=tmp_path)))[:5] == [
        "s: 22 trials (tpe, 2 seeds each) on digits",
        "objectives: maximize accuracy_majority, minimize distortion_nats; the front is ranked by accuracy_majority",
        "constraint: mi_encoder_nats at least 1.5; a suggestion that breaks it is never best",
        "constraint: rate_nats at most 30; a suggestion that breaks it is never best",
        "confirmation: the best 2 suggestions on 3 fresh seeds; only that figure is called best",
    ]
    assert any(
        line.startswith("pruner: median, by accuracy_majority")
        for line in plan_lines(study(pruner="median"), Request(results=tmp_path))
    )


def test_what_a_baseline_does_not_give_is_its_default_and_not_what_is_searched_first() -> None:
    space = {"layout": choice("n8+c10*", "n4+c10*")}
    assert values_of(study(space=space, baseline={"mi_weight": 0}), "layout") == ("n8+c10*", "n4+c10*", "n16+c10*")
    assert values_of(study(space=space, baseline={"layout": "n4+c10*"}), "layout") == ("n8+c10*", "n4+c10*")
    assert values_of(study(space=space), "layout") == ("n8+c10*", "n4+c10*")


def test_a_smoke_run_confirms_one_on_two_seeds() -> None:
    small = override(study(**GOOD), smoke=True)
    validate(small)
    assert (small.suggestions, small.confirm, small.confirm_seeds) == (4, 1, (100, 101))
    assert override(study(), smoke=True).confirm == 0


def test_restarts_are_taken_where_they_make_whole_groups() -> None:
    validate(study(seeds=range(24), restarts=8, confirm=1, confirm_seeds=range(100, 116)))
    validate(study(seeds=range(4), restarts=4, choose_by="distortion_nats", pruner="median"))
    validate(study(fixed={"layout": "n16*"}, metric="elbo_nats"))  # without restarts nothing is chosen


def test_restarts_of_the_command_line_win_and_a_smoke_run_has_one_group() -> None:
    made = study(seeds=range(24), restarts=8, confirm=1, confirm_seeds=range(100, 116))
    assert override(made, restarts=4).restarts == 4
    for small in (override(made, smoke=True), override(made, smoke=True, seeds=range(4))):
        assert small.restarts == 2
        validate(small)
    validate(override(made, smoke=True, restarts=1))


def test_the_plan_says_how_replicates_are_chosen(tmp_path: Path) -> None:
    lines = list(plan_lines(study(seeds=range(4), restarts=2, pruner="median"), Request(results=tmp_path)))
    assert "replicates: 2 of 2 seeds, the trial best by mi_view_nats (no labels) counts for each" in lines
    assert any(line.startswith("pruner: median, by mi_view_nats") for line in lines)


def test_a_metric_that_nobody_gave_follows_data_and_layout() -> None:
    small_images("blind")
    blind = {"dataset": "blind"}
    assert study().metric == "accuracy_majority"
    assert study(fixed=blind).metric == "mi_encoder_nats"
    assert study(fixed=blind | {"layout": "n2*+n4"}).metric == "mi_encoder_lower_nats"
    assert study(fixed=blind, space={"layout": choice("n2*", "c10*")}, searcher="grid").metric == "elbo_nats"
    assert (
        study(space={"dataset": choice("blind"), "layout": choice("n2*", "n2*+c3")}).metric == "mi_encoder_lower_nats"
    )
    assert override(study(), dataset="blind").metric == "mi_encoder_nats"
    assert override(study(fixed=blind), dataset="digits").metric == "accuracy_majority"
    assert override(study(fixed=blind, metric="elbo_nats"), dataset="digits").metric == "elbo_nats"
    for made in (study(fixed=blind), study(fixed=blind, restarts=2), override(study(), dataset="blind", smoke=True)):
        validate(made)
        assert json.loads(json.dumps(spec(made, 1)))["metric"] == "mi_encoder_nats"


def test_a_data_set_may_be_made_known_after_the_study_was_written() -> None:
    early = study(fixed={"dataset": "late"})
    small_images("late")
    assert override(early).metric == "mi_encoder_nats"


@pytest.mark.parametrize("wrong", [3, None, {"dataset": ["blind"]}, {"layout": 4}, {"layout": "x"}, {"dataset": 1.5}])
def test_a_default_is_found_for_what_is_wrong_too(wrong: Any) -> None:
    assert study(fixed=wrong, baseline=wrong, space=wrong).metric == "accuracy_majority"


def test_metrics_that_look_at_labels_are_refused_where_there_are_none() -> None:
    small_images("blind")
    wanted = {"nmi": "maximize", "elbo_nats": "maximize"}
    bad = study(fixed={"dataset": "blind"}, metric="nmi", objectives=wanted, constraints={"ari": at_least(0.5)},
                choose_by="accuracy_kmeans")  # fmt: skip
    said = message(bad)
    there = "one that looks at no label, as blind has none (one of categories_used, category_entropy_nats, distort"
    for field in ("metric = 'nmi'", "objectives.nmi = 'nmi'", "constraints.ari = 'ari'"):
        assert f"{field}: {there}" in said
    assert "choose_by = 'accuracy_kmeans': a metric that looks at no label" in said
    assert "4 problems" in said
    # What the layout lacks as well is said once, and nothing is offered that needs labels.
    said = message(study(fixed={"dataset": "blind", "layout": "n2*"}, metric="mi_encoder_nats"))
    assert "1 problem\n" in said and "one that layout 'n2*' can give" in said and "accuracy" not in said


def test_a_plan_warns_of_what_lies_at_the_ends_of_ranges_and_in_the_baseline(tmp_path: Path) -> None:
    free = {"fixed": {"layout": "n2*+n30", "entropy_weight": 0}, "metric": "elbo_nats"}
    inside = study(space={"mi_weight": uniform(2, 8)}, searcher="random", **free)
    beside = study(space={"mi_weight": uniform(0, 1)}, searcher="random", baseline={"mi_weight": 8}, **free)
    without = study(space={"mi_weight": uniform(0, 1)}, searcher="random", **free)
    for made, warned in ((inside, True), (beside, True), (without, False)):
        said = [line for line in plan_lines(made, Request(results=tmp_path)) if line.startswith("warning: mi_weight")]
        assert any("unbounded above" in line for line in said) is warned
