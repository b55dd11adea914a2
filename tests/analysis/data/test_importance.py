"""Importance against what is known: what matters comes first, noise matters not, too few is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.data.axes import design
from analysis.data.importance import MAX_SUGGESTIONS, MIN_SUGGESTIONS, importance
from analysis.data.settings import Setting
from analysis.data.study_results import open_study
from analysis.findings.findings import findings
from analysis.sections.importance import section
from tests.analysis.cases import searched, temperatures
from tests.analysis.factory import choice, store, trial

METRIC = "accuracy_majority"


def suggestions(count: int, signal: float, noise: float = 0.02) -> list[Setting]:
    """y = signal (x₁ + x₂ / 2) + noise, and x₃ that does nothing; one layout of two lowers y by signal / 4."""
    rng = np.random.default_rng(3)
    made = []
    for i in range(count):
        x = rng.random(3)
        layout = ("a", "b")[i % 2]
        y = signal * (x[0] + x[1] / 2 - (layout == "b") / 4) + noise * rng.normal()
        params = (("x1", x[0]), ("x2", x[1]), ("x3", x[2] if i % 3 else None), ("layout", layout))
        made.append(Setting(params, ({"seed": 0, METRIC: y},)))
    return made


def test_the_order_of_known_effects_is_found() -> None:
    found = importance(suggestions(120, 1.0), METRIC, {})
    assert found is not None
    assert [loss.name for loss in found.losses][:2] == ["x1", "x2"]
    first, *_ = found.losses
    assert first.first == 1 and first.low > 0.3
    x3 = next(loss for loss in found.losses if loss.name == "x3")
    assert x3.low <= 0 <= x3.high < 0.1
    assert found.fit[1] > 0.5 and found.used == found.suggestions == 120


def test_noise_alone_is_a_poor_fit_and_no_parameter_stands_out() -> None:
    found = importance(suggestions(60, 0.0), METRIC, {})
    assert found is not None and found.fit[1] < 0.2
    assert found.losses[0].first < 0.95


def test_it_is_the_same_each_time() -> None:
    assert importance(suggestions(40, 1.0), METRIC, {}) == importance(suggestions(40, 1.0), METRIC, {})


def test_too_few_or_equal_suggestions_have_none() -> None:
    assert importance(suggestions(MIN_SUGGESTIONS - 1, 1.0), METRIC, {}) is None
    assert importance(suggestions(MIN_SUGGESTIONS, 0.0, 0.0), METRIC, {}) is None
    assert importance([], METRIC, {}) is None


def test_very_many_are_sampled_and_that_is_known() -> None:
    found = importance(suggestions(MAX_SUGGESTIONS + 50, 1.0), METRIC, {})
    assert found is not None and (found.used, found.suggestions) == (MAX_SUGGESTIONS, MAX_SUGGESTIONS + 50)


def said(folder: Path) -> str:
    results = open_study(folder)
    plan = design(results)
    return str(section(results, plan, findings(results, plan)))


def test_a_search_has_the_section_with_its_trust(tmp_path: Path) -> None:
    text = said(searched(tmp_path))
    assert 'id="importance"' in text and "From the means of 30 suggestions" in text
    assert "bootstrap samples of the suggestions" in text and "came first in" in text


@pytest.mark.parametrize(
    ("space", "says"), [(2, "Too few to say: 6 suggestions with a score"), (1, "nothing to weigh")]
)
def test_a_small_search_says_why_there_is_none(space: int, says: str, tmp_path: Path) -> None:
    ranges: dict[str, Any] = {"mi_weight": choice(0, 1, 2, 3, 4, 5), "temperature": choice(0.1, 0.5)}
    points = [{"mi_weight": i} | ({"temperature": (0.1, 0.5)[i % 2]} if space == 2 else {}) for i in range(6)]
    rows = [trial("s", **p, temperature_final=p.get("temperature", 0.5)) for p in points]
    given = dict(list(ranges.items())[:space])
    assert says in said(store(tmp_path, rows, name="s", space=given, searcher="tpe", with_arrays=False))


def test_a_small_grid_has_no_section(tmp_path: Path) -> None:
    assert said(temperatures(tmp_path)) == ""


def test_a_baseline_beside_the_space_and_its_fields_are_not_weighed(tmp_path: Path) -> None:
    space = {"temperature": choice(*(i / 20 for i in range(1, 13))), "kl_weight": choice(1, 2)}
    points = [
        {"temperature": i / 20, "temperature_final": i / 20, "kl_weight": k} for i in range(1, 13) for k in (1, 2)
    ]
    rows = [trial("s", **p) for p in (*points, {"mi_weight": 0})]
    asked = {"fixed": {"mi_weight": 4.0}, "baseline": {"mi_weight": 0.0}, "searcher": "tpe", "with_arrays": False}
    text = said(store(tmp_path, rows, name="s", space=space, **asked))
    assert "From the means of 24 suggestions" in text and "λ" not in text
