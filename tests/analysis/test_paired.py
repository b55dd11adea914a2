"""Paired differences: the seeds' shared luck cancels, the interval covers, few seeds give none."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.aggregate import Setting
from analysis.paired import bootstrap, paired_difference
from analysis.presets import said


def setting(values: dict[int, float]) -> Setting:
    return Setting((), tuple({"seed": seed, "nmi": value} for seed, value in values.items()))


def test_only_shared_seeds_are_paired_and_shared_luck_cancels() -> None:
    luck = dict(enumerate(np.random.default_rng(0).normal(0, 10, 8)))
    better, base = setting({s: v + 0.5 for s, v in luck.items()}), setting({s: v for s, v in luck.items() if s > 2})
    found = paired_difference(better, base, "nmi")
    assert found is not None
    assert found.count == 5
    assert found.mean == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5)
    assert found.decided


def test_the_interval_is_the_same_for_the_same_seed_and_holds_the_mean() -> None:
    x = list(np.random.default_rng(1).normal(0.1, 1, 12))
    assert bootstrap(x) == bootstrap(x)
    found = bootstrap(x)
    assert found is not None and found.low is not None and found.high is not None
    assert found.low < found.mean < found.high


def test_the_interval_covers_about_as_often_as_it_says() -> None:
    """400 samples of 20 values: a 95 % percentile bootstrap covers a little less often, never below 88 %."""
    rng = np.random.default_rng(2)
    intervals = [bootstrap(list(rng.normal(0.3, 1, 20)), seed) for seed in range(400)]
    covered = [i.low <= 0.3 <= i.high for i in intervals if i and i.low is not None and i.high is not None]
    assert 0.88 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_seeds_give_no_interval_and_no_verdict(count: int) -> None:
    found = bootstrap([0.2] * count)
    assert found is not None
    assert (found.low, found.high, found.decided) == (None, None, False)
    assert "too few seeds" in said(found)
    assert bootstrap([]) is None
