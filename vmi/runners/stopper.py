"""Who says which trials that nobody has begun are to be stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from vmi.spec.trial import Row, Trial
from vmi.study.study import Study


class Stopper(Protocol):
    """Knows which trials a user has asked to stop (`vmi stop`)."""

    def news(self) -> bool:
        """Whether there are requests that were not there when this was asked last."""

    def stop(self, study: Study, waiting: Sequence[Trial]) -> Mapping[str, Row]:
        """The rows, durable by now, of those of these trials, which nobody has begun, that were asked to stop."""


class Nobody:
    """The stopper of a study that no user steers."""

    def news(self) -> bool:
        return False

    def stop(self, study: Study, waiting: Sequence[Trial]) -> Mapping[str, Row]:
        return {}
