"""Which trial under way leads, by what it has reported so far. It is no result, and ranks nothing that is finished."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from vmi.spec.metrics import CURVE_METRICS, JUDGED, METRICS
from vmi.spec.trial import Report
from vmi.study.study import Study


class By(NamedTuple):
    """What trials under way are compared by: a column of `curves`, which way is better, and what it is called."""

    column: str
    direction: str
    name: str


class Leading(NamedTuple):
    """The best trial under way: its newest value, from the report at `step`, of the `rank`-th of what is compared."""

    trial_id: str
    step: int
    value: float
    rank: int


ELBO = By("elbo_nats", "maximize", "elbo_nats")


def judged_by(study: Study) -> tuple[str, str]:
    """The metric that trials are stopped early by, and its direction.

    Within a group of restarts the choice is by another metric than between suggestions: trials are stopped by it.
    """
    if study.restarts == 1:
        return study.metric, study.direction
    return study.choose_by, METRICS[study.choose_by].direction


def compared_by(study: Study) -> tuple[By, ...]:
    """What trials under way of a valid study are compared by, the first of these that any of them has reported."""
    own = By(study.metric, study.direction, study.metric) if study.metric in CURVE_METRICS else ELBO
    if not study.pruner:
        return (own,)
    metric, direction = judged_by(study)
    return By(JUDGED, direction, f"{metric} as judged"), own


class Race:
    """The newest value of each trial under way, of each metric that they are compared by."""

    def __init__(self, by: Sequence[By]) -> None:
        self._by = tuple(by)
        self._newest: list[dict[str, tuple[int, float]]] = [{} for _ in self._by]

    def note(self, reports: Iterable[Report]) -> None:
        """Reports, those of one trial in their order; a value that is absent or no number tells nothing."""
        for report in reports:
            for by, newest in zip(self._by, self._newest, strict=True):
                value = report.metrics.get(by.column)
                if value is not None and math.isfinite(value):
                    newest[report.trial_id] = report.step, float(value)

    def leader(self, ended: Collection[str] = ()) -> Leading | None:
        """The best of those that have not ended; None where none of them has a value."""
        for rank, newest in enumerate(self._newest):
            found = [Leading(i, step, value, rank) for i, (step, value) in newest.items() if i not in ended]
            if found:
                return first(found, self._by)
        return None


def first(leading: Iterable[Leading], by: Sequence[By]) -> Leading | None:
    """The best of the leading trials of several packs; None of none."""
    return min(leading, key=lambda one: (one.rank, _sign(by[one.rank]) * one.value), default=None)


def _sign(by: By) -> float:
    return -1.0 if by.direction == "maximize" else 1.0
