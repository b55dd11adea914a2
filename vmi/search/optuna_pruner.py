"""Optuna's pruners as judges of running trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

KEPT, RUNGS = 3, 3  # successive halving keeps one in three at each rung; the first is at 1/27 of the steps
MEDIAN_MEMBERS = 5  # the median of fewer says too little to stop one by


class OptunaJudge:
    """Says of the members that one process trains which should stop: the same answers to the same questions in order.

    `pruning` has the study's pruner and direction, and as `history` the [step, value] pairs of each member of earlier
    packs. Optional: `stopped`, the same of those that were stopped; `spared`, ids that never are; `steps` of every one;
    `groups`, ids of restarts of one replicate: one is stopped only if another that goes on was as good at its step.
    """

    def __init__(self, pruning: Mapping[str, Any]) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spared = frozenset(pruning.get("spared", ()))
        # A fixed name: hyperband draws a trial's bracket from the name and its number.
        self._optuna = optuna.create_study(
            study_name="members",
            direction=StudyDirection[pruning["direction"].upper()],
            pruner=_pruner(pruning["pruner"], pruning.get("steps")),
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._maximize = pruning["direction"] == "maximize"
        self._mates = {one: [i for i in ids if i != one] for ids in pruning.get("groups", ()) for one in ids}
        self._values: dict[str, dict[int, float]] = {}  # of members that go on, by step
        self._members: dict[str, optuna.trial.Trial] = {}
        self._stopped: set[str] = set()
        for state, members in ((TrialState.COMPLETE, "history"), (TrialState.PRUNED, "stopped")):
            for values in pruning.get(members, ()):
                self._past(values, state)

    def stops(self, trial_id: str, step: int, value: float) -> bool:
        """Note the member's value at this step; whether it should stop here. A value that is none never stops it.

        Who has none does not go on, as far as is known: for its sake no other restart is stopped.
        """
        if not math.isfinite(value):
            self._values.pop(trial_id, None)
        elif trial_id not in self._stopped:
            self._values.setdefault(trial_id, {})[step] = value
        if trial_id in self._stopped or trial_id in self._spared or not math.isfinite(value):
            return trial_id in self._stopped
        member = self._members.get(trial_id) or self._members.setdefault(trial_id, self._optuna.ask())
        member.report(value, step)
        if not member.should_prune() or self._is_needed(trial_id, step, value):
            return False
        self._stopped.add(trial_id)
        self._values.pop(trial_id)
        self._optuna.tell(member, state=TrialState.PRUNED)
        return True

    def _is_needed(self, trial_id: str, step: int, value: float) -> bool:
        """It is a restart, and no other of its replicate that goes on was as good at this step."""
        mates = self._mates.get(trial_id)
        if mates is None:
            return False
        others = [seen[step] for mate in mates if step in (seen := self._values.get(mate, {}))]
        return not any(other >= value if self._maximize else other <= value for other in others)

    def _past(self, values: Sequence[Sequence[float]], state: TrialState) -> None:
        """A member of an earlier pack: the pruner is asked at each step, as successive halving notes its rungs then."""
        member = self._optuna.ask()
        for step, value in values:
            member.report(float(value), int(step))
            member.should_prune()
        last = float(values[-1][1]) if values and state == TrialState.COMPLETE else None
        self._optuna.tell(member, last, state=state if values else TrialState.FAIL)


def _pruner(name: str, steps: int | None) -> optuna.pruners.BasePruner:
    first = max(1, steps // KEPT**RUNGS) if steps else None
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=MEDIAN_MEMBERS, n_min_trials=MEDIAN_MEMBERS)
    if name == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first or "auto", reduction_factor=KEPT)
    return optuna.pruners.HyperbandPruner(min_resource=first or 1, max_resource=steps or "auto", reduction_factor=KEPT)
