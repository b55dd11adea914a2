"""What is wanted of many points: bounds that they must keep, and which of them no other one beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True)
class Bound:
    """What a metric must keep, low <= metric <= high. Construction never raises.

    Attributes:
        low: None leaves this side open
        high: None leaves this side open
    """

    low: Any = None
    high: Any = None

    def spec(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}

    def excess(self, value: float) -> float:
        """By how much the value breaks the bound; 0 or below where it keeps it."""
        below = self.low - value if self.low is not None else -math.inf
        above = value - self.high if self.high is not None else -math.inf
        return float(max(below, above))

    def __str__(self) -> str:
        sides = (("at least", self.low), ("at most", self.high))
        return " and ".join(f"{word} {_shown(side)}" for word, side in sides if side is not None)


def _shown(side: Any) -> str:
    return f"{side:g}" if isinstance(side, int | float) and abs(side) < 2**53 else repr(side)


def at_least(low: Any) -> Bound:
    """The metric must not be below `low`."""
    return Bound(low=low)


def at_most(high: Any) -> Bound:
    """The metric must not be above `high`."""
    return Bound(high=high)


def front(points: Sequence[Sequence[float]], directions: Sequence[str]) -> list[int]:
    """Indexes of the points that no other one beats: as good in every coordinate and better in one.

    Equal points beat none of each other. In lexicographic order of loss a point can be beaten only by one before it,
    and then by one of the front so far.
    """
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    losses = [tuple(sign * x for sign, x in zip(signs, point, strict=True)) for point in points]
    kept: list[int] = []
    for index in sorted(range(len(losses)), key=losses.__getitem__):
        if not any(_beats(losses[other], losses[index]) for other in kept):
            kept.append(index)
    return sorted(kept)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
