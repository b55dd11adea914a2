"""Judges for the tests of pruning: deterministic, and without a library."""

from __future__ import annotations

from collections.abc import Collection


class Never:
    """Stops nothing, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, float]] = []

    def stops(self, trial_id: str, step: int, value: float) -> bool:
        self.told.append((trial_id, step, value))
        return False


class These(Never):
    """Stops these trials at their first report at or after `step`; all of them where none are named."""

    def __init__(self, trial_ids: Collection[str] = (), step: int = 0) -> None:
        super().__init__()
        self.trial_ids, self.step = trial_ids, step

    def stops(self, trial_id: str, step: int, value: float) -> bool:
        super().stops(trial_id, step, value)
        return step >= self.step and (not self.trial_ids or trial_id in self.trial_ids)


class BelowMean(Never):
    """Stops what is below the mean of everything that was told of the same step before, so all it was told matters."""

    def stops(self, trial_id: str, step: int, value: float) -> bool:
        before = [seen for _, at, seen in self.told if at == step]
        super().stops(trial_id, step, value)
        return bool(before) and value < sum(before) / len(before)
