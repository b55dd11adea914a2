"""How well a metric that looks at no label tells the good seeds of a setting from the bad ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from analysis.data.settings import Interval, Setting, interval
from analysis.data.study_json import restarts_of
from vmi.spec.metrics import METRICS, unsupervised
from vmi.spec.trial import Row

# Of fewer seeds an order says next to nothing.
MIN_TRIALS = 5


class Choice(NamedTuple):
    """What choosing by one metric comes to, over settings of `MIN_TRIALS` trials or more.

    correlation  Spearman's, of metric and score among the trials of a setting; +1: the better, the better
    chosen       the score of the trial that is best by the metric, of each group of restarts or of all seeds
    settings     how many have it
    trials       of these settings
    """

    metric: str
    correlation: Interval
    chosen: float
    settings: int
    trials: int


class Choices(NamedTuple):
    """What each metric's choice comes to, the best first, beside the mean of all trials and the best of each choice."""

    choices: tuple[Choice, ...]
    mean: float
    best: float


def choices(settings: Sequence[Setting], score: str, maximize: bool, spec: Mapping[str, Any]) -> Choices | None:
    """None where the score looks at no label itself, or no setting has enough trials that differ in it."""
    if not METRICS[score].labels:
        return None
    scored = [[row for row in s.completed or s.rows if _is_number(row.get(score))] for s in settings]
    scored = [rows for rows in scored if len(rows) >= MIN_TRIALS and len({row[score] for row in rows}) > 1]
    if not scored:
        return None
    made = [found for name in unsupervised() if (found := _choice(scored, name, score, maximize, spec))]
    groups = [group for rows in scored for group in _groups(rows, spec)]
    best = [(max if maximize else min)(float(row[score]) for row in group) for group in groups]
    means = [_mean([float(row[score]) for row in rows]) for rows in scored]
    ordered = sorted(made, key=lambda c: (-c.correlation.mean, c.metric))
    return Choices(tuple(ordered), _mean(means), _mean(best)) if ordered else None


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """The correlation of two lists' ranks, equal values sharing theirs; not a number where one list is constant."""
    import pandas as pd

    return float(pd.Series(first).rank().corr(pd.Series(second).rank()))


def _choice(
    scored: Sequence[Sequence[Row]], name: str, score: str, maximize: bool, spec: Mapping[str, Any]
) -> Choice | None:
    kept = [rows for rows in scored if all(_is_number(row.get(name)) for row in rows)]
    kept = [rows for rows in kept if len({row[name] for row in rows}) > 1]
    sign = 1 if METRICS[name].direction == "maximize" else -1
    towards = 1 if maximize else -1
    pairs = [([sign * row[name] for row in rows], [towards * row[score] for row in rows]) for rows in kept]
    correlation = interval(value for pair in pairs if math.isfinite(value := spearman(*pair)))
    if correlation is None:
        return None
    groups = [group for rows in kept for group in _groups(rows, spec)]
    chosen = [float(max(group, key=lambda row: (sign * row[name], -row["seed"]))[score]) for group in groups]
    return Choice(name, correlation, _mean(chosen), len(kept), sum(map(len, kept)))


def _groups(rows: Sequence[Row], spec: Mapping[str, Any]) -> list[list[Row]]:
    """The trials of each group of restarts; without restarts all of them."""
    restarts = restarts_of(spec)
    if restarts.size == 1:
        return [list(rows)]
    found = [[row for row in rows if row["seed"] in group] for group in restarts.groups]
    return [group for group in found if group]


def _is_number(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
