"""What happened during training: a quantity of the reports over steps, and how sure the code became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.data import labels
from analysis.data.mi_checks import primary
from analysis.data.settings import Setting
from analysis.data.study_results import StudyResults
from analysis.figures.style import GREY, STYLES, figure
from analysis.html.markup import Markup, element, join, plot, wrap
from vmi.spec.trial import Row

Curves = Mapping[str, Sequence[Row]]
MAX_LINES = len(STYLES)
# Quantities of a block's curve, as stored in `curves`, with title and caption.
QUANTITIES = (
    ("mi_paper_{}_nats", "The paper’s bound during training", "ln k + E log Q(soft code|x̂), minibatch means."),
    ("rate_{}_nats", "The code’s KL to its prior during training", "E KL(q(c|x)‖p), minibatch means."),
    ("code_entropy_{}_nats", "The code’s entropy during training", "H of each minibatch’s aggregate posterior."),
)


def section(results: StudyResults, chosen: Sequence[Setting]) -> Markup:
    """Curves of a few settings (means over seeds), and histograms of one seed each; empty where no code is."""
    curves = {row["trial_id"]: results.curve(row) for s in chosen for row in s.rows}
    pieces = [_curve(quantity, chosen, curves, i) for i, quantity in enumerate(QUANTITIES)]
    if not any(pieces):
        return Markup("")
    histograms = [_histogram(s, curves, i) for i, s in enumerate(chosen)]
    parts = [element("h2", "During training"), wrap("div", join(p for p in pieces if p), "grid")]
    if any(histograms):
        text = "Held-out images by the probability of a category (rows, 0 to 1) at each report (columns), first seed. "
        text += "A code that is sure lies at 0 and 1, one that is not used near 1/k."
        parts += [element("h3", "How sure the code became"), element("p", text, "soft")]
        parts.append(wrap("div", join(h for h in histograms if h), "small"))
    return join(parts)


def _curve(quantity: tuple[str, str, str], chosen: Sequence[Setting], curves: Curves, i: int) -> Markup | None:
    pattern, title, caption = quantity
    made, drawn = figure(None, "nats per image"), 0
    made.update_xaxes(title_text="training step")
    for setting, style in zip(chosen, STYLES, strict=False):
        steps, means = mean_curve(setting, curves, pattern)
        if steps:
            drawn += 1
            made.add_scatter(
                x=steps, y=means, name=labels.in_plot(labels.setting(setting)), mode="lines+markers",
                line={"color": style.colour, "dash": style.dash, "width": 2}, marker={"size": 5},
            )  # fmt: skip
    return plot(f"training-{i}", dict(made.to_plotly_json()), title, f"{caption} Means over seeds.") if drawn else None


def mean_curve(setting: Setting, curves: Curves, pattern: str, kind: str = "c") -> tuple[list[int], list[float]]:
    """Steps and means over seeds of the primary block's column; steps that every seed has."""
    block = primary(setting.rows[0], kind)
    if block is None:
        return [], []
    column = pattern.format(block.name)
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
