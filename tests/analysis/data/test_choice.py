"""Choosing without labels: rank correlations against a sum by hand, and whom a metric takes of whom."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from analysis.data.choice import choices, spearman
from analysis.data.settings import Setting

SCORE = "accuracy_majority"


def setting(scores: list[float], views: list[float | None], **more: list[float]) -> Setting:
    columns: dict[str, list[Any]] = {SCORE: scores, "mi_view_nats": views, "seed": list(range(len(scores))), **more}
    return Setting((), tuple(dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)))


@pytest.mark.parametrize("seed", range(5))
def test_the_rank_correlation_is_one_minus_six_squared_differences_over_n_cubed_less_n(seed: int) -> None:
    numbers = random.Random(seed)
    first, second = ([numbers.random() for _ in range(9)] for _ in range(2))
    ranks = [[sorted(values).index(v) for v in values] for values in (first, second)]
    differences = sum((a - b) ** 2 for a, b in zip(*ranks, strict=True))
    assert math.isclose(spearman(first, second), 1 - 6 * differences / (9 * (81 - 1)))


def test_a_metric_that_orders_seeds_as_the_labels_do_takes_the_best_and_one_that_does_not_does_not() -> None:
    scores = [0.9, 0.5, 0.7, 0.6, 0.8]
    nats = [2.0 - score for score in scores]
    made = choices([setting(scores, [s + 1 for s in scores], elbo_nats=nats, rate_nats=nats)], SCORE, True, {})
    assert made is not None
    view, *others = made.choices
    assert (view.metric, view.correlation.mean, view.chosen) == ("mi_view_nats", pytest.approx(1), 0.9)
    # The ELBO is better the higher it is: here it orders them the other way round.
    assert [(c.metric, c.correlation.mean, c.chosen) for c in others] == [("elbo_nats", pytest.approx(-1), 0.5)]
    assert (made.mean, made.best, view.settings, view.trials) == (pytest.approx(0.7), 0.9, 1, 5)


def test_with_restarts_each_group_takes_its_own_and_settings_are_averaged() -> None:
    scores, views = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [1.0, 3.0, 2.0, 4.0, 6.0, 5.0]
    spec = {"seeds": list(range(6)), "restarts": 3, "choose_by": "mi_view_nats"}
    made = choices([setting(scores, list(views)), setting(scores[::-1], list(views))], SCORE, True, spec)
    assert made is not None
    (view,) = made.choices
    # Groups 0 to 2 and 3 to 5: their second and fifth trials.
    assert view.chosen == pytest.approx((0.2 + 0.5 + 0.5 + 0.2) / 4)
    assert made.best == pytest.approx((0.3 + 0.6 + 0.6 + 0.3) / 4)
    assert view.correlation.mean == pytest.approx(0, abs=1e-12) and view.correlation.count == 2


def test_nothing_is_said_of_few_seeds_a_score_without_labels_or_a_metric_that_some_lack() -> None:
    few, equal = setting([0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]), setting([0.5] * 6, [1.0, 2, 3, 4, 5, 6])
    assert choices([few, equal], SCORE, True, {}) is None
    enough = setting([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 2.0, 3.0, 4.0, None])
    assert choices([enough], SCORE, True, {}) is None
    assert choices([enough], "mi_view_nats", True, {}) is None
    assert choices([setting([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 1.0, 1.0, 1.0, math.nan])], SCORE, True, {}) is None
