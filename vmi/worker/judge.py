"""The judge of a session: made from what its task says, and told again what it knew where a session resumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vmi.spec.trial import Judge

Observation = tuple[str, int, float]


class Remembering:
    """A judge that keeps what it is told, so that a fresh one can be brought to where it stood.

    `seen` are earlier observations, in their order; what the judge answers to them is known and not asked for again.
    """

    def __init__(self, judge: Judge, seen: Iterable[Observation] = ()) -> None:
        self._judge = judge
        self.seen: list[Observation] = []
        for trial_id, step, value in seen:
            self.stops(trial_id, step, value)

    def stops(self, trial_id: str, step: int, value: float) -> bool:
        """What the judge says; the observation is kept."""
        self.seen.append((trial_id, step, value))
        return self._judge.stops(trial_id, step, value)


def judge_of(pruning: Mapping[str, Any]) -> Judge:
    """The judge that a task's `pruning` describes. Loads Optuna."""
    from vmi.search.optuna_pruner import OptunaJudge

    return OptunaJudge(pruning)
