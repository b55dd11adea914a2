"""How much each searched parameter matters: permutation importance of a random forest, and how stable that is.

Data are suggestions: their parameters and the mean of the study's metric over their seeds. For each of RESAMPLES
bootstrap samples of the suggestions (drawn with SEED) a forest is fitted, and judged on those not drawn:

    importance_j = R²(left out) - R²(left out, parameter j permuted),    R² = 1 - Σ(y - ŷ)² / Σ(y - mean of y)²

It may exceed 1, as a guess from a shuffled parameter can be worse than the mean. Intervals are percentiles over the
resamples: of a forest's statistic no t interval can be given. Breiman 2001, section 10 (random forests).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from analysis.data.settings import Setting, order_of

SEED = 20_260_301
RESAMPLES, PERMUTATIONS, TREES = 30, 4, 24
# With fewer, a resample leaves less than eight suggestions to judge a forest by.
MIN_SUGGESTIONS = 20
# More do not sharpen the answer, and would cost minutes.
MAX_SUGGESTIONS = 400


class Loss(NamedTuple):
    """A parameter's importance: median and 95 % of the resamples, and the share of these in which it came first."""

    name: str
    median: float
    low: float
    high: float
    first: float


class Importance(NamedTuple):
    """Losses, greatest first; R² of forests on suggestions that they had not seen (low, median, high); counts."""

    losses: tuple[Loss, ...]
    fit: tuple[float, float, float]
    used: int
    suggestions: int


def importance(found: Sequence[Setting], metric: str, spec: Mapping[str, Any]) -> Importance | None:
    """The importance of every parameter; None with too few suggestions, or where all are equal."""
    judged = [(s, mean) for s in found if (mean := s.mean(metric)) is not None]
    if len(judged) < MIN_SUGGESTIONS or len({mean for _, mean in judged}) == 1:
        return None
    rng = np.random.default_rng(SEED)
    kept = sorted(rng.permutation(len(judged))[:MAX_SUGGESTIONS].tolist())
    names = [name for name, _ in judged[0][0].params]
    x = np.array([[_place(n, judged[i][0].get(n), spec) for n in names] for i in kept])
    y = np.array([judged[i][1] for i in kept])
    drops, fits = _resampled(x, y, rng)
    low, median, high = np.percentile(drops, (2.5, 50, 97.5), axis=0)
    wins = np.bincount(drops.argmax(axis=1), minlength=len(names)) / len(drops)
    losses = [Loss(n, float(median[j]), float(low[j]), float(high[j]), float(wins[j])) for j, n in enumerate(names)]
    ends = [float(v) for v in np.percentile(fits, (2.5, 50, 97.5))]
    ranked = tuple(sorted(losses, key=lambda s: -s.median))
    return Importance(ranked, (ends[0], ends[1], ends[2]), len(kept), len(judged))


def _place(name: str, value: Any, spec: Mapping[str, Any]) -> float:
    """A value as a number that keeps its order; trees see no more than that. Absent ones stand below all others."""
    if value is None:
        return -1e12
    _, at, text = order_of(name, value, spec)
    return at if np.isfinite(at) else float(sum(text.encode()))


def _resampled(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Importances [resamples, parameters] and R² [resamples], on suggestions that were not drawn."""
    from sklearn.ensemble import RandomForestRegressor  # a second of imports

    drops, fits = [], []
    for b in range(RESAMPLES):
        drawn = rng.integers(len(y), size=len(y))
        left = np.setdiff1d(np.arange(len(y)), drawn)
        if len(set(y[left])) < 2:
            continue
        forest = RandomForestRegressor(TREES, max_features=max(1, -(-x.shape[1] // 2)), random_state=SEED + b)
        forest.fit(x[drawn], y[drawn])
        whole, permuted = _judged(forest, x[left], y[left], rng)
        drops.append(whole - permuted)
        fits.append(whole)
    return np.array(drops), np.array(fits)


def _judged(forest: Any, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """R², and R² with each parameter permuted: all permutations in one prediction."""
    copies = np.repeat(x[None], 1 + x.shape[1] * PERMUTATIONS, axis=0)
    for k in range(x.shape[1] * PERMUTATIONS):
        copies[1 + k, :, k // PERMUTATIONS] = rng.permutation(x[:, k // PERMUTATIONS])
    guessed = forest.predict(copies.reshape(-1, x.shape[1])).reshape(len(copies), len(y))
    r2 = 1 - ((y - guessed) ** 2).sum(axis=1) / ((y - y.mean()) ** 2).sum()
    return float(r2[0]), r2[1:].reshape(x.shape[1], PERMUTATIONS).mean(axis=1)
