"""The plots among the paper's figures: across λ, during training, and the one-hot code, presets beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import methodcaller

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.data import labels
from analysis.data.axes import Axis
from analysis.data.classes import SHARE, unbalanced
from analysis.data.preset_groups import Group
from analysis.data.settings import Setting
from analysis.figures import information as figures_mi
from analysis.figures.style import GREY, STYLES, add_level, add_series, figure, plotted, points, shifts
from analysis.findings.published import published
from analysis.html.markup import Markup, plot, wrap
from analysis.paper.scene import Scene
from analysis.sections.curves import histogram, mean_curve

MAX_CATEGORIES = 20
_COLUMNS = 2
_ROW_HEIGHT = 68
BARS = "Means over seeds with 95 % intervals."


def across_weights(scene: Scene, name: str) -> Iterator[Markup]:
    """Accuracy, and the card of each block that the paper speaks of, over presets with their λ."""
    axis, labelled = _axis(scene.group)
    if any(s.values("accuracy_majority") for s in labelled):
        yield plot(
            f"{name}-accuracy", plotted(_two_lines(_accuracy(axis, labelled, scene.group), axis)), "Accuracy", BARS
        )
    for kind in _kinds(scene.group):
        made = _two_lines(figures_mi.card(axis, labelled, False, kind, scene.broken), axis)
        block = scene.group.block(kind)
        yield plot(f"{name}-{kind}", plotted(made), f"Information of {block.name if block else kind}", BARS)


def curves(scene: Scene, name: str, pattern: str, cap: bool) -> Iterator[Markup]:
    """One line per preset, means over seeds, of the primary block's column in the reports of training."""
    for kind in _kinds(scene.group):
        made, drawn, block = figure(None, "nats per image"), 0, scene.group.block(kind)
        for (preset, setting), style in zip(scene.group.settings.items(), STYLES, strict=False):
            steps, means = mean_curve(setting, scene.curves, pattern, kind)
            drawn += bool(steps)
            made.add_scatter(
                x=steps, y=means, name=labels.in_plot(scene.group.label(preset)), mode="lines+markers",
                line={"color": style.colour, "dash": style.dash, "width": 2},
                marker={"size": 6, "symbol": style.symbol},
            )  # fmt: skip
        if drawn and block:
            if cap and block.is_categorical:
                made.add_hline(y=block.max_entropy_nats, line={"color": GREY, "dash": "dot", "width": 1.5})
            made.update_xaxes(title_text="training step")
            text = f" Dotted: ln {block.size}." if cap and block.is_categorical else ""
            yield plot(
                f"{name}-{kind}", plotted(made), f"Block {block.name}", f"Minibatch means, means over seeds.{text}"
            )


def probabilities(scene: Scene, name: str) -> Markup | None:
    """Histograms of q(c|x) at each report, one heat map per preset."""
    block = scene.group.block("c")
    made = []
    for preset, row in scene.rows.items():
        column = f"probabilities_{block.name}" if block else ""
        reports = [r for r in scene.curves[row["trial_id"]] if r.get(column) is not None]
        if reports:
            heat = histogram(np.asarray([r[column] for r in reports]).T, [r["step"] for r in reports])
            made.append(plot(f"{name}-{preset}", plotted(heat), scene.group.label(preset), f"Seed {row['seed']}."))
    return wrap("div", Markup("\n".join(made)), "medium") if made else None


def one_hot(scene: Scene, name: str) -> Markup | None:
    """A bar chart of true classes per category, one figure per preset, on one scale."""
    block = scene.group.block("c")
    counts = {p: a for p in scene.rows if block and (a := scene.array(p, f"assignments_{block.name}")) is not None}
    top = max((int(a.max()) for a in counts.values()), default=0)
    made = [
        plot(f"{name}-{p}", plotted(bars(a[:MAX_CATEGORIES], top)), scene.group.label(p), _bars_text(a, scene, p))
        for p, a in counts.items()
    ]
    return wrap("div", Markup("\n".join(made)), "medium") if made else None


