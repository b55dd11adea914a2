"""The one interval over seeds that the whole project shows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % Student-t interval.

    Attributes:
        mean: of the values
        low: end of the interval; None where there is one value
        high: the other end
        count: number of values
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def half_width(self) -> float | None:
        return None if self.high is None else self.high - self.mean

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ± {self.half_width:.3f}" if self.half_width is not None else "")


def interval(values: Iterable[float], level: float = LEVEL) -> Interval | None:
    """mean +- t_{(1+level)/2, n-1} s / sqrt(n), s the sample standard deviation; Student's t, as seeds are few.

    Exact for independent Normal values of unknown variance. The ends are not clipped to a metric's range. One value:
    no ends. No finite value: None.
    """
    from scipy.special import stdtrit  # scipy.stats is the same quantile, and a second of imports

    x = np.asarray([v for v in values if math.isfinite(v)], dtype=np.float64)
    if x.size == 0:
        return None
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, None, None, 1)
    half = float(stdtrit(x.size - 1, (1 + level) / 2) * x.std(ddof=1) / math.sqrt(x.size))
    return Interval(mean, mean - half, mean + half, int(x.size))
