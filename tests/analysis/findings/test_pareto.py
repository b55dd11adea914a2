"""Several objectives, constraints, conditional parameters and fresh seeds: what a report says of them, and what not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.data.axes import design
from analysis.data.goals import goals_of
from analysis.data.study_results import StudyResults, open_study
from analysis.findings.confirmation import best_of, confirmed
from analysis.findings.findings import Findings, findings
from analysis.report import render
from analysis.sections.pareto import picture, section
from tests.analysis.factory import choice, store, trial
from vmi.spec.errors import StoreError
from vmi.spec.requests import is_searched

TWO = {"accuracy_majority": "maximize", "distortion_nats": "minimize"}
FRESH = [100, 101, 102]
SPACE = {"mi_weight": choice(0, 1, 2, 4)}


def rows(accuracy: Mapping[float, float], seeds: Any, lost: float = 0.0) -> list[dict[str, Any]]:
    """By λ the accuracy on these seeds; distortion grows and I_q(x;c) rises with λ."""
    return [
        trial("s", mi_weight=w, seed=seed)
        | {"accuracy_majority": a - lost + seed % 10 / 1000, "distortion_nats": 50 + w + seed % 10 / 100}
        | {"mi_encoder_nats": w / 2}
        for w, a in accuracy.items()
        for seed in seeds
    ]


SEARCHED = {0: 0.3, 1: 0.5, 2: 0.6, 4: 0.8}


def study(root: Path, made: list[dict[str, Any]], **spec: Any) -> StudyResults:
    return open_study(store(root, made, name="s", **{"space": SPACE, "with_arrays": False, **spec}))


def found(results: StudyResults) -> Findings:
    return findings(results, design(results))


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]*>", " ", page, flags=re.DOTALL))


CONFIRM: dict[str, Any] = {"confirm": 2, "confirm_seeds": FRESH}


def test_seeds_of_the_confirmation_are_in_no_interval_of_the_search(tmp_path: Path) -> None:
    """4 was lucky in the search; on fresh seeds 2 is better."""
    again = rows({4: 0.8, 2: 0.6}, FRESH, lost=0.1)
    for row in again:
        row["accuracy_majority"] -= 0.2 * (row["mi_weight"] == 4)
    results = study(tmp_path, [*rows(SEARCHED, range(2)), *again], **CONFIRM)
    plan = design(results)
    assert {len(s.rows) for s in plan.settings} == {2} and len(results.completed) == 14
    assert [s.mean("accuracy_majority") for s in plan.settings] == [
        pytest.approx(a + 0.0005) for a in SEARCHED.values()
    ]
    both = confirmed(results, plan, "accuracy_majority", True)
    best = best_of(both, goals_of(results.spec), "accuracy_majority")
    assert best is both[0] and best is not None
    assert best.searched.get("mi_weight") == 2.0 and len(best.fresh.rows) == 3
    sentences = found(results).sentences
    assert sentences[0] == (
        "Confirmed on fresh seeds (best of 2 trained again): λ = 2, with accuracy 0.501 "
        "(95 % interval 0.499 to 0.503, 3 seeds). The search had read 0.601 ± 0.006 there (selected, optimistic)."
    )
    assert sentences[1].startswith(
        "Leading in the search, by the seeds that it was selected on: λ = 4, with accuracy 0.80"
    )
    page = text_of(render(results))
    assert "Best setting" not in page and "leading in the search" in page
    assert "fresh: accuracy" in page and "search (selected, optimistic)" in page
    assert all(row["trial_id"] in page for row in results.confirmed)


def test_before_the_confirmation_nothing_is_called_best(tmp_path: Path) -> None:
    results = study(tmp_path, rows(SEARCHED, range(2)), **CONFIRM)
    assert found(results).sentences[0] == "Nothing is confirmed on fresh seeds: nothing was trained again yet."
    assert "Nothing was trained again yet" in text_of(render(results))


def test_what_has_not_ended_on_every_fresh_seed_is_not_confirmed(tmp_path: Path) -> None:
    results = study(tmp_path, [*rows(SEARCHED, range(2)), *rows({4: 0.9}, FRESH[:2])], **CONFIRM)
    assert found(results).sentences[0] == "Nothing is confirmed on fresh seeds: nothing has ended on all of them yet."
    assert "Nothing has ended on all of them yet: a search’s own best figure" in text_of(render(results))


def test_a_front_is_of_one_data_set_and_of_finished_settings(tmp_path: Path) -> None:
    """The second data set is better in both; on it λ = 4 lacks a seed."""
    other = [
        row | {"dataset": "mnist", "accuracy_majority": 0.9, "distortion_nats": 1 + row["mi_weight"]}
        for row in [trial("s", dataset="mnist", mi_weight=w, seed=s) for w in (0, 4) for s in range(3 - (w == 4))]
    ]
    space = SPACE | {"dataset": choice("digits", "mnist")}
    results = study(tmp_path, [*rows(SEARCHED, range(3)), *other], space=space, objectives=TWO)
    plan = design(results)
    kept = [(s.get("dataset"), s.get("mi_weight")) for s in goals_of(results.spec).front(plan.whole)]
    assert sorted(kept) == [("digits", 0), ("digits", 1), ("digits", 2), ("digits", 4), ("mnist", 0)]
    assert any(s.startswith("Beaten by no other of its data set in") for s in found(results).sentences)


def test_a_constraint_decides_on_fresh_seeds_too(tmp_path: Path) -> None:
    again = rows({4: 0.8, 2: 0.6}, FRESH)
    for row in again:
        row["mi_encoder_nats"] = 0.1
    bounds = {"constraints": {"mi_encoder_nats": {"low": 0.9, "high": None}}}
    results = study(tmp_path, [*rows(SEARCHED, range(2)), *again], **CONFIRM, **bounds)
    sentences = found(results).sentences
    assert sentences[0] == "Nothing is confirmed on fresh seeds: what was trained again breaks a constraint there."
    assert "2 of 4 settings broke: I_q(x;c) at least 0.9." in sentences
    assert "broken" in text_of(render(results))


def test_what_breaks_a_constraint_is_never_best(tmp_path: Path) -> None:
    results = study(tmp_path, rows(SEARCHED, range(2)), constraints={"mi_encoder_nats": {"low": None, "high": 0.6}})
    best = found(results).best
    assert best is not None and best.get("mi_weight") == 1.0


def test_the_front_is_drawn_with_intervals_on_both_axes(tmp_path: Path) -> None:
    accuracy = {0: 0.3, 1: 0.7, 2: 0.6, 4: 0.8}  # 2 is beaten by 1
    results = study(tmp_path, rows(accuracy, range(3)), objectives=TWO)
    plan, goals = design(results), goals_of(results.spec)
    kept = goals.front(plan.settings)
    assert [s.get("mi_weight") for s in kept] == [0.0, 1.0, 4.0]
    made = picture(plan.settings, kept, (), goals)
    by_name = {trace.name: trace for trace in made.data}
    assert list(by_name) == ["beaten", "front"]
    assert list(by_name["front"].x) == [pytest.approx(a + 0.001) for a in (0.3, 0.7, 0.8)]
    assert all(bar > 0 for trace in made.data for bar in (*trace.error_x.array, *trace.error_y.array))
    sentence = next(s for s in found(results).sentences if s.startswith("Beaten by no other"))
    assert sentence == (
        "Beaten by no other in accuracy (maximize) and distortion (minimize): 3 of 4 settings: λ = 0; λ = 1; λ = 4."
    )
    page = text_of(render(results))
    assert "Objectives: maximize accuracy_majority, minimize distortion_nats." in page
    assert "3 of 4 settings are beaten by no other" in page


@pytest.mark.parametrize("settings", [0, 1, 2])
@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("again", [0, 1])
def test_few_settings_and_one_seed_make_a_page(tmp_path: Path, settings: int, seeds: int, again: int) -> None:
    some = dict(list(SEARCHED.items())[:settings])
    made = [*rows(some, range(seeds)), *rows(dict(list(some.items())[:again]), FRESH[:seeds])]
    bounds = {"mi_encoder_nats": {"low": -1, "high": None}}
    results = study(tmp_path, made, objectives=TWO, constraints=bounds, **CONFIRM)
    page = render(results)
    figures = re.findall(r'<script type="application/json" data-plot="pareto">(.*?)</script>', page)
    assert len(figures) == bool(settings) and all("data" in json.loads(figure) for figure in figures)
    assert "nan" not in text_of(page).lower()


def test_a_section_is_empty_where_nothing_of_it_was_asked_for(tmp_path: Path) -> None:
    results = study(tmp_path, rows(SEARCHED, range(2)))
    plan = design(results)
    assert section(results, plan, found(results)) == ""


def test_a_conditional_parameter_is_shown_where_it_was_searched(tmp_path: Path) -> None:
    both = "n2*+n14+c10*"
    space = {"layout": choice("n16+c10*", both), "mi_weight": choice(1, 4), "mi_weight_normal": choice(0.5, 2)}
    conditions = {"mi_weight_normal": {"layout": [both]}}
    made = [
        trial("s", layout="n16+c10*", mi_weight=w, mi_weight_normal=float(w), seed=s) for w in (1, 4) for s in (0, 1)
    ]
    made += [
        trial("s", layout=both, mi_weight=w, mi_weight_normal=n, seed=s)
        for w in (1, 4)
        for n in (0.5, 2.0)
        for s in (0, 1)
    ]
    results = study(tmp_path, made, space=space, conditions=conditions)
    plan = design(results)
    assert len(plan.settings) == 6 and plan.x.name == "mi_weight"
    assert [s.get("mi_weight_normal") for s in plan.settings] == [None, None, 0.5, 2.0, 0.5, 2.0]
    page = text_of(render(results))
    assert "layout = n16+c10*, λ = 4, mi_weight_normal" not in page
    assert not is_searched("mi_weight_normal", made[0], results.spec) and is_searched("layout", made[0], results.spec)


def test_a_continuous_conditional_parameter_is_an_axis_of_those_that_have_it(tmp_path: Path) -> None:
    both = "n2*+n14+c10*"
    ranged = {"kind": "float", "low": 0.1, "high": 16, "log": True, "step": None}
    space = {"mi_weight_normal": ranged, "layout": choice("n16+c10*", both), "mi_weight": ranged}
    made = [
        trial("s", layout=layout, mi_weight=w, mi_weight_normal=w / 2 if layout == both else w)
        for layout in ("n16+c10*", both)
        for w in (0.5, 1.5, 3.5)
    ]
    results = study(tmp_path, made, space=space, conditions={"mi_weight_normal": {"layout": [both]}})
    plan = design(results)
    assert [axis.name for axis in plan.axes] == ["mi_weight", "mi_weight_normal"]
    assert plan.axes[1].values == (0.25, 0.75, 1.75) and plan.axes[1].log
    render(results)


def test_suggestions_of_which_a_seed_was_stopped_are_no_settings_and_are_counted(tmp_path: Path) -> None:
    made = rows(SEARCHED, range(2))
    made[-1] |= {"outcome": "pruned"}
    results = study(tmp_path, made)
    assert [s.get("mi_weight") for s in design(results).settings] == [0.0, 1.0, 2.0]
    best = found(results).best
    assert best is not None and best.get("mi_weight") == 2.0
    assert any(s.startswith("1 suggestion pruned on some seed") for s in found(results).sentences)
    assert made[-2]["trial_id"] in text_of(render(results)), "its other seed is listed among the trials"


def test_a_stopped_fresh_seed_takes_no_leader_from_the_search_and_confirms_nothing(tmp_path: Path) -> None:
    again = rows({4: 0.9}, FRESH)
    again[0] |= {"outcome": "stopped"}
    results = study(tmp_path, [*rows(SEARCHED, range(2)), *again], **CONFIRM)
    made = found(results)
    assert made.best is not None and made.best.get("mi_weight") == 4.0 and not results.cut_short
    assert confirmed(results, design(results), "accuracy_majority", True) == (), (
        "its other fresh seeds would flatter it"
    )
    assert made.sentences[0].startswith("Nothing is confirmed on fresh seeds: what was trained again was stopped")
    assert not any("stopped on some seed" in s for s in made.sentences)


@pytest.mark.parametrize("odd", [3, [], {"nmi": 3}, {"nmi": {}}, {"nmi": {"low": "x"}}, None, "<script>"])
def test_a_malformed_description_is_refused_by_name(tmp_path: Path, odd: Any) -> None:
    spec = {"objectives": odd, "constraints": odd, "conditions": odd, "confirm": odd, "confirm_seeds": odd}
    with pytest.raises(StoreError, match=r"study\.json: not a study's description: .*constraints|objectives"):
        study(tmp_path, rows(SEARCHED, range(2)), **spec)
