"""Which axes and lines a study is drawn with, and that figures hold the values of the rows."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis.data.axes import Design, design, representative
from analysis.data.mi_checks import violations
from analysis.data.study_results import StudyResults, open_study
from analysis.figures import captions as plots
from analysis.figures import information as figures_mi
from analysis.figures import scores as figures
from analysis.figures.images import BACKGROUND, GAP, png_uri, tile, with_inputs
from analysis.figures.style import RED
from analysis.findings.findings import findings
from tests.analysis.cases import CASES, layouts, searched, temperatures, usual, violated
from tests.analysis.factory import choice, grid, store, trial


def opened(case: Callable[[Path], Path], root: Path) -> tuple[StudyResults, Design]:
    results = open_study(case(root))
    return results, design(results)


def test_lambda_is_x_and_eta_makes_the_lines_in_whatever_order_the_space_has_them(tmp_path: Path) -> None:
    space = {"entropy_weight": choice(0, 1), "mi_weight": choice(0, 1, 2, 4, 8)}
    folder = store(tmp_path, [trial(**p) for p in grid(space, range(2))], space=space)
    plan = design(open_study(folder))
    assert (plan.x.name, plan.x.values, plan.joined) == ("mi_weight", (0, 1, 2, 4, 8), True)
    assert [name for name, _ in plan.lines] == ["η = 0", "η = 1"]


def test_the_first_varied_parameter_is_x_without_lambda(tmp_path: Path) -> None:
    _, plan = opened(temperatures, tmp_path)
    assert [axis.name for axis in plan.axes] == ["temperature"]


def test_layouts_make_lines(tmp_path: Path) -> None:
    _, plan = opened(layouts, tmp_path)
    assert plan.x.name == "mi_weight" and len(plan.lines) == 4


def test_each_searched_range_is_an_axis_to_scale(tmp_path: Path) -> None:
    _, plan = opened(searched, tmp_path)
    assert [(axis.name, axis.log) for axis in plan.axes] == [
        ("mi_weight", True), ("temperature", False), ("learning_rate", True)
    ]  # fmt: skip
    assert not plan.joined and [name for name, _ in plan.lines] == ["η = 0", "η = 1"]


def test_too_many_lines_become_one_group_without_lines(tmp_path: Path) -> None:
    space = {"mi_weight": choice(0, 4), "steps": choice(*range(100, 900, 100))}
    plan = design(open_study(store(tmp_path, [trial(**p) for p in grid(space, [0])], space=space)))
    assert [name for name, _ in plan.lines] == [""] and not plan.joined


def test_score_shows_means_with_intervals_and_every_seed(tmp_path: Path) -> None:
    results, plan = opened(usual, tmp_path)
    made = figures.score(plan, "accuracy_majority", plan.x, None, None)
    means = next(t for t in made.data if t.name == "η = 1")
    last = plan.lines[1][1][-1].interval("accuracy_majority")
    assert last is not None
    assert means.y[-1] == pytest.approx(last.mean, rel=1e-4)
    assert means.error_y.array[-1] == pytest.approx(last.half_width, rel=1e-4)
    dots = [t for t in made.data if t.mode == "markers"]
    assert sum(len(t.y) for t in dots) == len(results.completed) == 50


def test_a_violation_is_a_red_cross_at_its_value(tmp_path: Path) -> None:
    results, plan = opened(violated, tmp_path)
    broken = violations(results.completed)
    cards = [figures_mi.card(plan.x, group, plan.joined, "c", broken) for _, group in plan.lines]
    red = [[t for t in made.data if t.marker.color == RED] for made in cards]
    assert [len(traces) for traces in red] == [0, 1]
    assert list(red[1][0].y) == [v.value_nats for v in broken if v.block == "c10"]


@pytest.mark.parametrize("name", CASES)
def test_no_figure_holds_a_value_that_is_no_number(name: str, tmp_path: Path) -> None:
    _, plan = opened(CASES[name], tmp_path)
    if plan.settings:
        made = [figures.score(plan, m, plan.x, None, None) for m in ("accuracy_majority", "elbo_nats")]
        made += [figures.rate_distortion(plan), figures_mi.card(plan.x, plan.settings, plan.joined, "c", ())]
        assert all(np.isfinite(values(trace)).all() for figure in made for trace in figure.data)


def values(trace: Any) -> np.ndarray:
    return np.asarray([*trace.x, *trace.y], dtype=np.float64)


def test_assignments_are_ordered_by_class_with_idle_categories_last() -> None:
    counts = np.zeros((4, 3), np.int32)
    counts[2, 0], counts[0, 2], counts[3, 1] = 5, 6, 7
    made = figures.assignments(counts)
    assert [row[0] for row in made.data[0].customdata] == [2, 3, 0, 1]
    assert np.array_equal(made.data[0].z, counts[[2, 3, 0, 1]])


def test_the_best_and_the_worst_stand_for_many(tmp_path: Path) -> None:
    _, plan = opened(searched, tmp_path)
    chosen = representative(plan.settings, "accuracy_majority", True, 12)
    means = [s.mean("accuracy_majority") or 0.0 for s in chosen]
    every = sorted((s.mean("accuracy_majority") or 0.0 for s in plan.settings), reverse=True)
    assert means == every[:8] + every[-4:]


def test_tiles_keep_every_pixel() -> None:
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    grid_of = tile(images)
    assert grid_of.shape == (2 * 4 + GAP, 3 * 5 + 2 * GAP)
    assert np.array_equal(grid_of[4 + GAP :, 2 * (5 + GAP) :], images[1, 2])
    assert png_uri(grid_of).startswith("data:image/png;base64,")


def test_pictures_of_several_channels_are_drawn_in_colour_over_white_and_two_side_by_side() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 4), dtype=np.uint8)
    drawn = tile(images[..., :3])
    assert drawn.shape == (2 * 4 + GAP, 3 * 5 + 2 * GAP, 3)
    assert np.array_equal(drawn[4 + GAP :, 2 * (5 + GAP) :], images[1, 2, ..., :3])
    assert (drawn[4] == BACKGROUND).all()
    for opaque, wanted in ((255, images[..., :3]), (0, np.full_like(images[..., :3], 255))):
        images[..., 3] = opaque
        assert np.array_equal(tile(images), tile(wanted))
    one, other = tile(images[..., :2])[:4, :10].reshape(4, 2, 5).swapaxes(0, 1)
    assert np.array_equal(one, images[0, 0, ..., 0]) and np.array_equal(other, images[0, 0, ..., 1])
    stored = {"inputs": images[:, 0, ..., :3], "reconstructions": images[:, 1, ..., :3]}
    both = with_inputs(stored, images[..., :3])
    assert np.array_equal(both[:4, :5], images[0, 0, ..., :3]) and np.array_equal(both[:, -drawn.shape[1] :], drawn)
    png = base64.b64decode(png_uri(both).partition(",")[2])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), both)


def test_lines_of_equal_elbo_are_that_and_stay_inside_the_points(tmp_path: Path) -> None:
    _, plan = opened(usual, tmp_path)
    made = figures.rate_distortion(plan)
    lines = [t for t in made.data if t.legendgroup == "equal ELBO"]
    assert 2 <= len(lines) <= 7 and sum(t.showlegend for t in lines) == 1
    for trace, note in zip(lines, made.layout.annotations, strict=True):
        level = float(note.text.replace("−", "-"))
        assert [x + y for x, y in zip(trace.x, trace.y, strict=True)] == pytest.approx([-level, -level])
    low, high = made.layout.xaxis.range
    assert all(low <= x <= high for t in lines for x in t.x)


def test_very_many_settings_are_thinned_and_said(tmp_path: Path) -> None:
    space = {"mi_weight": choice(*range(10)), "steps": choice(*range(100, 10_100, 100))}
    plan = design(open_study(store(tmp_path, [trial(**p) for p in grid(space, [0])], space=space, with_arrays=False)))
    assert (len(plan.settings), plan.every, plan.dots) == (1000, 3, 1)
    made = figures.score(plan, "accuracy_majority", plan.x, None, None)
    assert sum(len(t.x) for t in made.data if t.mode == "markers") <= 2 * 335
    assert plots.left_out(plan) == " Drawn: every 3rd setting; all are in the tables."


def test_of_more_than_a_hundred_categories_the_count_says_nothing_of_idle_ones(tmp_path: Path) -> None:
    rows = [trial("s", layout=name, seed=s) | {"categories_used": 0} for name in ("c100*", "c200*") for s in range(2)]
    space = {"layout": choice("c100*", "c200*")}
    both = open_study(store(tmp_path, rows, name="s", space=space, with_arrays=False))
    drawn = plots.information(design(both), findings(both, design(both)))
    assert "Categories lie idle in 1 setting" in drawn
    many = open_study(store(tmp_path, rows[2:], name="m", space=space, with_arrays=False))
    drawn = plots.information(design(many), findings(many, design(many)))
    assert "Categories with 1 % of the images" in drawn and "all 200 categories" not in drawn
    assert "Of more than 100 not all can be: their count says nothing of idle ones." in drawn
