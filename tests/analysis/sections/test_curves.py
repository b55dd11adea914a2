"""Curves during training: means over the steps that every seed has; nothing where nothing is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.data.axes import design
from analysis.data.settings import Setting
from analysis.data.study_results import open_study
from analysis.figures.style import STYLES
from analysis.html.markup import Markup, plots_in
from analysis.sections.curves import MAX_LINES, histogram, mean_curve, room, section
from tests.analysis import cases
from tests.analysis.factory import store, trial


def test_a_curve_is_the_mean_over_seeds_at_the_steps_that_all_have() -> None:
    rows = tuple({"trial_id": str(k), "seed": k, "layout": "n2+c3*"} for k in range(2))
    curves = {
        "0": [{"step": 1, "rate_c3_nats": 1.0}, {"step": 2, "rate_c3_nats": 2.0}, {"step": 3, "rate_c3_nats": None}],
        "1": [{"step": 1, "rate_c3_nats": 3.0}, {"step": 3, "rate_c3_nats": 9.0}],
    }
    assert mean_curve(Setting((), rows), curves, "rate_{}_nats") == ([1], [2.0])


def test_a_study_has_its_three_curves_and_a_histogram_per_setting(tmp_path: Path) -> None:
    results = open_study(cases.usual(tmp_path))
    text = section(results, design(results).settings[:4])
    assert all(f'id="training-{i}"' in text for i in range(3))
    assert all(f'id="certainty-{i}"' in text for i in range(4))


@pytest.mark.parametrize("case", [cases.normal_only, cases.none])
def test_no_curve_of_a_code_no_figure(tmp_path: Path, case: object) -> None:
    results = open_study(case(tmp_path))
    assert "training-" not in section(results, design(results).settings)


def test_a_store_without_curves_has_no_section(tmp_path: Path) -> None:
    results = open_study(store(tmp_path, [trial(outcome="failed", reason="x")]))
    assert section(results, design(results).settings) == ""


def test_the_histogram_keeps_counts_bins_and_steps() -> None:
    made = histogram(np.arange(6).reshape(3, 2), [10, 20]).to_plotly_json()["data"][0]
    assert np.asarray(made["customdata"]).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert list(made["x"]) == ["10", "20"]
    assert np.asarray(made["y"]).tolist() == pytest.approx([1 / 6, 0.5, 5 / 6])


def names_and_colours(text: Markup) -> dict[str, str]:
    drawn = plots_in(text)["training-elbo"].figure["data"]
    return {line["name"].replace("<br>", ""): line["line"]["color"] for line in drawn}


def test_a_setting_under_way_has_the_colour_of_its_finished_seeds_and_no_other_one(tmp_path: Path) -> None:
    results = open_study(cases.under_way(tmp_path))
    text = section(results, design(results).settings)
    colour = [style.colour for style in STYLES]
    at = "under way, step 200 of 300"
    assert names_and_colours(text) == {
        "λ = 0, η = 0": colour[0], "λ = 0, η = 1": colour[1], "λ = 1, η = 0": colour[2], "λ = 1, η = 1": colour[3],
        f"λ = 1, η = 0, {at}": colour[2], f"λ = 1, η = 1, {at}": colour[3],
        f"λ = 2, η = 0, {at}": colour[4], f"λ = 2, η = 1, {at}": colour[5],
    }  # fmt: skip
    assert "4 settings not drawn: too many, or no report yet." in text


def test_finished_settings_leave_room_for_those_of_which_nothing_has_finished(tmp_path: Path) -> None:
    some, whole = open_study(cases.under_way(tmp_path / "some")), open_study(cases.usual(tmp_path))
    assert room(some, design(some).settings) == MAX_LINES - 2 and room(whole, design(whole).settings) == MAX_LINES


def test_with_nothing_finished_a_layout_without_a_code_has_its_elbo(tmp_path: Path) -> None:
    results = open_study(cases.begun(tmp_path))
    text = section(results, ())
    assert len(names_and_colours(text)) == 4 and len(plots_in(text)["training-1"].figure["data"]) == 2
    assert "certainty-" not in text
