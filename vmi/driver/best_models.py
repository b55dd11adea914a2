"""`--keep-models best`: packs go as soon as none of their trials can be the best of its setting any more."""

from __future__ import annotations

import math
from collections.abc import Iterable

from vmi.results.kept_models import KeptModels
from vmi.results.store import Store
from vmi.spec.metrics import METRICS
from vmi.study.study import Study
from vmi.worker.messages import Ended

BEST = "best"


class BestModels:
    """What has ended so far, and what of its models is to stay; does nothing where all or none are kept.

    The best trial of a setting is that by the study's metric and direction, with restarts that by `choose_by`. A trial
    whose row is durable is all that counts, so that a kill at any moment loses no model that would be the best.
    """

    def __init__(self, study: Study, store: Store, keep: str) -> None:
        self._kept = KeptModels(store) if keep == BEST else None
        chosen = study.restarts > 1
        self._metric = study.choose_by if chosen else study.metric
        direction = METRICS[study.choose_by].direction if chosen else study.direction
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._losses: dict[str, float | None] = {}

    def note(self, ended: Iterable[Ended]) -> None:
        """These trials have a row."""
        if self._kept is not None:
            self._losses |= {one.trial_id: self._loss(one) for one in ended}

    def thin(self) -> str:
        """Remove what may go; what to be warned of, empty where that is nothing."""
        try:
            if self._kept is not None:
                self._kept.thin(self._losses)
        except OSError as error:  # what it would have saved is space
            return f"kept models could not be thinned, the next start does: {error}"
        return ""

    def _loss(self, ended: Ended) -> float | None:
        if ended.outcome != "completed":
            return None
        return self._sign * ended.metrics.get(self._metric, math.nan)
