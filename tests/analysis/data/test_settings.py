"""Intervals against closed form, SciPy and their coverage; settings against what was varied."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.data.axes import design
from analysis.data.settings import CONFIG_COLUMNS, Interval, gathered, interval, paired_gain, settings, varied
from analysis.data.study_results import open_study
from tests.analysis.cases import restarted
from tests.analysis.factory import LAMBDA_SPACE, choice, grid, lambda_rows, store, trial

SPEC = {"space": LAMBDA_SPACE}


def test_interval_in_closed_form() -> None:
    # t_{.975, 4} = 2.776445, mean 3, s = sqrt(2.5)
    found = interval([1, 2, 3, 4, 5])
    assert found is not None and found.half_width is not None
    assert (found.mean, found.count) == (3, 5)
    assert found.half_width == pytest.approx(2.7764451 * math.sqrt(2.5 / 5), abs=1e-6)


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.05, 7)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = interval(values)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    found = [interval(sample) for sample in rng.normal(1.0, 2.0, (4000, 5))]
    covered = np.mean([f.low <= 1.0 <= f.high for f in found if f and f.low is not None and f.high is not None])
    # Three standard errors of a proportion of 0.95 over 4,000 draws.
    assert abs(covered - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 4000)


def test_degenerate_values_give_no_nan() -> None:
    assert interval([]) is None
    assert interval([math.nan, math.inf]) is None
    assert interval([0.4]) == Interval(0.4, None, None, 1)
    assert interval([0.4, 0.4, math.nan]) == Interval(0.4, 0.4, 0.4, 2)


def test_interval_is_not_clipped() -> None:
    found = interval([0.5, 0.99])
    assert found is not None and found.high is not None and found.high > 1


def test_settings_are_equal_but_for_the_seed() -> None:
    found = settings(lambda_rows(), SPEC)
    assert [len(s.rows) for s in found] == [5] * 10
    assert found[0].params == (("mi_weight", 0.0), ("entropy_weight", 0.0))
    assert [s.get("mi_weight") for s in found[::2]] == [0, 1, 2, 4, 8]


def test_a_column_that_follows_from_another_is_left_out() -> None:
    rows = [trial(temperature=t, temperature_final=t, seed=s) for t in (0.1, 0.5) for s in (0, 1)]
    spec = {"space": {"temperature": {"kind": "choice", "values": [0.1, 0.5]}}}
    assert varied(rows, spec) == ("temperature",)


def test_a_column_that_splits_settings_is_shown_though_it_is_not_in_the_space() -> None:
    rows = [trial(mi_weight=w, steps=n) for w in (0, 4) for n in (300, 600)]
    assert varied(rows, SPEC) == ("mi_weight", "steps")
    assert len(settings(rows, SPEC)) == 4


TEMPERATURES = {"temperature": choice(0.1, 0.2)}


def heated(*baselines: dict[str, object]) -> list[dict[str, object]]:
    """λ = 4 at two temperatures, and what stands beside them."""
    points = [{**point, "temperature_final": point["temperature"]} for point in grid(TEMPERATURES, range(2))]
    return [trial("s", **point) for point in (*points, *({**b, "seed": seed} for b in baselines for seed in range(2)))]


def test_a_baseline_is_told_apart_by_what_the_space_has_not_and_that_is_no_axis(tmp_path: Path) -> None:
    """At τ = 0.5, its default, with λ = 0 and β = 2: neither was swept, and it is no further temperature of λ = 4."""
    asked = {"fixed": {"mi_weight": 4.0}, "space": TEMPERATURES, "baseline": {"mi_weight": 0.0, "kl_weight": 2.0}}
    rows = heated({"mi_weight": 0, "kl_weight": 2, "mi_weight_normal": 0.0})
    read = open_study(store(tmp_path, rows, name="s", with_arrays=False, **asked))
    plan = design(read)
    assert varied(read.compared, read.spec) == ("temperature", "mi_weight", "kl_weight")
    assert [axis.name for axis in plan.axes] == ["temperature"] and plan.joined
    lines = {name: [s.get("temperature") for s in group] for name, group in plan.lines}
    assert lines == {"λ = 0, β = 2": [0.5], "λ = 4, β = 1": [0.1, 0.2]}
    assert [s.params for s in plan.searched] == [(("temperature", 0.1),), (("temperature", 0.2),)]


def test_a_baseline_that_is_a_point_of_the_axes_is_one_of_them() -> None:
    rows = [trial("s", mi_weight=w, seed=s) for w in (0, 1, 4) for s in range(2)]
    spec = {"space": {"mi_weight": choice(1, 4)}, "baseline": {"preset": "vae"}}
    assert varied(rows, spec) == ("mi_weight",), "it differs from them in nothing that is not swept"
    final = {"space": TEMPERATURES, "fixed": {"mi_weight": 4.0}, "baseline": {"temperature": 0.5}}
    assert varied(heated({"temperature": 0.5}), final) == ("temperature",), "the final one follows"


def test_a_baseline_of_a_conditional_field_is_no_seed_of_the_point_with_its_default() -> None:
    space = {"layout": choice("n16+c10*", "n2*+c10*"), "mi_weight_normal": choice(0.5, 2.0)}
    spec = {"space": space, "conditions": {"mi_weight_normal": {"layout": ["n2*+c10*"]}}}
    baseline = {"layout": "n16+c10*", "mi_weight_normal": 3.0}
    points = [{"layout": "n16+c10*", "mi_weight_normal": 4.0}, {"layout": "n2*+c10*", "mi_weight_normal": 2.0}]
    rows = [trial("s", **p, seed=s) for p in (baseline, *points) for s in range(2)]
    found = settings(rows, {**spec, "fixed": {"mi_weight": 4.0}, "baseline": baseline})
    assert [(s.get("mi_weight_normal"), len(s.rows)) for s in found] == [(3.0, 2), (None, 2), (2.0, 2)]


def test_a_baseline_of_images_that_nobody_has_made_known_is_told_apart_too() -> None:
    own = {"dataset": "own:0123456789abcdef"}
    spec = {"space": TEMPERATURES, "fixed": {**own, "mi_weight": 4.0}, "baseline": {"mi_weight": 0.0}}
    rows = [row | own for row in heated({"mi_weight": 0})]
    assert varied(rows, spec) == ("temperature", "mi_weight")


def test_what_lacks_a_parameter_is_beside_all_values_of_it() -> None:
    items = [((1, None), "a"), ((1, 3), "b"), ((2, None), "c"), ((1, 4), "d"), ((None, None), "e"), ((None, 4), "f")]
    assert gathered(items) == {(1, 3): ["a", "b", "e"], (1, 4): ["a", "d", "e", "f"], (2, None): ["c", "e"]}
    apart = [((None, 4), "one"), ((1, None), "other")]
    assert gathered(apart) == {(None, 4): ["one"], (1, None): ["other"]}, "neither has all of the other's values"


def test_names_keep_the_order_of_the_space() -> None:
    spec = {"space": {"layout": {"kind": "choice", "values": ["n16+c20*", "n16+c10*"]}}}
    found = settings([trial(layout=v) for v in ("n16+c10*", "n16+c20*")], spec)
    assert [s.get("layout") for s in found] == ["n16+c20*", "n16+c10*"]


def test_gain_is_paired_by_seed() -> None:
    rows = [trial(mi_weight=w, seed=s) | {"accuracy_majority": 0.1 * s + 0.01 * w} for w in (0, 4) for s in range(3)]
    unused, used = settings(rows, SPEC)
    gain = paired_gain(used, unused, "accuracy_majority")
    assert gain is not None and gain.low == pytest.approx(0.04) and gain.high == pytest.approx(0.04)


def test_configuration_columns_are_the_schemas() -> None:
    assert {"dataset", "layout", "mi_weight", "data_fingerprint"} <= set(CONFIG_COLUMNS)
    assert not {"seed", "preset", "outcome", "accuracy_majority"} & set(CONFIG_COLUMNS)


def test_of_restarts_a_setting_has_the_chosen_trial_of_each_group_that_has_ended(tmp_path: Path) -> None:
    read = open_study(restarted(tmp_path))
    found = {(s.get("layout"), s.get("mi_weight")): s for s in settings(read.compared, read.spec)}
    own = {weight: found["n16+c10*", weight] for weight in (0, 1, 4, 8)}
    seeds = {weight: {group: row["seed"] for group, row in s.by_group.items()} for weight, s in own.items()}
    assert {weight: list(groups) for weight, groups in seeds.items()} == {
        0: [(0, 1), (2, 3)], 1: [(2, 3)], 4: [(0, 1), (2, 3)], 8: [(0, 1), (2, 3)],
    }  # fmt: skip
    assert seeds[4][0, 1] == 1 and seeds[8][2, 3] == 2, "the other one failed, or was stopped early"
    for s in own.values():
        for group, row in s.by_group.items():
            mates = [r for r in s.completed if r["seed"] in group]
            assert row["elbo_nats"] == max(r["elbo_nats"] for r in mates)
        assert s.values("nmi") == [row["nmi"] for row in s.rows] and s.replicate == "group"
    assert [len(s.completed) for s in own.values()] == [4, 2, 3, 3]
    gain = paired_gain(own[1], own[4], "nmi")
    assert gain is not None and gain.count == 1
    assert gain.mean == own[1].by_group[2, 3]["nmi"] - own[4].by_group[2, 3]["nmi"]
    every = own[4].all_trials("nmi")
    assert every is not None and every.count == 3 and found["n16+c10*", 0].all_trials("absent") is None


def test_without_restarts_each_seed_is_its_own_group() -> None:
    found = settings(lambda_rows(), SPEC)[0]
    assert list(found.by_group) == [(seed,) for seed in range(5)]
    assert found.replicate == "seed" and found.all_trials("nmi") is None


def test_seeds_are_paired_with_no_group_of_restarts(tmp_path: Path) -> None:
    read = open_study(restarted(tmp_path))
    groups, seeds = (settings(read.completed, spec)[0] for spec in (read.spec, {**read.spec, "restarts": 1}))
    assert paired_gain(groups, seeds, "nmi") is None
