"""Figures over a study's settings: score, categories used, rate and distortion, assignments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.data import labels
from analysis.data.axes import Axis, Design
from analysis.data.settings import Interval, Setting
from analysis.figures.equal_elbo import add_equal_elbo
from analysis.figures.style import (
    GREY,
    STYLES,
    Style,
    add_level,
    add_seeds,
    add_series,
    figure,
    points,
    shifts,
    trial_text,
)


def score(
    plan: Design,
    metric: str,
    axis: Axis,
    unused: Interval | None,
    kmeans: Interval | None,
    majority: Interval | None = None,
) -> go.Figure:
    """A metric over a parameter: means with 95 % intervals, every seed a dot, references as level lines."""
    name = labels.metric(metric)
    made = figure(axis, name.title, zero=metric.startswith("accuracy") or metric in ("nmi", "ari"))
    joined = plan.joined and axis is plan.x
    for (line, everywhere), style, shift in zip(plan.lines, STYLES, shifts(axis, len(plan.lines)), strict=False):
        group = [s for s in everywhere if axis.has(s)][:: plan.every]
        add_seeds(made, axis, group, metric, style, shift, plan.dots)
        pts = points(axis, group, lambda s: s.interval(metric), name.short, name.decimals, shift)
        add_series(made, line, pts, style, joined)
    if metric == "accuracy_majority" and unused is not None:
        add_level(made, axis, "unused code (λ = 0)", unused.mean, "dash")
    if metric == "accuracy_majority" and kmeans is not None:
        add_level(made, axis, "k-means on pixels", kmeans.mean, "dot")
    if metric == "accuracy_majority" and majority is not None:
        add_level(made, axis, "majority class", majority.mean, "dashdot")
    return made


def categories_used(plan: Design, axis: Axis, available: int | None) -> go.Figure:
    """Categories with at least 1 % of the held-out images, over a parameter; their number as a level."""
    made = score(plan, "categories_used", axis, None, None)
    made.update_yaxes(rangemode="tozero")
    if available is not None:
        add_level(made, axis, f"all {available} categories", available)
    return made


def rate_distortion(plan: Design) -> go.Figure:
    """Each trial in the plane of rate and distortion, each setting's mean, lines of equal ELBO; best at lower left."""
    made = figure(None, labels.metric("distortion_nats").title)
    made.update_xaxes(title_text=labels.in_plot(labels.metric("rate_nats").title))
    add_equal_elbo(made, [(r["rate_nats"], r["distortion_nats"]) for s in plan.settings for r in s.rows])
    for (line, everywhere), style in zip(plan.lines, STYLES, strict=False):
        group = everywhere[:: plan.every]
        _plane_seeds(made, group, style, plan.dots)
        both = [
            (r, d, s)
            for s in group
            if (r := s.mean("rate_nats")) is not None and (d := s.mean("distortion_nats")) is not None
        ]
        made.add_scatter(
            x=[r for r, _, _ in both], y=[d for _, d, _ in both],
            name=labels.in_plot(line or "mean over seeds"),
            mode="lines+markers" if plan.joined else "markers",
            line={"color": style.colour, "dash": style.dash, "width": 1.25},
            marker={"color": style.colour, "symbol": style.symbol, "size": 10},
            hoverinfo="text", hovertext=[labels.in_plot(labels.setting(s)) for _, _, s in both],
        )  # fmt: skip
    return made


def _plane_seeds(made: go.Figure, group: Sequence[Setting], style: Style, every: int) -> None:
    pairs = [(s, r) for s in group for r in s.rows if r["rate_nats"] is not None and r["distortion_nats"] is not None]
    pairs = pairs[::every]
    texts = [labels.in_plot(trial_text(s, r, "distortion_nats", 2)).replace("\n", "<br>") for s, r in pairs]
    made.add_scatter(
        x=[r["rate_nats"] for _, r in pairs], y=[r["distortion_nats"] for _, r in pairs], mode="markers",
        marker={"color": style.colour, "symbol": style.symbol, "size": 5, "opacity": 0.4},
        hoverinfo="text", hovertext=texts, showlegend=False,
    )  # fmt: skip


def assignments(counts: np.ndarray) -> go.Figure:
    """Held-out images per category (row) and true class (column); rows ordered by their majority class."""
    order = np.lexsort((-counts.sum(axis=1), counts.argmax(axis=1), counts.sum(axis=1) == 0))
    ordered = counts[order]
    made = figure(None, "category")
    made.add_heatmap(
        z=ordered.tolist(), showscale=False,
        colorscale=[[0, "rgba(31,127,196,0.04)"], [1, "rgba(31,127,196,1)"]],
        xgap=1, ygap=1, hovertemplate="category %{customdata}, class %{x}: %{z} images<extra></extra>",
        customdata=np.repeat(order[:, None], counts.shape[1], axis=1).tolist(),
    )  # fmt: skip
    step = max(1, -(-len(order) // 16))
    made.update_yaxes(
        tickvals=list(range(0, len(order), step)), ticktext=[str(c) for c in order[::step]],
        autorange="reversed", showgrid=False,
    )  # fmt: skip
    made.update_xaxes(title_text="true class", dtick=max(1, counts.shape[1] // 10), showgrid=False, linecolor=GREY)
    made.update_xaxes(tickangle=0)
    made.update_layout(height=250, margin={"l": 40, "r": 4, "t": 6, "b": 40}, font_size=10)
    return made
