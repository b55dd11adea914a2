"""Differences between two settings over the seeds that both have, with a paired bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.aggregate import Setting

RESAMPLES = 10_000
LEVEL = 0.95
# Resamples of two values are no interval.
MIN_SEEDS = 3


@dataclass(frozen=True)
class Difference:
    """Mean of metric(setting) - metric(reference) over `count` shared seeds, and its interval (three seeds or more)."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def decided(self) -> bool:
        """The interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def paired_difference(setting: Setting, reference: Setting, metric: str, seed: int = 0) -> Difference | None:
    """Percentile bootstrap over seeds (10,000 resamples, seeded); None when no seed is shared.

    Trials of one seed start from the same networks and see the same minibatches and noise, so their luck is shared.
    """
    base = {row["seed"]: row[metric] for row in reference.rows if row.get(metric) is not None}
    own = {row["seed"]: row[metric] for row in setting.rows if row.get(metric) is not None}
    return bootstrap([own[s] - base[s] for s in sorted(own.keys() & base.keys())], seed)


def bootstrap(differences: Sequence[float], seed: int = 0) -> Difference | None:
    """Mean of the differences and its percentile bootstrap interval."""
    x = np.asarray(differences, dtype=np.float64)
    if x.size == 0:
        return None
    if x.size < MIN_SEEDS:
        return Difference(float(x.mean()), None, None, int(x.size))
    picks = np.random.default_rng(seed).integers(0, x.size, (RESAMPLES, x.size))
    low, high = np.quantile(x[picks].mean(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(float(x.mean()), float(low), float(high), int(x.size))
