"""What happened during training: a quantity of the reports over steps, and how sure the code became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from analysis.data import labels, under_way
from analysis.data.mi_checks import primary
from analysis.data.settings import Setting
from analysis.data.study_results import StudyResults
from analysis.figures.style import GREY, HEIGHT, STYLES, Style, figure
from analysis.html.markup import Markup, element, join, plot, wrap
from vmi.spec.trial import Row

Curves = Mapping[str, Sequence[Row]]
MAX_LINES = len(STYLES)
# Of the lines of a figure, those that are kept for settings of which no trial has completed yet.
NEW_LINES = MAX_LINES // 3
# Pixels of a line in the legend, which scrolls where it takes more than half of a figure.
LEGEND_LINE = 21
# Quantities of a block's curve, as stored in `curves`, with title and caption.
QUANTITIES = (
    ("mi_paper_{}_nats", "The paper’s bound during training", "ln k + E log Q(soft code|x̂), minibatch means."),
    ("rate_{}_nats", "The code’s KL to its prior during training", "E KL(q(c|x)‖p), minibatch means."),
    ("code_entropy_{}_nats", "The code’s entropy during training", "H of each minibatch’s aggregate posterior."),
)
# What trials under way are told by where their curves do not hold the study's metric.
ELBO = ("elbo_nats", "The ELBO during training", "−(distortion + rate), relaxed codes, minibatch means.")


class Line(NamedTuple):
    """A setting as it is drawn; `reached` says how far it is where it is under way, and is empty otherwise."""

    setting: Setting
    name: str
    style: Style
    reached: str


def room(results: StudyResults, finished: Sequence[Setting]) -> int:
    """How many finished settings a figure draws beside those of which trials are under way alone."""
    running, compared, spec = results.under_way, results.compared, results.spec
    known = {*map(under_way.beside(running, compared, spec), finished)} if running else set()
    new = [s for s in under_way.settings(running, compared, spec) if s.params not in known]
    return MAX_LINES - min(NEW_LINES, len(new))


def section(results: StudyResults, chosen: Sequence[Setting]) -> Markup:
    """Curves of a few settings (means over seeds), and histograms of one seed each; empty where no code is.

    What is under way is drawn beside them as unfinished, each setting in the colour of its finished trials.
    """
    rows = [row for s in chosen for row in s.rows]
    curves = {row["trial_id"]: results.curve(row) for row in (*rows, *results.under_way)}
    lines, left_out = _lines(results, chosen, curves)
    pieces = [_curve(f"training-{i}", quantity, lines, curves) for i, quantity in enumerate(QUANTITIES)]
    pieces = [_curve("training-elbo", ELBO, lines, curves) if results.under_way else None, *pieces]
    if not any(pieces) and not results.under_way:
        return Markup("")
    histograms = [_histogram(s, curves, i) for i, s in enumerate(chosen)]
    parts = [element("h2", "During training")]
    parts += [element("p", _told(results, left_out), "note soft")] if results.under_way else []
    parts.append(wrap("div", join(p for p in pieces if p), "grid"))
    if any(histograms):
        text = "Held-out images by the probability of a category (rows, 0 to 1) at each report (columns), first seed. "
        text += "A code that is sure lies at 0 and 1, one that is not used near 1/k."
        parts += [element("h3", "How sure the code became"), element("p", text, "soft")]
        parts.append(wrap("div", join(h for h in histograms if h), "small"))
    return join(parts)


def _told(results: StudyResults, left_out: int) -> str:
    """What is to be known of the lines that are no results."""
    text = f"{labels.plural(len(results.under_way), 'trial')} under way at the last checkpoint, drawn dotted and light."
    text += " No setting, mean, interval, finding or best of this page counts what is unfinished."
    return text + (f" {labels.plural(left_out, 'setting')} not drawn: too many, or no report yet." if left_out else "")


def _lines(results: StudyResults, chosen: Sequence[Setting], curves: Curves) -> tuple[list[Line], int]:
    """The lines of a figure, and how many settings under way have none: a colour is that of one setting alone."""
    running, compared, spec = results.under_way, results.compared, results.spec
    if not running:
        return [Line(s, labels.setting(s), style, "") for s, style in zip(chosen, STYLES, strict=False)], 0
    params = under_way.beside(running, compared, spec)
    renamed = [replace(s, params=params(s)) for s in chosen]
    styles = {s.params: style for s, style in zip(renamed, STYLES, strict=False)}
    lines = [Line(s, labels.setting(s), styles[s.params], "") for s in renamed if s.params in styles]
    free, every = list(STYLES[len(styles) :]), under_way.settings(running, compared, spec)
    for setting in every:
        reporting = replace(setting, rows=tuple(row for row in setting.rows if curves[row["trial_id"]]))
        style = styles.get(setting.params) or (free.pop(0) if free and reporting.rows else None)
        if style and reporting.rows:
            lines.append(Line(reporting, labels.setting(setting), style, under_way.reached(reporting)))
    return lines, len(every) - sum(bool(line.reached) for line in lines)


def _curve(name: str, quantity: tuple[str, str, str], lines: Sequence[Line], curves: Curves) -> Markup | None:
    pattern, title, caption = quantity
    made, drawn = figure(None, "nats per image"), 0
    made.update_xaxes(title_text="training step")
    for line in lines:
        steps, means = mean_curve(line.setting, curves, pattern)
        if steps:
            drawn += 1
            # On two lines, as a phone cuts off what is long.
            said = ", <br>".join(labels.in_plot(text) for text in (line.name, line.reached) if text)
            made.add_scatter(x=steps, y=means, name=said, mode="lines+markers", **_look(line))
    made.update_layout(height=max(HEIGHT, 2 * LEGEND_LINE * sum(1 + bool(line.reached) for line in lines)))
    return plot(name, dict(made.to_plotly_json()), title, f"{caption} Means over seeds.") if drawn else None


def _look(line: Line) -> dict[str, Any]:
    """How a line is drawn: what is under way dotted and light, with open marks."""
    colour = line.style.colour
    if line.reached:
        look = {"line": {"color": colour, "dash": "dot", "width": 1.5}, "marker": {"size": 6, "symbol": "circle-open"}}
        return {**look, "opacity": 0.7}
    return {"line": {"color": colour, "dash": line.style.dash, "width": 2}, "marker": {"size": 5}}


def mean_curve(setting: Setting, curves: Curves, pattern: str, kind: str = "c") -> tuple[list[int], list[float]]:
    """Steps and means over seeds of the primary block's column, or of a trial's; steps that every seed has."""
    block = primary(setting.rows[0], kind)
    if block is None and "{}" in pattern:
        return [], []
    column = pattern.format(block.name if block else "")
    by_seed = [
        {r["step"]: r[column] for r in curves[row["trial_id"]] if r.get(column) is not None} for row in setting.rows
    ]
    steps = sorted(set.intersection(*(set(seen) for seen in by_seed))) if by_seed else []
    return steps, [float(np.mean([seen[step] for seen in by_seed])) for step in steps]


def _histogram(setting: Setting, curves: Curves, i: int) -> Markup | None:
    row = min(setting.rows, key=lambda r: r["seed"])
    block = primary(row, "c")
    column = f"probabilities_{block.name}" if block else ""
    reports = [r for r in curves[row["trial_id"]] if r.get(column) is not None]
    if not reports:
        return None
    made = histogram(np.asarray([r[column] for r in reports]).T, [r["step"] for r in reports])
    return plot(f"certainty-{i}", dict(made.to_plotly_json()), labels.setting(setting), f"Seed {row['seed']}.")


def histogram(counts: np.ndarray, steps: Sequence[int]) -> go.Figure:
    """Counts [bins, reports] as a heat map on a logarithmic scale."""
    made = figure(None, "q(c|x)")
    bins = counts.shape[0]
    made.add_heatmap(
        z=np.log1p(counts).tolist(), x=[str(step) for step in steps], y=[(b + 0.5) / bins for b in range(bins)],
        showscale=False, colorscale=[[0, "rgba(31,127,196,0.04)"], [1, "rgba(31,127,196,1)"]],
        customdata=counts.tolist(), hovertemplate="step %{x}, q near %{y}: %{customdata}<extra></extra>",
    )  # fmt: skip
    made.update_xaxes(title_text="step", type="category", nticks=4, showgrid=False, linecolor=GREY, tickangle=0)
    made.update_yaxes(showgrid=False)
    made.update_layout(height=250, margin={"l": 40, "r": 4, "t": 6, "b": 40}, font_size=10)
    return made
