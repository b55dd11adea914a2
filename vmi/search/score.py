"""What the seeds of a suggestion say of it together: the mean of each metric that decides, and what it breaks.

Of restarts first the chosen one of each group: what follows then sees replicates alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vmi.spec.restarts import Restarts
from vmi.spec.trial import Completed, Failed, Outcome, Pruned, Stopped
from vmi.study.study import Study


class Score(NamedTuple):
    """Means over seeds by metric, and by how much each constraint is broken (0 or below: kept)."""

    means: Mapping[str, float]
    excess: Mapping[str, float]

    @property
    def feasible(self) -> bool:
        return all(excess <= 0 for excess in self.excess.values())


class Ending(NamedTuple):
    """A suggestion as a searcher is told of it: the values of its objectives, by how much it breaks each constraint.

    `reached` has the metric by step where any seed was pruned or stopped, and is None where none was. There are no
    values where one was, and where all failed.
    """

    values: tuple[float, ...] | None
    excess: Mapping[str, float]
    reached: Mapping[int, float] | None


def directions(study: Study) -> dict[str, str]:
    """What a valid study searches for, in order: its objectives, or its one metric."""
    return dict(study.objectives) or {study.metric: study.direction}


def deciding(study: Study) -> tuple[str, ...]:
    """The metrics that decide between suggestions of a valid study, the headline first."""
    return tuple(dict.fromkeys((study.metric, *directions(study), *study.constraints)))


def restarts_of(study: Study) -> Restarts:
    """How the trials of a suggestion of a valid study become its replicates, in the search and in the confirmation."""
    return Restarts((*study.seeds, *study.confirm_seeds), study.restarts, study.choose_by)


def replicates(study: Study, ended: Mapping[int, Outcome]) -> list[Outcome]:
    """How each replicate of a suggestion ended, from how the trial of each seed did, once all have.

    One of several restarts is its chosen trial; without one it has failed, and none is pruned or stopped.
    """
    if study.restarts == 1:
        return list(ended.values())
    values = {seed: o.metrics.get(study.choose_by) if isinstance(o, Completed) else None for seed, o in ended.items()}
    none = Failed(f"no restart completed with a value of {study.choose_by}", 0)
    chosen = restarts_of(study).chosen(values).values()
    return [none if seed is None else ended[seed] for seed in chosen]


def objective(outcomes: Sequence[Outcome], metric: str) -> float | None:
    """The mean of the metric over the seeds that completed with a finite value; None when none did."""
    values = [outcome.metrics.get(metric) for outcome in outcomes if isinstance(outcome, Completed)]
    finite = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
    return math.fsum(finite) / len(finite) if finite else None


def score(study: Study, outcomes: Sequence[Outcome]) -> Score | None:
    """None where a metric has no value, or a seed was pruned or stopped: the mean of the rest would flatter it."""
    found = {metric: objective(outcomes, metric) for metric in deciding(study)}
    means = {metric: mean for metric, mean in found.items() if mean is not None}
    if len(means) < len(found) or cut_short(outcomes, study.metric) is not None:
        return None
    return Score(means, {name: bound.excess(means[name]) for name, bound in study.constraints.items()})


def ending(study: Study, outcomes: Sequence[Outcome]) -> Ending:
    """How a suggestion ended, from how each of its seeds did."""
    found = score(study, outcomes)
    values = tuple(found.means[metric] for metric in directions(study)) if found else None
    reached = cut_short(outcomes, study.metric)
    if reached and len(study.objectives) > 1:
        reached = {}  # one metric at a step says nothing of several objectives
    return Ending(values, found.excess if found else {}, reached)


def cut_short(outcomes: Sequence[Outcome], metric: str) -> Mapping[int, float] | None:
    """None where no seed was pruned or stopped; else, by step, the metric's mean over the seeds that were there."""
    short = [outcome for outcome in outcomes if isinstance(outcome, Pruned | Stopped)]
    values: dict[int, list[float]] = {}
    for outcome in short:
        if math.isfinite(value := outcome.metrics.get(metric, math.nan)):
            values.setdefault(outcome.step, []).append(value)
    return {step: math.fsum(v) / len(v) for step, v in sorted(values.items())} if short else None