def bars(counts: np.ndarray, top: int) -> go.Figure:
    """Counts [C, classes] as C small bar charts over the classes, y from 0 to `top` in all."""
    rows = -(-len(counts) // _COLUMNS)
    titles = [f"category {c}" for c in range(len(counts))]
    made = make_subplots(rows, _COLUMNS, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.25 / rows)
    made.update_layout(**figure(None, "").layout.to_plotly_json() | {"xaxis": {}, "yaxis": {}})
    for c, count in enumerate(counts):
        made.add_bar(
            x=list(range(len(count))), y=count.tolist(), row=c // _COLUMNS + 1, col=c % _COLUMNS + 1,
            marker={"color": STYLES[0].colour, "line": {"width": 0}},
            hovertemplate=f"category {c}, class %{{x}}: %{{y}} images<extra></extra>",
        )  # fmt: skip
    step = max(1, counts.shape[1] // 10)
    grid = {"gridcolor": "rgba(138,143,152,.22)", "zeroline": False, "fixedrange": True}
    made.update_yaxes(range=[0, 1.05 * top or 1], tickvals=[_round(top)], **grid)
    made.update_xaxes(
        dtick=step, linecolor=GREY, showline=True, tickangle=0, showgrid=False, zeroline=False, fixedrange=True
    )
    made.update_xaxes(title_text="true class", row=rows)
    made.update_annotations(font={"size": 10, "color": GREY})
    margin = {"l": 40, "r": 4, "t": 18, "b": 40}
    made.update_layout(height=_ROW_HEIGHT * rows + 58, margin=margin, font_size=10, showlegend=False, bargap=0.2)
    return made


def _round(top: int) -> int:
    """The largest of 1, 2, 5 times a power of ten that is at most `top`, 1 at least: one tick that can be read."""
    power = 10 ** (len(str(top)) - 1)
    return max((digit * power for digit in (1, 2, 5) if digit * power <= top), default=1)


def _bars_text(counts: np.ndarray, scene: Scene, preset: str) -> str:
    few = f" The first {MAX_CATEGORIES} of {len(counts)} categories." if len(counts) > MAX_CATEGORIES else ""
    accuracy = labels.number(scene.rows[preset].get("accuracy_majority"), 3)
    return f"Seed {scene.rows[preset]['seed']}, held-out accuracy {accuracy}.{few}"


def _kinds(group: Group) -> list[str]:
    """The kinds of block whose MI is maximised, or the categorical one where none is."""
    found = [k for k in ("c", "n") if (b := group.block(k)) is not None and b.informed]
    return found or ["c"] * (group.block("c") is not None)


def _axis(group: Group) -> tuple[Axis, list[Setting]]:
    """Presets as ticks, named with their λ, and the settings at these places."""
    names = [group.label(preset) for preset in group.settings]
    axis = Axis("preset", "preset and its MI weight λ", False, False, tuple(names))
    return axis, [replace(s, params=(("preset", n),)) for n, s in zip(names, group.settings.values(), strict=True)]


def _two_lines(made: go.Figure, axis: Axis) -> go.Figure:
    """Ticks as "paper" above "λ = 2, η = 0": on one line they would overlap on a phone."""
    return made.update_xaxes(
        ticktext=[labels.in_plot(v).replace(": ", "<br>").replace(", ", "<br>") for v in axis.values]
    )


def _accuracy(axis: Axis, labelled: Sequence[Setting], group: Group) -> go.Figure:
    made = figure(axis, "accuracy (majority vote)", zero=True)
    series = (("held-out", "accuracy_majority"), ("training set", "accuracy_train"))
    for (name, metric), style, shift in zip(series, STYLES, shifts(axis, 2), strict=False):
        found = points(axis, labelled, methodcaller("interval", metric), name, 3, shift)
        add_series(made, name, found, style, False)
    theirs = [
        (i, f)
        for i, p in enumerate(group.settings)
        if (f := published(group.dataset, group.layout, p, "accuracy_train"))
    ]
    if theirs:
        made.add_scatter(
            x=[i for i, _ in theirs], y=[f.value for _, f in theirs], name="published, training set", mode="markers",
            marker={"color": GREY, "symbol": "x", "size": 10}, hoverinfo="text",
            hovertext=[labels.in_plot(f"{f.value:g}: {f.source}") for _, f in theirs],
        )  # fmt: skip
    kmeans = [v for s in labelled for v in s.values("accuracy_kmeans")]
    if kmeans:
        add_level(made, axis, "k-means on pixels", sum(kmeans) / len(kmeans))
    majority = [v for s in labelled for v in s.values(SHARE)]
    if unbalanced(row for s in labelled for row in s.rows):
        add_level(made, axis, "majority class", sum(majority) / len(majority), "dashdot")
    return made
