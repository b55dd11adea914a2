"""Restarts: seeds in groups, in each of which the trial that is best by an unsupervised metric is the one replicate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vmi.spec.intervals import Interval
from vmi.spec.metrics import METRICS

Group = tuple[int, ...]


class Restarts(NamedTuple):
    """How the trials of a setting become its replicates.

    seeds      in their order, cut into groups of `size`; those of the search, then those of the confirmation
    size       how many seeds form a group; 1: every seed is a replicate of its own
    choose_by  the metric by which the one trial of a group is chosen, better in its own record's direction
    """

    seeds: tuple[int, ...] = ()
    size: int = 1
    choose_by: str = ""

    @property
    def groups(self) -> Iterator[Group]:
        """The whole groups: a rest of fewer seeds is none."""
        return (self.seeds[i : i + self.size] for i in range(0, len(self.seeds) - self.size + 1, self.size))

    def chosen(self, values: Mapping[int, float | None]) -> dict[Group, int | None]:
        """The chosen seed of each group of which `values` has a seed: by `choose_by` of those trials that completed.

        Of equal ones the lowest seed. None where no trial of the group has a finite value.
        """
        direction = METRICS[self.choose_by].direction if self.choose_by in METRICS else ""
        sign = {"maximize": -1.0, "minimize": 1.0}.get(direction, math.nan)
        found: dict[Group, int | None] = {}
        for group in (g for g in self.groups if not values.keys().isdisjoint(g)):
            losses = [(sign * v, seed) for seed in group if (v := values.get(seed)) is not None]
            able = [(loss, seed) for loss, seed in losses if math.isfinite(loss)]
            found[group] = min(able)[1] if able else None
        return found

    def said(self, every: Interval, chosen: Interval) -> str:
        """The mean of all trials beside that of the chosen ones, each by its name."""
        return (
            f"all trials: {every} (n = {every.count}); "
            f"chosen of {self.size} by {self.choose_by}: {chosen} (n = {chosen.count})"
        )
