"""What a cell of a table holds, and how it is written: the same words in the terminal, on the page and in print."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from analysis.data import labels
from analysis.data.settings import Interval

# Digits that page and CSV keep of a number; the Parquet files have all.
DIGITS = 5

Cell = str | int | float | Interval | None


class Head(NamedTuple):
    """A column: the name a reader sees, the name that a CSV gives it, and decimals where its cells are measured."""

    text: str
    key: str
    decimals: int | None = None


def written(cell: Cell, decimals: int | None) -> str:
    """A cell as text: a measured one with its decimals, any other as a parameter's value."""
    if isinstance(cell, Interval):
        return labels.plus_minus(cell, 2 if decimals is None else decimals)
    if decimals is None or isinstance(cell, str):
        return labels.value(cell)
    return labels.number(cell, decimals)


def short(x: float) -> float | int | None:
    """A number as the page keeps it; None where it is none. A whole number stays whole: it is shorter."""
    if not math.isfinite(x):
        return None
    kept = float(f"{x:.{DIGITS}g}")
    return int(kept) if kept.is_integer() and abs(kept) < 1e15 else kept


def measured(cell: Cell) -> Any:
    """A measured cell as JSON: null, a number, or [mean, half of its interval]."""
    if isinstance(cell, Interval):
        half = cell.half_width
        return short(cell.mean) if half is None else [short(cell.mean), short(half)]
    return short(cell) if isinstance(cell, int | float) else None
