"""`vmi.open`: the store in a notebook's forms equals the store, and what is not there is refused by name."""

from __future__ import annotations

import inspect
import math
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from scipy import stats

import vmi
from tests.analysis.cases import CASES, LAYOUTS, usual
from tests.analysis.cases import layouts as some_layouts
from tests.analysis.factory import store, trial


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
        "in it: lambda": lambda: vmi.open(results.folder.parent),
        "a study's results, such as results/lambda": lambda: vmi.open(7),  # type: ignore[arg-type]
        "a path that there can be on this system": lambda: vmi.open("x" * 5000),
        "did you mean 'score'?": lambda: results.figure("scor"),
        "its trial_id in `trials` or `under_way`": lambda: results.curves("0"),
        "figure = 3": lambda: results.figure(3),  # type: ignore[arg-type]
    }
    for said, call in cases.items():
        with pytest.raises(vmi.InputError, match=said.replace("?", r"\?")):
            call()
    with pytest.raises(AttributeError, match="did you mean 'Study'"):
        _ = vmi.studdy  # type: ignore[attr-defined]


STUDY = vmi.Study(
    name="small",
    fixed={"dataset": "digits", "layout": "n4+c10*", "steps": 4, "batch_size": 32},
    space={"mi_weight": vmi.choice(0, 4)},
    seeds=range(2),
)


def ran(study: vmi.Study, results: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> vmi.Results:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    return vmi.run(study, results=results, local=True, **options)


def answers(results: vmi.Results) -> None:
    """Every property and method that needs no trial answers."""
    for name in ("name", "spec", "planned", "trials", "failed", "settings", "best", "findings", "figures"):
        getattr(results, name)
    assert results.arrow().num_rows == results.polars().height == len(results.trials)
    assert results.status() and repr(results) and results._repr_html_() and results.findings
    assert results.report().is_file() and results.compare(results)
    assert pickle.loads(pickle.dumps(results)).trials.equals(results.trials)


@pytest.mark.parametrize("case", ["repeated", "hostile_name", "violated", "one", "all_equal"])
def test_odd_studies_answer(case: str, tmp_path: Path) -> None:
    results = vmi.open(CASES[case](tmp_path))
    answers(results)
    shown = [*map(results.figure, results.figures), *map(results.curves, results.trials["trial_id"][:2])]
    assert len(shown) >= len(results.figures) == (results.folder / "report.html").read_text().count('class="plot" id=')
    assert not results.settings.columns.duplicated().any() and not results.trials.columns.duplicated().any()
    assert all(character.isprintable() or character == "\n" for character in repr(results) + results.status())


def test_trials_that_were_stopped_early_are_counted_as_such(tmp_path: Path) -> None:
    rows = [trial(seed=0), {**trial(seed=1), "outcome": "pruned"}, {**trial(seed=2), "outcome": "failed"}]
    assert "1 of 4 trials completed, 1 pruned, 1 failed, 1 missing" in repr(vmi.open(store(tmp_path, rows, planned=4)))


def test_a_study_that_was_just_begun_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = ran(STUDY, tmp_path, monkeypatch)
    for table in ("trials", "curves", "arrays"):
        shutil.rmtree(begun.folder / table)
    results = begun.reload()
    answers(results)
    assert results.trials.empty and {"trial_id", "mi_weight", "outcome"} <= set(results.trials.columns)
    assert results.settings.empty and list(results.settings.columns) == ["mi_weight", "verdict", "seeds"]
    assert results.best is None and "no best yet" in results._repr_html_()
    with pytest.raises(vmi.InputError, match="none is there: no trial has completed"):
        results.figure("score")


def test_a_study_whose_trials_all_failed_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = {**STUDY.fixed, "learning_rate": 10.0, "steps": 20}
    results = ran(vmi.Study(name="bad", fixed=fixed, space={"mi_weight": vmi.choice(1e5, 1e6)}), tmp_path, monkeypatch)
    answers(results)
    assert len(results.failed) == len(results.trials) == 10 and results.settings.empty and not results.figures
    trial_id = results.failed["trial_id"][0]
    assert results.arrays(trial_id) == {} and results.curves(trial_id)["step"].empty


def test_it_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = vmi.open(ran(STUDY, Path("here"), monkeypatch).folder.relative_to(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert results.best is not None and results.report() == tmp_path / "here" / "small" / "report.html"
    again = pickle.loads(pickle.dumps(results))
    said, now = ([line for line in one.status().splitlines() if "ago" not in line] for one in (again, results))
    assert len(results.reload().trials) == 4 and said == now


def test_the_best_names_what_was_searched_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {name: value for name, value in STUDY.fixed.items() if name != "layout"}
    space = {"layout": vmi.choice("n4+c10*", "c10*"), "mi_weight_normal": vmi.choice(0, 1)}
    where = {"mi_weight_normal": {"layout": ("n4+c10*",)}}
    found = [
        ran(vmi.Study(name=way, fixed=free, space=space, conditions=where, direction=way), tmp_path, monkeypatch).best
        for way in ("maximize", "minimize")
    ]
    assert {best.params["layout"]: len(best.params) for best in found if best} == {"c10*": 1, "n4+c10*": 2}


def test_the_best_names_what_the_baseline_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step from the start is worse than many, so that the baseline wins."""
    study = vmi.Study(
        name="based", fixed={**STUDY.fixed, "steps": 1}, space={"mi_weight": vmi.choice(0)}, seeds=range(2),
        baseline={"steps": 300}, metric="distortion_nats", direction="minimize",
    )  # fmt: skip
    best = ran(study, tmp_path, monkeypatch).best
    assert best is not None and best.params == {"steps": 300}


def test_its_types_are_those_that_help_shows() -> None:
    signature = inspect.signature(vmi.run)
    assert "steps: int | None = None" in str(signature) and "smoke: bool = False" in str(signature)


def test_completion_shows_the_face_alone() -> None:
    assert [name for name in dir(vmi) if not name.startswith("__")] == sorted(set(vmi.__all__) - {"__version__"})


def test_the_face_is_lazy_and_whole() -> None:
    assert {"Study", "run", "open", "main", "evaluate", "choice", "at_least", "__version__"} <= set(dir(vmi))
    for name in vmi.__all__:
        assert getattr(vmi, name) is not None
