"""When a member reports, and which of its steps a card takes by a graph. Loads no torch."""

from __future__ import annotations

from itertools import pairwise

REPORTS = 10
# Shares of its steps after which a judge is asked about a member: see "Decisions" in CONTRIBUTING.md.
RUNGS = (0.2, 0.4, 0.6)
# Warming up, capturing and making a graph take about as long as so many steps: fewer at a time are run as they are.
# A guess.
LEAST_STEPS = 20


def report_steps(steps: int, reports: int = REPORTS) -> tuple[int, ...]:
    """The steps, counted from 1, after which a member reports: evenly apart, the last one always."""
    every = max(1, steps // reports)
    return (*range(every, steps - every + 1, every), steps)


def rungs(steps: int, reports: int = REPORTS) -> tuple[int, ...]:
    """The reports at which a judge is asked: those nearest to the shares RUNGS of the steps, never the last one."""
    early = report_steps(steps, reports)[:-1]
    return tuple(sorted({min(early, key=lambda step: abs(step - share * steps)) for share in RUNGS if early}))


def launched_steps(steps: int, reports: int = REPORTS) -> int:
    """How many of its steps a pack takes one by one on a card: all before the first LEAST_STEPS between two reports."""
    stretches = pairwise((0, *report_steps(steps, reports)))
    return next((begun for begun, mark in stretches if mark - begun >= LEAST_STEPS), steps)
