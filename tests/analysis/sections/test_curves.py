"""Curves during training: means over the steps that every seed has; nothing where nothing is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.data.axes import design
from analysis.data.settings import Setting
from analysis.data.study_results import open_study
from analysis.sections.curves import histogram, mean_curve, section
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
