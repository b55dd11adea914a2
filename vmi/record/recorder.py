"""The recorder protocol: where reports and outcomes of one pack go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vmi.trial import Cost, Outcome, Report, Trial


class Recorder(Protocol):
    """Takes what a pack yields. A trial is *finished* only once `commit` has returned its id."""

    def write(self, report: Report) -> None:
        """Keep one report of a trial's curve."""

    def finish(self, trial: Trial, outcome: Outcome, cost: Cost) -> None:
        """Keep how a trial ended."""

    def commit(self) -> Sequence[str]:
        """Make everything kept so far durable; the ids of the trials that are now finished."""
