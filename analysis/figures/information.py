"""The MI card as a figure: all that speaks of mutual information, over one parameter, with the cap ln K."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from analysis.data import labels
from analysis.data.axes import Axis
from analysis.data.mi_checks import Measure, Violation, of_block, primary
from analysis.data.settings import Setting
from analysis.figures.style import DODGE, RED, STYLES, Style, add_level, add_series, figure, points, shifts


class Quantity(NamedTuple):
    """One line of the card."""

    name: str
    measure: Measure
    style: Style
    metric: str


def _quantity(name: str, quantity: str, kind: str, style: Style) -> Quantity:
    return Quantity(name, of_block(quantity, kind), style, f"{quantity}_nats")


def card(axis: Axis, group: Sequence[Setting], joined: bool, kind: str, broken: Sequence[Violation]) -> go.Figure:
    """The card of the primary block of a kind ("c", "n") for one line; violations as red crosses."""
    made = figure(axis, "nats per image", zero=True)
    drawn = [q for q in quantities(kind) if any(q.measure(s) is not None for s in group)]
    for quantity, shift in zip(drawn, shifts(axis, len(drawn), DODGE / 2), strict=True):
        pts = points(axis, group, quantity.measure, quantity.name, 2, shift)
        add_series(made, quantity.name, pts, quantity.style, joined)
    cap = _cap(group) if kind == "c" else None
    if cap is not None:
        add_level(made, axis, f"ln {cap[0]} = {cap[1]:.2f}", cap[1])
    _crosses(made, axis, group, kind, broken)
    return made


def quantities(kind: str) -> list[Quantity]:
    """The lines of the card of a kind of block."""
    blue, orange, green, purple, _, sky = STYLES
    if kind == "c":
        return [
            _quantity("I_q(x;c), exact", "mi_encoder", kind, blue),
            _quantity("rate", "rate", kind, green),
            _quantity("real-image bound", "mi_real_bound", kind, sky),
            _quantity("decoder bound, of I(c;x̂)", "mi_decoder_bound", kind, purple),
            _quantity("the paper’s bound", "mi_paper", kind, orange),
        ]
    return [
        _quantity("I_q(x;z), lower bound", "mi_encoder_lower", kind, blue),
        _quantity("I_q(x;z), upper bound", "mi_encoder_upper", kind, sky),
        _quantity("rate", "rate", kind, green),
        _quantity("decoder bound, of I(z;x̂)", "mi_decoder_bound", kind, purple),
        _quantity("the paper’s bound", "mi_paper", kind, orange),
    ]


def _cap(group: Sequence[Setting]) -> tuple[int, float] | None:
    """(K, ln K) where all settings share one K."""
    blocks = {(b.size, b.max_entropy_nats) for s in group if (b := primary(s.rows[0], "c")) is not None}
    return blocks.pop() if len(blocks) == 1 else None


def _crosses(made: go.Figure, axis: Axis, group: Sequence[Setting], kind: str, broken: Sequence[Violation]) -> None:
    home = {
        (row["trial_id"], block.name): setting
        for setting in group
        if (block := primary(setting.rows[0], kind)) is not None
        for row in setting.rows
    }
    here = [(v, home[v.trial_id, v.block]) for v in broken if (v.trial_id, v.block) in home]
    if not here:
        return
    texts = [f"not {v.what}: by {v.excess_nats:.3g} nats; trial {v.trial_id}" for v, _ in here]
    made.add_scatter(
        x=[axis.position(setting) for _, setting in here], y=[v.value_nats for v, _ in here], mode="markers",
        name="violates a bound", marker={"color": RED, "symbol": "x", "size": 11}, hoverinfo="text",
        hovertext=[labels.in_plot(text) for text in texts],
    )  # fmt: skip
