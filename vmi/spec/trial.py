"""The few types that everything speaks: what is to be trained, what was seen, how it ended. Standard library only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from vmi.spec.config import TrialConfig

Value = str | int | float
# One row of a table of results, by column.
Row = Mapping[str, Any]
# How a trial may have ended, best first.
OUTCOMES = ("completed", "pruned", "stopped", "failed")
# After these a trial may be trained again, where that is asked for.
RETRIABLE = ("stopped", "failed")
# These ended before their last step, by a pruner or by a user.
CUT_SHORT = ("pruned", "stopped")
Metrics = Mapping[str, float]


class Suggestion(NamedTuple):
    """One point of the search space, as the searcher proposed it; its seeds are replicates of it."""

    suggestion_id: str
    params: Mapping[str, Value]


class Trial(NamedTuple):
    """One suggestion with one seed. `trial_id` is a hash of the configuration and of the data set's fingerprint."""

    trial_id: str
    suggestion_id: str
    config: TrialConfig


def row_of(trial: Trial) -> dict[str, Any]:
    """What a row of `trials` will have of the trial whatever comes of it: ids and configuration."""
    return {"trial_id": trial.trial_id, "suggestion_id": trial.suggestion_id, **vars(trial.config)}


class PackSpec(NamedTuple):
    """Trials of one Architecture that are trained as one program.

    `retried` has, where they are trials that have failed or were stopped and are tried again, the attempt of each one's
    row.
    """

    pack_id: str
    trials: tuple[Trial, ...]
    retried: Mapping[str, int] = MappingProxyType({})

    def missing(self, finished: Collection[str], failed: Mapping[str, int]) -> tuple[Trial, ...]:
        """Those of its trials that it is to train: they are not finished, and have failed as it knows, or not at all.

        `failed` has the attempt of each row, of a failed or stopped trial, that is not to count. A pack that does not
        know of it has trained its trial already, and would hand out the old failure again.
        """
        unfinished = (trial for trial in self.trials if trial.trial_id not in finished)
        return tuple(t for t in unfinished if self.retried.get(t.trial_id) == failed.get(t.trial_id))


class Report(NamedTuple):
    """What one trial saw since its last report: means over the minibatches up to and including `step`.

    `histograms` holds, for each categorical block, how many of q(c|x) of some held-out images lie in each of
    `vmi.spec.arrays.HISTOGRAM_BINS` bins over [0, 1], at this step.
    """

    trial_id: str
    step: int
    metrics: Metrics
    histograms: Mapping[str, Sequence[int]] = MappingProxyType({})


class Completed(NamedTuple):
    """The trial was trained to its end. Metrics are held-out unless named otherwise; arrays are NumPy arrays."""

    step: int
    metrics: Metrics
    arrays: Mapping[str, Any]


class Pruned(NamedTuple):
    """A pruner ended the trial early, with what it had reached (on a part of the images) and the reason."""

    step: int
    metrics: Metrics
    reason: str = ""


class Stopped(NamedTuple):
    """A user stopped the trial (`vmi stop`), with what it had reached (on a part of the images) and who it was."""

    step: int
    metrics: Metrics
    reason: str = ""


class Failed(NamedTuple):
    """The trial broke, e.g. Failed("loss became NaN at step 1200", 1200)."""

    reason: str
    step: int


class Judge(Protocol):
    """Says whether a trial is to be pruned, from what it and others have reached."""

    def stops(self, trial_id: str, step: int, value: float) -> bool:
        """Note the trial's value at this step, not a number where it broke; whether it should stop here."""


Outcome = Completed | Pruned | Stopped | Failed


def metrics_of(row: Row) -> Metrics:
    """Every number of a stored row of `trials`, its metrics among them."""
    return {name: float(v) for name, v in row.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def outcome_of(row: Row) -> Outcome:
    """How the trial of a stored row of `trials` ended; its arrays are not in it."""
    step = int(row["step"] or 0)
    if row["outcome"] == "failed":
        return Failed(row["reason"] or "", step)
    if row["outcome"] == "completed":
        return Completed(step, metrics_of(row), {})
    kind = Stopped if row["outcome"] == "stopped" else Pruned
    return kind(step, metrics_of(row), row["reason"] or "")


class Cost(NamedTuple):
    """What a trial cost and where it ran.

    `train_seconds` is its share of the seconds of the steps that its pack took while it was a member: no loading, no
    evaluation, no report, checkpoint or commit.
    """

    train_seconds: float
    pack_id: str
    pack_size: int
    attempt: int
    device: str
    versions: str
