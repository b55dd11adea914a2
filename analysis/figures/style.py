"""The look that all figures share: palette, axes, and one series of settings with its intervals and seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from analysis.data import labels
from analysis.data.axes import Axis
from analysis.data.settings import Interval, Setting
from vmi.spec.trial import Row


class Style(NamedTuple):
    """Colour, dash and symbol together, so that none carries the meaning alone."""

    colour: str
    dash: str
    symbol: str


# After Okabe and Ito, shifted so that each colour stands out on a light and on a dark page.
STYLES = (
    Style("#1f7fc4", "solid", "circle"),
    Style("#d9691e", "dash", "diamond"),
    Style("#0f9d78", "dashdot", "square"),
    Style("#b85c9e", "dot", "triangle-up"),
    Style("#c98f00", "longdash", "triangle-down"),
    Style("#4fb0e0", "longdashdot", "pentagon"),
)
GREY = "#8a8f98"
RED = "#d1102e"
HEIGHT = 380
# Shares of the distance between five ticks: lines stand beside each other, and seeds beside their mean.
DODGE, SEED_SHIFT = 0.12, 0.05


class Point(NamedTuple):
    """One mean with its interval at a place on the x axis."""

    x: float
    interval: Interval
    text: str


def figure(axis: Axis | None, y_title: str, *, zero: bool = False) -> go.Figure:
    """An empty figure: transparent, so that the page shows through, with x ticks as the axis says."""
    text = {"family": "system-ui, sans-serif", "size": 13, "color": GREY}
    made = go.Figure()
    made.update_layout(
        template=None, height=HEIGHT, font=text, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 56, "r": 12, "t": 16, "b": 52}, hovermode="closest", dragmode=False,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.03, "yanchor": "bottom"},
    )  # fmt: skip
    lines = {"gridcolor": "rgba(138,143,152,.22)", "linecolor": GREY, "zeroline": False, "automargin": True}
    made.update_xaxes(**lines, fixedrange=True, showline=True, ticks="outside", tickcolor=GREY, title_font_size=13)
    made.update_yaxes(
        **lines, fixedrange=True, title_text=labels.in_plot(y_title), title_standoff=8, title_font_size=13
    )
    if zero:
        made.update_yaxes(rangemode="tozero")
    if axis is not None:
        _ticks(made, axis)
    return made


def _ticks(made: go.Figure, axis: Axis) -> None:
    made.update_xaxes(title_text=labels.in_plot(axis.title))
    if axis.continuous:
        made.update_xaxes(type="log" if axis.log else "linear")
        if axis.log:
            ticks = _log_ticks(min(axis.values), max(axis.values))
            made.update_xaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
        return
    texts = [labels.in_plot(labels.value(v)) if axis.name else "" for v in axis.values]
    made.update_xaxes(tickvals=list(range(len(texts))), ticktext=texts, showgrid=False, range=[-0.5, len(texts) - 0.5])


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 per decade over up to two and a half decades, powers of ten beyond."""
    digits = (1, 2, 5) if math.log10(high / low) <= 2.5 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**decade for decade in decades for digit in digits]


def points(
    axis: Axis,
    group: Sequence[Setting],
    of: Callable[[Setting], Interval | None],
    name: str,
    decimals: int,
    shift: float,
) -> list[Point]:
    """A line's points, in the order of x; settings without the metric are left out."""
    found = []
    for setting in group:
        interval = of(setting)
        if interval is not None:
            text = f"{name}: {labels.plus_minus(interval, decimals)} (n = {interval.count})"
            found.append(Point(_moved(axis, setting, shift), interval, f"{labels.setting(setting)}\n{text}"))
    return sorted(found, key=lambda p: p.x)


