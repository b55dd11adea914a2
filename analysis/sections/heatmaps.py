"""Heat maps over two swept numbers, such as λ and τ: one panel per layout and whatever else varies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import plotly.graph_objects as go

from analysis.data import labels
from analysis.data.axes import MAX_TICKS, Design
from analysis.data.settings import Interval, Setting, gathered
from analysis.figures.style import figure, plotted
from analysis.findings.findings import Findings
from analysis.html.markup import Markup, element, join, plot, wrap

MAX_PANELS = 24
# More cells than this leave no room for what is written in them.
MAX_WRITTEN = 36
# Light to less light, in one hue: read in grey, by the colour-blind, and under one dark text on either page.
SCALE = ("#f4f8fc", "#57a3dd")
INK = "#14171b"
INFORMATION = "mi_encoder_nats"


class Panel(NamedTuple):
    """The settings that agree in everything but a pair of parameters, by the values of that pair (x, y)."""

    name: str
    x: str
    y: str
    columns: tuple[Any, ...]
    rows: tuple[Any, ...]
    cells: Mapping[tuple[Any, Any], Setting]


def section(plan: Design, found: Findings) -> Markup:
    """The panels of every pair of numeric parameters with few values; empty where there are not two."""
    made = [panel for pair in pairs(plan) for panel in panels(plan, *pair)]
    metrics = [m for m in dict.fromkeys((found.score, INFORMATION)) if m and any(s.values(m) for s in plan.settings)]
    if not made or not metrics:
        return Markup("")
    # One pair at a time and, within it, one metric at a time: what shares a scale stands together.
    shown, left = made[:MAX_PANELS], len(made) - len(made[:MAX_PANELS])
    grids = [wrap("div", join(_plots(shown, metric, i)), "maps") for i, metric in enumerate(metrics)]
    text = "A cell is the mean over the seeds of one setting, ± half of its 95 % interval, n seeds. "
    text += f"Panels of a quantity share one scale. {labels.saw_labels(metrics)}"
    if left:
        text += f" Left out: {labels.plural(left, 'further panel')}; their settings are in the table below."
    return join([element("h2", "Two parameters at a time"), element("p", text, "soft"), *grids])


def pairs(plan: Design) -> list[tuple[str, str]]:
    """Pairs of swept parameters whose values are numbers and few; the one with more values is x."""
    names = [name for name, _ in (plan.settings[0].params if plan.settings else ()) if name not in plan.apart]
    values = {name: _values(plan.settings, name) for name in names}
    numeric = {
        name: found
        for name, found in values.items()
        if 2 <= len(found) <= MAX_TICKS and all(isinstance(v, int | float) for v in found)
    }
    return [(a, b) if len(numeric[a]) >= len(numeric[b]) else (b, a) for a, b in combinations(numeric, 2)]


def panels(plan: Design, x: str, y: str) -> Iterator[Panel]:
    """One panel per combination of the other parameters; those with a single cell show nothing that varies."""
    names = [name for name, _ in plan.settings[0].params if name not in (x, y)] if plan.settings else []
    placed = [s for s in plan.settings if s.get(x) is not None and s.get(y) is not None]
    for key, members in gathered((tuple(s.get(name) for name in names), s) for s in placed).items():
        cells = {(s.get(x), s.get(y)): s for s in members}
        columns, rows = (tuple(sorted({pair[i] for pair in cells})) for i in (0, 1))
        if len(columns) > 1 and len(rows) > 1:
            rest = tuple(zip(names, key, strict=True))
            yield Panel(labels.setting(Setting(rest, ())) if rest else "", x, y, columns, rows, cells)


def _values(found: Sequence[Setting], name: str) -> set[Any]:
    return {v for s in found if (v := s.get(name)) is not None}


def _plots(shown: Sequence[Panel], metric: str, i: int) -> Iterator[Markup]:
    means = [m for panel in shown for s in panel.cells.values() if (m := s.mean(metric)) is not None]
    for k, panel in enumerate(shown):
        made = picture(panel, metric, (min(means), max(means)))
        yield plot(f"heatmap-{i}-{k}", plotted(made), _title(panel, metric), _caption(panel, metric))


def picture(panel: Panel, metric: str, ends: tuple[float, float]) -> go.Figure:
    """Means by colour between `ends`, written into the cells where these are few."""
    found = [[_interval(panel, metric, x, y) for x in panel.columns] for y in panel.rows]
    made = figure(None, labels.symbol(panel.y))
    few = len(panel.columns) * len(panel.rows) <= MAX_WRITTEN
    made.add_heatmap(
        z=[[None if i is None else i.mean for i in row] for row in found], zmin=ends[0], zmax=ends[1],
        x=[labels.in_plot(labels.value(v)) for v in panel.columns],
        y=[labels.in_plot(labels.value(v)) for v in panel.rows],
        text=[[_written(i, metric) for i in row] for row in found], texttemplate="%{text}" if few else None,
        colorscale=[[0, SCALE[0]], [1, SCALE[1]]], textfont_color=INK, xgap=2, ygap=2,
        hoverongaps=False, showscale=not few,
        hovertemplate=f"{labels.in_plot(labels.symbol(panel.x))} = %{{x}}, {labels.in_plot(labels.symbol(panel.y))} "
        "= %{y}<br>%{text}<extra></extra>",
    )  # fmt: skip
    made.update_xaxes(type="category", title_text=labels.in_plot(labels.symbol(panel.x)), showgrid=False, tickangle=0)
    made.update_yaxes(type="category", showgrid=False)
    height = 92 + 44 * len(panel.rows)
    made.update_layout(height=height, margin={"l": 44, "r": 4, "t": 6, "b": 44}, font_size=12)
    return made


def _interval(panel: Panel, metric: str, x: Any, y: Any) -> Interval | None:
    setting = panel.cells.get((x, y))
    return setting.interval(metric) if setting else None


def _written(found: Interval | None, metric: str) -> str:
    if found is None:
        return ""
    mean = labels.number(found.mean, labels.metric(metric).decimals)
    half = "" if found.half_width is None else f"±{labels.number(found.half_width, labels.metric(metric).decimals)} "
    return f"{mean}<br>{half}n={found.count}"


def _title(panel: Panel, metric: str) -> str:
    name = labels.metric(metric).short
    start = f"{name[0].upper()}{name[1:]}, {labels.symbol(panel.x)} and {labels.symbol(panel.y)}"
    return f"{start}: {panel.name}" if panel.name else start


def _caption(panel: Panel, metric: str) -> str:
    judged = [(m, s) for s in panel.cells.values() if (m := s.mean(metric)) is not None]
    empty = len(panel.columns) * len(panel.rows) - len(judged)
    decimals = labels.metric(metric).decimals
    if not judged:
        return "No cell has a value."
    low, high = min(judged, key=lambda pair: pair[0]), max(judged, key=lambda pair: pair[0])
    said = [f"{labels.number(m, decimals)} at {_place(panel, s)}" for m, s in (low, high)]
    missing = f" Without a value: {labels.plural(empty, 'cell')}." if empty else ""
    return f"From {said[0]} to {said[1]}.{missing}"


def _place(panel: Panel, setting: Setting) -> str:
    return ", ".join(f"{labels.symbol(n)} = {labels.value(setting.get(n))}" for n in (panel.x, panel.y))
