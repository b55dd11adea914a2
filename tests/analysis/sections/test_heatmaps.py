"""Heat maps over two swept numbers: the rows' own means, one panel per layout, what is missing said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.data.axes import design
from analysis.data.study_results import open_study
from analysis.findings.findings import findings
from analysis.sections import heatmaps
from tests.analysis.cases import heated, layouts, searched, temperatures, usual
from tests.analysis.factory import choice, grid, store, trial


def test_a_panel_per_layout_has_each_settings_mean_interval_and_count(tmp_path: Path) -> None:
    plan = design(open_study(heated(tmp_path)))
    assert heatmaps.pairs(plan) == [("mi_weight", "temperature")]
    found = list(heatmaps.panels(plan, "mi_weight", "temperature"))
    assert [(p.name, p.columns, p.rows) for p in found] == [
        (f"layout = {name}", (0, 1, 4, 8), (0.2, 0.5, 1.0)) for name in ("n16+c10*", "n8+c10*+c2*")
    ]
    made = heatmaps.picture(found[0], "accuracy_majority", (0, 1)).data[0]
    own = next(
        s for s in plan.settings if (s.get("layout"), s.get("mi_weight"), s.get("temperature")) == ("n16+c10*", 4, 0.5)
    ).interval("accuracy_majority")
    assert own is not None
    assert made.z[1][2] == pytest.approx(own.mean)
    assert made.text[1][2] == f"{own.mean:.3f}<br>±{own.half_width:.3f} n=3"
    assert made.z[0][3] is None and made.text[0][3] == ""
    assert made.texttemplate == "%{text}"


def test_panels_of_a_quantity_share_their_scale_and_count_what_is_missing(tmp_path: Path) -> None:
    results = open_study(heated(tmp_path))
    plan = design(results)
    text = heatmaps.section(plan, findings(results, plan))
    # Two layouts, accuracy and I_q: each in the caption and in the name of the picture.
    assert text.count("Without a value: 1 cell.") == 2 * 4
    ends = set(re.findall(r'"zmax":([\d.]+),"zmin":([\d.]+)', text))
    assert len(ends) == 2
    assert text.count('id="heatmap-0-') == text.count('id="heatmap-1-') == 2


def test_a_setting_that_lacks_the_panels_parameter_is_in_each_of_its_panels(tmp_path: Path) -> None:
    space = {"mi_weight": choice(0, 1, 4), "temperature": choice(0.2, 0.5), "entropy_weight": choice(0, 1)}
    points = [p for p in grid(space, range(2)) if p["mi_weight"] or p["entropy_weight"]]
    rows = [trial("s", **p, temperature_final=p["temperature"]) for p in points]
    where = {"entropy_weight": {"mi_weight": [1, 4]}}
    plan = design(open_study(store(tmp_path, rows, space=space, conditions=where, with_arrays=False)))
    found = list(heatmaps.panels(plan, "mi_weight", "temperature"))
    assert [(p.name, p.columns, len(p.cells)) for p in found] == [("η = 0", (0, 1, 4), 6), ("η = 1", (0, 1, 4), 6)]


def test_lambda_and_eta_are_two_numbers_too(tmp_path: Path) -> None:
    assert heatmaps.pairs(design(open_study(usual(tmp_path)))) == [("mi_weight", "entropy_weight")]


@pytest.mark.parametrize("case", [searched, temperatures, layouts])
def test_no_map_without_two_numbers_of_few_values(case: object, tmp_path: Path) -> None:
    results = open_study(case(tmp_path))  # type: ignore[operator]
    plan = design(results)
    assert heatmaps.section(plan, findings(results, plan)) == ""


def test_panels_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    space = {"mi_weight": choice(0, 4), "temperature": choice(0.2, 1.0), "steps": choice(*range(100, 3100, 100))}
    rows = [trial("s", **p, temperature_final=p["temperature"]) for p in grid(space, [0])]
    results = open_study(store(tmp_path, rows, name="s", space=space, with_arrays=False))
    plan = design(results)
    assert "Left out: 6 further panels" in heatmaps.section(plan, findings(results, plan))
