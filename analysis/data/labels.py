"""How parameters, metrics and numbers are written for a reader; and how any text is made inert."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import Any

from analysis.data.settings import Interval, Setting
from vmi.spec.config import FIELDS
from vmi.spec.errors import printable
from vmi.spec.metrics import METRICS, Metric


def symbol(parameter: str) -> str:
    return (FIELDS[parameter].symbol if parameter in FIELDS else "") or parameter


def axis_title(parameter: str) -> str:
    return (FIELDS[parameter].label if parameter in FIELDS else "") or parameter.replace("_", " ")


def metric(name: str) -> Metric:
    """The metric's record; a block's own column is called by its own name, its unit from that name."""
    if name in METRICS:
        return METRICS[name]
    unit = "nats" if name.endswith("_nats") else ""
    plain = name.removesuffix("_nats").replace("_", " ")
    return Metric(unit, "", plain, f"{plain} ({unit})" if unit else plain)


def value(v: Any) -> str:
    """A parameter's value as text; control characters shown as escapes."""
    if v is None:
        return "–"
    return f"{v:.4g}" if isinstance(v, float) else printable(str(v)).replace("\n", "\\n")


def setting(s: Setting) -> str:
    """A setting's parameters as a phrase, those that it has: "λ = 4, η = 1"."""
    return ", ".join(f"{symbol(n)} = {value(v)}" for n, v in s.params if v is not None) or "the one setting"


def number(x: float | None, decimals: int = 2) -> str:
    """Fixed decimals with a true minus sign; an en dash for None. Tiny or huge numbers go scientific."""
    if x is None or not math.isfinite(x):
        return "–"
    text = f"{x:.{decimals}f}" if abs(x) < 1e6 else f"{x:.3g}"
    return text.replace("-", "−") if float(text) != 0 else text.removeprefix("-")


def plus_minus(i: Interval | None, decimals: int = 2) -> str:
    """ "0.742 ± 0.031"; the mean alone where there is no interval."""
    if i is None:
        return "–"
    half = f" ± {number(i.half_width, decimals)}" if i.half_width is not None else ""
    return number(i.mean, decimals) + half


def from_to(i: Interval, decimals: int = 2, replicate: str = "seed") -> str:
    """ "95 % interval 0.711 to 0.773, 5 seeds", or that one seed gives none."""
    if i.low is None:
        return f"1 {replicate}, so no interval"
    return f"95 % interval {number(i.low, decimals)} to {number(i.high, decimals)}, {i.count} {replicate}s"


def saw_labels(metrics: Iterable[str]) -> str:
    """Which of these metrics looked at labels and how, from their records, and that the others did not."""
    ways: dict[str, list[str]] = {}
    names = list(metrics)
    for name in names:
        ways.setdefault(metric(name).labels, []).append(metric(name).short)
    blind = ways.pop("", [])
    if not ways:
        return "No label was looked at." if blind else ""
    looked = "; ".join(f"{listed(shorts)} ({way})" for way, shorts in ways.items())
    return f"Looked at labels: {looked}.{' Nothing else did.' if blind else ''}"


def plural(count: int, noun: str, many: str = "") -> str:
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def ordinal(count: int) -> str:
    """ "2nd", "13th"."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{count}{'th' if 10 < count % 100 < 14 else ends.get(count % 10, 'th')}"


def listed(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def limited(count: int, limit: int, noun: str) -> str:
    """What a caption says of rows that are not shown; empty where all are."""
    return f" The first {limit:,} of {count:,} {noun}; all are in the Parquet files." if count > limit else ""


def plain(text: object) -> str:
    """Text for HTML: markup escaped, control characters shown."""
    return html.escape(printable(str(text)))


def in_plot(text: object) -> str:
    """Text for a Plotly label, which reads a small HTML of its own."""
    return html.escape(printable(str(text)), quote=False)
