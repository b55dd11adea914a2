"""Which trial of a group counts: by the metric's own direction, whatever the order, never one without a value."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.spec.intervals import Interval
from vmi.spec.metrics import METRICS, unsupervised
from vmi.spec.restarts import Restarts

VALUES = st.one_of(st.none(), st.floats(), st.sampled_from((0.5, 1.0)))


@st.composite
def groups(draw: st.DrawFn) -> tuple[Restarts, dict[int, float | None]]:
    size, count = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    seeds = draw(st.lists(st.integers(0, 99), min_size=size * count, max_size=size * count, unique=True))
    restarts = Restarts(tuple(seeds), size, draw(st.sampled_from(unsupervised())))
    return restarts, {seed: draw(VALUES) for seed in seeds}


@given(groups(), st.data())
def test_an_order_within_a_group_never_changes_the_choice(
    made: tuple[Restarts, dict[int, float | None]], data: st.DataObject
) -> None:
    restarts, values = made
    mixed = [tuple(data.draw(st.permutations(group))) for group in restarts.groups]
    again = restarts._replace(seeds=tuple(seed for group in mixed for seed in group))
    shuffled = dict(data.draw(st.permutations(list(values.items()))))
    assert list(again.chosen(shuffled).values()) == list(restarts.chosen(values).values())


@given(groups())
def test_each_group_gives_one_replicate_the_best_that_has_a_value_of_equal_ones_the_lowest_seed(
    made: tuple[Restarts, dict[int, float | None]],
) -> None:
    restarts, values = made
    chosen = restarts.chosen(values)
    assert len(chosen) == len(values) // restarts.size
    better = max if METRICS[restarts.choose_by].direction == "maximize" else min
    for group, seed in chosen.items():
        finite = {s: v for s in group if (v := values[s]) is not None and math.isfinite(v)}
        best = [s for s, v in finite.items() if v == better(finite.values())]
        assert seed == min(best, default=None)


def test_without_restarts_each_seed_with_a_value_is_its_own() -> None:
    assert Restarts((7, 3, 5), 1, "mi_view_nats").chosen({3: 1.0, 7: 2.0, 5: None}) == {(7,): 7, (3,): 3, (5,): None}


def test_a_group_of_which_nothing_is_known_is_left_out_and_an_unknown_metric_chooses_nothing() -> None:
    restarts = Restarts((0, 1, 100, 101), 2, "mi_view_nats")
    assert restarts.chosen({0: 1.0, 1: None}) == {(0, 1): 0}
    assert restarts._replace(choose_by="of another program").chosen({0: 1.0, 1: 2.0}) == {(0, 1): None}


def test_the_mean_of_all_is_named_beside_that_of_the_chosen() -> None:
    said = Restarts(tuple(range(24)), 8, "mi_view_nats").said(Interval(0.5, 0.4, 0.6, 24), Interval(0.75, 0.7, 0.8, 3))
    assert said == "all trials: 0.500 ± 0.100 (n = 24); chosen of 8 by mi_view_nats: 0.750 ± 0.050 (n = 3)"


@pytest.mark.parametrize("name", ["accuracy_majority", "accuracy_hungarian", "accuracy_train", "accuracy_kmeans"])
def test_what_maps_categories_to_classes_says_that_it_was_fitted_on_labels(name: str) -> None:
    assert "fitted on training labels" in METRICS[name].labels and name not in unsupervised()


def test_no_metric_in_nats_looks_at_labels() -> None:
    assert {name for name, metric in METRICS.items() if metric.labels} == {
        "accuracy_majority", "accuracy_hungarian", "accuracy_train", "accuracy_kmeans", "nmi", "ari",
            "majority_class_share",
    }  # fmt: skip