def add_series(made: go.Figure, name: str, pts: Sequence[Point], style: Style, joined: bool) -> None:
    """Means with 95 % intervals as error bars, joined by a line where x is ordered."""
    if not pts:
        return
    bars = [_short(p.interval.half_width or 0.0) for p in pts]
    made.add_scatter(
        x=[p.x for p in pts], y=[_short(p.interval.mean) for p in pts], name=labels.in_plot(name),
        mode="lines+markers" if joined and len(pts) > 1 else "markers",
        line={"color": style.colour, "dash": style.dash, "width": 2.25},
        marker={"color": style.colour, "symbol": style.symbol, "size": 8},
        error_y={"type": "data", "array": bars, "visible": any(bars), "thickness": 1.25, "width": 3},
        hoverinfo="text", hovertext=[_hover(p.text) for p in pts], showlegend=bool(name),
    )  # fmt: skip


def add_seeds(
    made: go.Figure, axis: Axis, group: Sequence[Setting], metric: str, style: Style, shift: float, every: int = 1
) -> None:
    """Every trial, or every so many-th, as a faint dot beside its setting's mean."""
    pairs = [(s, row) for s in group for row in s.rows if row.get(metric) is not None][::every]
    if not pairs:
        return
    decimals = labels.metric(metric).decimals
    texts = [_hover(trial_text(setting, row, metric, decimals)) for setting, row in pairs]
    shift += SEED_SHIFT * _unit(axis)
    made.add_scatter(
        x=[_moved(axis, s, shift) for s, _ in pairs], y=[_short(row[metric]) for _, row in pairs],
        mode="markers", marker={"color": style.colour, "symbol": style.symbol, "size": 5, "opacity": 0.4},
        hoverinfo="text", hovertext=texts, showlegend=False,
    )  # fmt: skip


def add_level(made: go.Figure, axis: Axis, name: str, y: float, dash: str = "dot", colour: str = GREY) -> None:
    """A reference line across the whole axis, named in the legend."""
    span = [min(axis.values), max(axis.values)] if axis.continuous else [-0.5, len(axis.values) - 0.5]
    made.add_scatter(
        x=span, y=[y, y], name=labels.in_plot(name), mode="lines",
        line={"color": colour, "dash": dash, "width": 1.5}, hoverinfo="text", hovertext=_hover(name),
    )  # fmt: skip


def share_y(figures: Sequence[go.Figure]) -> None:
    """One y range for figures that are read beside each other: all of their values with error bars, and 0."""
    ends = [0.0]
    for trace in (trace for made in figures for trace in made.data):
        bars = trace.error_y.array or [0.0] * len(trace.y)
        ends += [y + sign * bar for y, bar in zip(trace.y, bars, strict=True) for sign in (-1, 1)]
    room = 0.05 * (max(ends) - min(ends)) or 1.0
    for made in figures:
        made.update_yaxes(range=[min(ends) - room * (min(ends) < 0), max(ends) + room])


def shifts(axis: Axis, count: int, width: float = DODGE) -> list[float]:
    """Sideways places of `count` lines around their tick; none where x is to scale: they would be false."""
    step = 0.0 if axis.continuous else min(width * _unit(axis), 0.6 / max(count, 1))
    return [(i - (count - 1) / 2) * step for i in range(count)]


def _unit(axis: Axis) -> float:
    """Ticks stand far apart when they are few; what is beside a tick should not."""
    return min(1.0, len(axis.values) / 5)


def trial_text(setting: Setting, row: Row, metric: str, decimals: int) -> str:
    value = labels.number(row[metric], decimals)
    return f"{labels.setting(setting)}\nseed {row['seed']}: {value}\n{row['trial_id']}"


def _moved(axis: Axis, setting: Setting, shift: float) -> float:
    return axis.position(setting) + (0.0 if axis.continuous else shift)


def _short(x: float) -> float:
    return float(f"{x:.5g}")


def _hover(text: str) -> str:
    return "<br>".join(labels.in_plot(line) for line in text.split("\n"))


def plotted(made: go.Figure) -> dict[str, Any]:
    """The figure as plain JSON values."""
    return dict(made.to_plotly_json())
