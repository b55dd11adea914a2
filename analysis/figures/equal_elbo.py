"""Lines of equal ELBO in the plane of rate and distortion: rate + distortion = -ELBO, so they fall at 45 degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.data import labels
from analysis.figures.style import GREY

LINES = 6
ROOM = 0.06


def add_equal_elbo(made: go.Figure, pairs: Sequence[tuple[float | None, float | None]]) -> None:
    """Draw the lines under the points (rate, distortion), and keep the axes to these; nothing without points."""
    whole = [(r, d) for r, d in pairs if r is not None and d is not None]
    if not whole:
        return
    (left, right), (low, high) = (_padded([p[i] for p in whole]) for i in (0, 1))
    levels = _levels(left + low, right + high)
    for i, level in enumerate(levels):
        # Where -ELBO = level leaves the box: through its left or top side, and through its right or bottom side.
        start, end = max(left, level - high), min(right, level - low)
        made.add_scatter(
            x=[start, end], y=[level - start, level - end], mode="lines", name="equal ELBO", showlegend=i == 0,
            legendgroup="equal ELBO", line={"color": GREY, "dash": "dot", "width": 1}, hoverinfo="text",
            hovertext=labels.in_plot(f"ELBO = {labels.value(-level)} nats per image"),
        )  # fmt: skip
        made.add_annotation(
            x=end, y=level - end, text=labels.number(-level, 0 if level.is_integer() else 2), showarrow=False,
            xanchor="right", yanchor="bottom", yshift=2, font={"size": 10},
        )  # fmt: skip
    made.update_xaxes(range=[left, right])
    made.update_yaxes(range=[low, high])


def _padded(values: Sequence[float]) -> tuple[float, float]:
    room = ROOM * (max(values) - min(values)) or 1.0
    return min(values) - room, max(values) + room


def _levels(low: float, high: float) -> list[float]:
    """Round numbers between the corners of the box, at most LINES."""
    rough = (high - low) / LINES
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(decade * k for k in (1, 2, 5, 10) if decade * k >= rough)
    count = math.floor(high / step) - math.ceil(low / step) + 1
    return [round((math.ceil(low / step) + i) * step, 9) for i in range(count)]
