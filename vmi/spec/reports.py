"""When a member reports, and which of its steps a GPU takes by a graph. Loads no torch."""

from __future__ import annotations

from itertools import pairwise

# A training reports at least so often, and one that is long up to MOST_REPORTS times, for a curve worth looking at: how
# often is no part of a trial's identity.
REPORTS, MOST_REPORTS = 10, 100
STEPS_BETWEEN_REPORTS = 100
# Shares of its steps after which a judge is asked about a member: see docs/decisions/training.md.
RUNGS = (0.2, 0.4, 0.6)
# Warming up, capturing and making a graph take about as long as so many steps: fewer at a time are run as they are.
# A guess.
LEAST_STEPS = 20


def report_steps(steps: int, reports: int = REPORTS) -> tuple[int, ...]:
    """The steps, counted from 1, after which a member reports: evenly apart, the last one always.

    `reports` of them, each stretch between two cut into equal parts of STEPS_BETWEEN_REPORTS or more where steps are
    many, to MOST_REPORTS in all.
    """
    marks = _least(steps, reports)
    parts = max(1, min(steps // (reports * STEPS_BETWEEN_REPORTS), MOST_REPORTS // reports))
    return tuple(a + (b - a) * part // parts for a, b in pairwise((0, *marks)) for part in range(1, parts + 1))


def rungs(steps: int, reports: int = REPORTS) -> tuple[int, ...]:
    """The reports at which a judge is asked: those nearest to the shares RUNGS of the steps, never the last one.

    Of those that a training has at least, so that what a judge saw does not depend on how often is reported.
    """
    early = _least(steps, reports)[:-1]
    return tuple(sorted({min(early, key=lambda step: abs(step - share * steps)) for share in RUNGS if early}))


def _least(steps: int, reports: int) -> tuple[int, ...]:
    every = max(1, steps // reports)
    return (*range(every, steps - every + 1, every), steps)


def launched_steps(steps: int, reports: int = REPORTS) -> int:
    """How many of its steps a pack takes one by one on a GPU: all before the first LEAST_STEPS between two reports."""
    stretches = pairwise((0, *report_steps(steps, reports)))
    return next((begun for begun, mark in stretches if mark - begun >= LEAST_STEPS), steps)
