"""The recorder protocol: where reports and outcomes of one pack go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from vmi.spec.trial import Cost, Outcome, Report, Trial


class Committed(NamedTuple):
    """The rows of `trials` and `curves` that a commit has made durable, with every column of the table."""

    trials: tuple[Mapping[str, Any], ...]
    curves: tuple[Mapping[str, Any], ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The trials that are now finished."""
        return tuple(row["trial_id"] for row in self.trials)


class Recorder(Protocol):
    """Takes what a pack yields. A trial is *finished* only once `commit` has returned its row."""

    def write(self, report: Report) -> None:
        """Keep one report of a trial's curve."""

    def finish(self, trial: Trial, outcome: Outcome, cost: Cost) -> None:
        """Keep how a trial ended."""

    def commit(self) -> Committed:
        """Make everything kept of ended trials durable; the rows of the trials that are now finished."""
