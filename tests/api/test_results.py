"""`vmi.open`: the store in a notebook's forms equals the store, and what is not there is refused by name."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from scipy import stats

import vmi
from tests.analysis.cases import LAYOUTS, usual
from tests.analysis.cases import layouts as some_layouts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return usual(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def results(folder: Path) -> vmi.Results:
    return vmi.open(folder)


def test_trials_are_those_of_the_store_in_three_forms(folder: Path, results: vmi.Results) -> None:
    stored = pq.read_table(folder / "trials").to_pandas().sort_values("trial_id").reset_index(drop=True)
    shown = results.trials.sort_values("trial_id").reset_index(drop=True)
    assert len(shown) == len(stored) == results.planned == 50
    for name in ("trial_id", "seed", "mi_weight", "accuracy_majority", "outcome"):
        pd.testing.assert_series_equal(shown[name], stored[name], check_dtype=False)
    assert results.arrow().num_rows == 50 and isinstance(results.polars(), pl.DataFrame)
    assert results.polars()["trial_id"].to_list() == results.trials["trial_id"].to_list()


def test_settings_have_student_t_intervals_over_seeds(results: vmi.Results) -> None:
    settings = results.settings
    assert len(settings) == 10 and list(settings.columns[:2]) == ["mi_weight", "entropy_weight"]
    for _, row in settings.iterrows():
        mine = results.trials.query(f"mi_weight == {row.mi_weight} and entropy_weight == {row.entropy_weight}")
        values = mine["accuracy_majority"].to_numpy()
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
        assert math.isclose(row.accuracy_majority, values.mean())
        assert math.isclose(row.accuracy_majority_low, values.mean() - half)
        assert math.isclose(row.accuracy_majority_high, values.mean() + half)
        assert row.accuracy_majority_n == row.seeds == 5


def test_the_best_is_the_setting_with_the_largest_mean(results: vmi.Results) -> None:
    best, settings = results.best, results.settings
    assert best is not None and best.metric == "accuracy_majority" and not best.confirmed
    top = settings.loc[settings["accuracy_majority"].idxmax()]
    assert best.params == {"mi_weight": top.mi_weight, "entropy_weight": top.entropy_weight}
    assert math.isclose(best.value.mean, top.accuracy_majority) and best.value.count == 5


def test_a_trial_has_its_curves_and_arrays(folder: Path, results: vmi.Results) -> None:
    trial_id = results.trials["trial_id"][7]
    curves = results.curves(trial_id)
    stored = pq.read_table(folder / "curves", filters=[("trial_id", "=", trial_id)]).to_pandas()
    assert set(curves["trial_id"]) == {trial_id} and len(curves) == len(stored)
    assert list(curves["step"]) == sorted(stored["step"]) and not curves.isna().all().any()
    assert all(isinstance(array, np.ndarray) for array in results.arrays(trial_id).values())


def test_figures_are_those_of_the_page(folder: Path, results: vmi.Results) -> None:
    page = results.report()
    assert page == folder / "report.html"
    text = page.read_text()
    assert {"score-accuracy_majority-0", "mi-c-0", "rate-distortion", "categories-used"} <= set(results.figures)
    assert all(f'id="{name}"' in text for name in results.figures)
    assert results.figure("score") == results.figure("score-accuracy_majority-0")
    drawn = results.figure("rate-distortion")
    assert len(drawn.data) > 3 and drawn.layout.xaxis.title.text


def test_it_shows_itself_shortly(results: vmi.Results) -> None:
    html = results._repr_html_()
    assert "50 of 50 trials completed" in html and "best accuracy_majority" in html and html.count("<tr>") <= 9
    assert len(html) < 8_000 and "settings more" in html
    assert repr(results).startswith("<vmi.Results lambda: 50 of 50 trials completed")
    assert len(results.findings) > 2


def test_it_compares_itself_with_another(results: vmi.Results, tmp_path: Path) -> None:
    other = vmi.open(usual(tmp_path))
    text = results.compare(other)
    assert text == results.compare(str(other.folder)) == text._repr_markdown_()
    assert "the same trials, trained once or twice" in text


def test_what_other_layouts_lack_is_no_column_of_a_curve(tmp_path: Path) -> None:
    results = vmi.open(some_layouts(tmp_path))
    assert set(results.trials["layout"]) == set(LAYOUTS)
    assert len(results.settings) >= len(LAYOUTS)


def test_what_is_not_there_is_refused_with_the_nearest(results: vmi.Results) -> None:
    cases = {
        "did you mean 'lambda'?": lambda: vmi.open(results.folder.parent / "lambd"),
        "a study's results, such as results/lambda": lambda: vmi.open(7),  # type: ignore[arg-type]
        "did you mean 'score'?": lambda: results.figure("scor"),
        "its trial_id in `trials`": lambda: results.curves("0"),
        "figure = 3": lambda: results.figure(3),  # type: ignore[arg-type]
    }
    for said, call in cases.items():
        with pytest.raises(vmi.InputError, match=said.replace("?", r"\?")):
            call()
    with pytest.raises(AttributeError, match="did you mean 'Study'"):
        _ = vmi.studdy  # type: ignore[attr-defined]


def test_the_face_is_lazy_and_whole() -> None:
    assert {"Study", "run", "open", "main", "evaluate", "choice", "at_least", "__version__"} <= set(dir(vmi))
    for name in vmi.__all__:
        assert getattr(vmi, name) is not None
