"""Trials that a store has as failed, for a reason that another start need not have: real rows, by the real recorder."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.spec.config import TrialConfig
from vmi.spec.resolving import resolve
from vmi.spec.trial import Cost, Failed, Report, Trial

REASON = "out of memory at step 7"


def trial_of(**fields: object) -> Trial:
    config: TrialConfig = resolve(fields)
    return Trial(config.trial_id, config.suggestion_id, config)


def store_failed(root: Path, study: str, trials: Iterable[Trial], attempt: int = 1, reason: str = REASON) -> None:
    """Store that these trials, of one layout and data set, have failed at step 7, with a report of step 2 each."""
    chosen = list(trials)
    config = chosen[0].config
    clock = lambda: datetime.now(UTC)  # noqa: E731
    recorder = ParquetRecorder(Store(root, study), (config.layout,), config.dataset, attempt, clock)
    for trial in chosen:
        recorder.write(Report(trial.trial_id, 2, {"distortion_nats": 1.0}))
        recorder.finish(trial, Failed(reason, 7), Cost(1.0, "old", 1, attempt, "cpu", "{}"))
    recorder.commit()
