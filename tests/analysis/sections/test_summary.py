"""What stands beside the figures: why a level is not drawn is true of the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.data.axes import design
from analysis.data.study_results import open_study
from analysis.findings.findings import findings
from analysis.sections.summary import figures
from tests.analysis.factory import choice, grid, store, trial

WEIGHTS = {"mi_weight": choice(0, 4)}


@pytest.mark.parametrize(
    ("space", "given", "says"),
    [
        ({"mi_weight": choice(1, 4)}, {}, "no setting has λ = 0"),
        (WEIGHTS, {"capacity_weight": 30.0}, "has another term that may make the code used, or β other than 1"),
        (WEIGHTS, {"kl_weight": 4}, "has another term that may make the code used, or β other than 1"),
        (WEIGHTS | {"layout": choice("n16+c10*", "c10*")}, {}, "data set or layout vary"),
        ({"mi_weight": choice(1, 4), "layout": choice("n16+c10*", "c10*")}, {}, "no setting has λ = 0"),
    ],
)
def test_why_there_is_no_level_of_an_unused_code(
    space: dict[str, Any], given: dict[str, Any], says: str, tmp_path: Path
) -> None:
    rows = [trial("s", **given, **point) for point in grid(space, range(2))]
    results = open_study(store(tmp_path, rows, name="s", space=space, with_arrays=False))
    plan = design(results)
    text = figures(results, plan, findings(results, plan))
    assert f"No level of an unused code is drawn: {says}" in text or f"{says}." in text


def test_a_plain_code_without_an_accuracy_is_said_to_have_none(tmp_path: Path) -> None:
    rows = [trial("s", **point) for point in grid(WEIGHTS, range(2))]
    for row in rows[:2]:
        row["accuracy_majority"] = None
    results = open_study(store(tmp_path, rows, name="s", space=WEIGHTS, with_arrays=False))
    plan = design(results)
    assert "what has λ = 0 has no accuracy." in figures(results, plan, findings(results, plan))
