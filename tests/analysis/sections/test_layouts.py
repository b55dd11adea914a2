"""Layouts are compared over the same settings of the rest, a seed counting once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.data.axes import design
from analysis.data.study_results import open_study
from analysis.findings.findings import findings
from analysis.sections.layouts import Layout, picture, section
from tests.analysis.cases import usual
from tests.analysis.factory import choice, grid, store, trial

NAMES = ("n16+c10*", "c10*")
SPACE = {"layout": choice(*NAMES), "mi_weight": choice(0, 4, 8)}


def study(root: Path, rows: list[dict[str, Any]], space: dict[str, Any] = SPACE) -> str:
    results = open_study(store(root, rows, name="s", space=space, with_arrays=False))
    plan = design(results)
    return str(section(results, plan, findings(results, plan)))


def made() -> list[dict[str, Any]]:
    """Accuracy 0.1 seed + 0.01 λ, 0.05 more with the second layout, which lacks λ = 8."""
    points = [p for p in grid(SPACE, range(3)) if (p["layout"], p["mi_weight"]) != (NAMES[1], 8)]
    return [
        trial("s", **p)
        | {"accuracy_majority": 0.1 * p["seed"] + 0.01 * p["mi_weight"] + 0.05 * NAMES.index(p["layout"])}
        for p in points
    ]


def test_differences_are_over_shared_settings_and_paired_by_seed(tmp_path: Path) -> None:
    text = study(tmp_path, made())
    assert "Over the 2 settings of the other parameters that every layout has" in text
    row = next(line for line in text.split("<tr>") if "c10*" in line and "0.050 ± 0.000" in line)
    # Over λ = 0 and 4: 0.1 + 0.02 + 0.05 on average over seeds; the own best is λ = 4, of two settings.
    cells = [cell.split("</td>")[0].split(">")[-1] for cell in row.split("<td")[1:]]
    assert cells == ["c10*", "2", "0.170 ± 0.248", "3", "0.050 ± 0.000", "3", "λ = 4", "0.190 ± 0.248", "3"]


def test_without_a_shared_setting_it_is_said(tmp_path: Path) -> None:
    rows = [trial("s", layout=name, mi_weight=4 * i, seed=s) for i, name in enumerate(NAMES) for s in range(2)]
    assert "No setting of the other parameters is shared by all layouts" in study(tmp_path, rows)


def test_data_sets_are_never_mixed(tmp_path: Path) -> None:
    space = {"dataset": choice("mnist", "fashion_mnist"), "layout": choice(*NAMES)}
    text = study(tmp_path, [trial("s", **p) for p in grid(space, range(2))], space)
    assert text.count('id="layouts-') == 2 and "by layout, mnist" in text and "by layout, fashion_mnist" in text


def test_one_layout_has_no_comparison(tmp_path: Path) -> None:
    results = open_study(usual(tmp_path))
    plan = design(results)
    assert section(results, plan, findings(results, plan)) == ""


def test_the_figure_has_a_mean_per_comparisons() -> None:
    drawn = picture([Layout(name, (), {0: 0.4, 1: 0.6}, None) for name in NAMES], "accuracy_majority")
    (trace,) = drawn.data
    assert list(trace.y) == pytest.approx([0.5, 0.5]) and trace.name == "over the settings that all have"
