"""The section on a search: which of the searched parameters matter, and how far that can be trusted."""

from __future__ import annotations

import plotly.graph_objects as go

from analysis.data import importance, labels
from analysis.data.axes import Design
from analysis.data.importance import Importance
from analysis.data.settings import Setting
from analysis.data.study_results import StudyResults
from analysis.figures.style import STYLES, figure, plotted
from analysis.findings.findings import Findings
from analysis.html.markup import Markup, element, join, plot, table

# Below this the forest says little of suggestions that it has not seen, and so its importances say little too.
POOR_FIT = 0.2
SURE = 0.95


def section(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """Parameter importance of a search, and of a grid that is large enough; empty for any other."""
    several = bool(plan.searched) and len(plan.searched[0].params) > 1
    enough = len(plan.searched) >= importance.MIN_SUGGESTIONS
    searched = results.spec.get("searcher", "grid") != "grid"
    if found.score is None or not (searched or (several and enough)) or not plan.searched:
        return Markup("")
    head = element("h2", "Which parameters matter")
    if not several:
        return join([head, element("p", "One parameter varied, so there is nothing to weigh it against.")])
    made = importance.importance(plan.searched, found.score, results.spec)
    if made is None:
        return join([head, element("p", _too_few(plan.searched, found.score), "note")])
    name = labels.metric(found.score).short
    first, word = made.losses[0], "depends most on" if _is_sure(made) else "may depend most on"
    title = f"{name[0].upper()}{name[1:]} {word} {labels.symbol(first.name)}"
    caption = "R² that a forest loses on suggestions it had not seen when the parameter’s values are shuffled among "
    caption += "them; above 1 where a shuffled guess is worse than the mean. "
    caption += f"Bars: 95 % of {importance.RESAMPLES} bootstrap samples of the suggestions."
    drawn = plot("importance", plotted(picture(made)), title, caption)
    return join([head, element("p", _trust(made), "soft"), drawn, _table(made)])


def picture(made: Importance) -> go.Figure:
    """Importances with their intervals, the greatest on top."""
    losses = made.losses[::-1]
    drawn = figure(None, "")
    drawn.add_scatter(
        x=[s.median for s in losses], y=[labels.in_plot(labels.symbol(s.name)) for s in losses], mode="markers",
        marker={"color": STYLES[0].colour, "symbol": STYLES[0].symbol, "size": 10}, showlegend=False,
        error_x={
            "type": "data", "symmetric": False, "thickness": 1.25, "width": 3,
            "array": [s.high - s.median for s in losses], "arrayminus": [s.median - s.low for s in losses],
        },
        hoverinfo="text", hovertext=[labels.in_plot(f"{labels.symbol(s.name)}: {_loss(s.median, s)}") for s in losses],
    )  # fmt: skip
    drawn.update_xaxes(title_text="loss of R²", rangemode="tozero")
    drawn.update_yaxes(type="category")
    drawn.update_layout(height=90 + 34 * len(losses))
    return drawn


def _loss(median: float, s: importance.Loss) -> str:
    return f"{labels.number(median)} ({labels.number(s.low)} to {labels.number(s.high)})"


def _is_sure(made: Importance) -> bool:
    return made.fit[1] >= POOR_FIT and made.losses[0].first >= SURE


def _trust(made: Importance) -> str:
    low, median, high = (labels.number(v) for v in made.fit)
    text = f"From the means of {labels.plural(made.used, 'suggestion')}"
    text += f", drawn at random from {made.suggestions:,}" if made.used < made.suggestions else ""
    text += f". On suggestions that it had not seen, the forest’s R² is {median} (95 % of resamples: {low} to {high})"
    if made.fit[1] < POOR_FIT:
        return f"{text}: it predicts them poorly, so these importances say little."
    first = made.losses[0]
    order = f"{labels.symbol(first.name)} comes first in {100 * first.first:.0f} % of resamples"
    order += "" if first.first >= SURE else ", so which comes first is not decided"
    return f"{text}. {order}. An importance is of the range that was searched, and says nothing of an effect’s sign."


def _table(made: Importance) -> Markup:
    rows = [("", [labels.symbol(s.name), _loss(s.median, s), f"{100 * s.first:.0f} %"]) for s in made.losses]
    heads = ["parameter", "loss of R² (95 % of resamples)", "came first in"]
    return table(heads, rows, "Importance of the searched parameters.", 1)


def _too_few(found: tuple[Setting, ...], metric: str) -> str:
    count = sum(1 for s in found if s.mean(metric) is not None)
    if count >= importance.MIN_SUGGESTIONS:
        return "All suggestions have the very same score, so no parameter can matter."
    have = labels.plural(count, "suggestion with a score", "suggestions with a score")
    return f"Too few to say: {have}, and an importance takes {importance.MIN_SUGGESTIONS} at least."
