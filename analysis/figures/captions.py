"""The figures of a report with their titles and captions: each title says the message, made from the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.data import labels
from analysis.data.axes import Axis, Design
from analysis.data.mi_checks import MAX_TOLD_IDLE, idle, primary, verdict
from analysis.data.settings import Setting
from analysis.figures import information as figures_mi
from analysis.figures import scores as figures
from analysis.figures.style import plotted, share_y
from analysis.findings.findings import Findings
from analysis.html.markup import Markup, join, plot, wrap
from vmi.spec.trial import Row

MAX_NAMED = 4
ENDS = "Bars: 95 % interval over seeds."


def scores(plan: Design, found: Findings) -> Markup:
    """The study's metric over each x axis, and the accuracy where that is another metric."""
    have = [
        m for m in dict.fromkeys((found.score, "accuracy_majority")) if m and any(s.values(m) for s in plan.settings)
    ]
    pieces = []
    for metric in have:
        for i, axis in enumerate(plan.axes):
            made = figures.score(plan, metric, axis, found.unused, found.kmeans, found.majority)
            pieces.append(
                plot(
                    f"score-{metric}-{i}",
                    plotted(made),
                    _score_title(metric, axis, plan, found),
                    f"{_score_caption(plan, axis)} {labels.saw_labels([metric])}",
                )
            )
    return _grid(pieces)


def information(plan: Design, found: Findings) -> Markup:
    """MI cards per line: of categorical blocks, of Normal ones if informed or alone; then categories used."""
    pieces = []
    for kind in ("c", "n"):
        shown = [(name, group) for name, group in plan.lines if _shows(group, kind)]
        drawn = [_drawn(plan, group, found) for _, group in shown]
        cards = [figures_mi.card(plan.x, group, plan.joined, kind, found.violations) for group in drawn]
        share_y(cards)
        for i, ((name, group), made) in enumerate(zip(shown, cards, strict=True)):
            title, caption = _card_title(name, group, kind), _card_caption(kind) + left_out(plan, dots=False)
            caption += f" {labels.saw_labels([q.metric for q in figures_mi.quantities(kind)])}"
            pieces.append(plot(f"mi-{kind}-{i}", plotted(made), title, caption))
    if any(s.values("categories_used") for s in plan.settings):
        pieces.append(_used(plan))
    return _grid(pieces)


def _drawn(plan: Design, group: Sequence[Setting], found: Findings) -> list[Setting]:
    """Every so many-th setting, and each in which something is violated."""
    broken = {v.trial_id for v in found.violations}
    return [s for i, s in enumerate(group) if i % plan.every == 0 or any(r["trial_id"] in broken for r in s.rows)]


def plane(plan: Design) -> Markup:
    """Rate against distortion."""
    caption = "Small dots: trials. Large ones: means over seeds. Along a dotted line the ELBO, −(rate + distortion), "
    caption += "is the number at its end; lower left is better on both." + left_out(plan)
    caption += f" {labels.saw_labels(['rate_nats', 'distortion_nats'])}"
    made, title = figures.rate_distortion(plan), "What the latents cost, and what they buy"
    return plot("rate-distortion", plotted(made), title, caption)


def left_out(plan: Design, dots: bool = True) -> str:
    """What a figure of very many settings does not draw, as a sentence for its caption."""
    settings = f"every {labels.ordinal(plan.every)} setting" if plan.every > 1 else ""
    trials = f"every {labels.ordinal(plan.dots)} trial of these as a dot" if dots and plan.dots > 1 else ""
    drawn = " and ".join(part for part in (settings, trials) if part)
    return f" Drawn: {drawn}; all are in the tables." if drawn else ""


def _grid(pieces: Sequence[Markup]) -> Markup:
    return wrap("div", join(pieces), "grid" if len(pieces) > 1 else "")


def _score_title(metric: str, axis: Axis, plan: Design, found: Findings) -> str:
    name = labels.metric(metric)
    leaders = found.leaders if metric == found.score and axis is plan.x else ()
    start = f"{name.short[0].upper()}{name.short[1:]}"
    if not 0 < len(leaders) <= MAX_NAMED:
        return f"{start} over {axis.title}"
    said = [f"{labels.plus_minus(s.interval(metric), name.decimals)}, at {labels.setting(s)}" for s in leaders]
    return f"{start}: {'leading in the search' if found.confirms else 'best'} {'; '.join(said)}"


def _score_caption(plan: Design, axis: Axis) -> str:
    if axis.continuous:
        text = f"Every trial a faint dot, means over seeds strong. {ENDS} Other parameters vary from dot to dot."
        return text + left_out(plan)
    several = (
        ""
        if (axis is plan.x and plan.joined) or not axis.name
        else " Settings that share a place differ in other parameters."
    )
    return f"Means over seeds; faint dots are single seeds. {ENDS}{several}{left_out(plan)}"


def _shows(group: Sequence[Setting], kind: str) -> bool:
    blocks = [b for s in group if (b := primary(s.rows[0], kind)) is not None]
    metric = "mi_encoder_nats" if kind == "c" else "mi_encoder_lower_nats"
    informed = kind == "c" or any(b.informed for b in blocks) or not any(primary(s.rows[0], "c") for s in group)
    return informed and any(s.values(metric) for s in group)


def _card_title(name: str, group: Sequence[Setting], kind: str) -> str:
    start = f"{name}: " if name else ""
    if kind == "n":
        return f"{start}information of the Normal block" if name else "Information of the Normal block"
    fallen = [s for s in group if verdict(s) == "collapse"]
    if fallen:
        return f"{start}the paper’s bound hides a collapse {_where(fallen, group)}"
    top = max(((m, s) for s in group if (m := s.mean("mi_encoder_nats")) is not None), key=lambda pair: pair[0])
    block = primary(top[1].rows[0], "c")
    cap = f" of ln {block.size} = {labels.number(block.max_entropy_nats)}" if block else ""
    return f"{start}I_q(x;c) reaches {labels.number(top[0])}{cap} nats"


def _where(fallen: Sequence[Setting], group: Sequence[Setting]) -> str:
    weights = list(dict.fromkeys(labels.value(s.get("mi_weight")) for s in fallen))
    if len(weights) > MAX_NAMED or fallen[0].get("mi_weight") is None:
        return f"in {len(fallen)} of {labels.plural(len(group), 'setting')}"
    return f"at λ = {labels.listed(weights)}"


def _card_caption(kind: str) -> str:
    if kind == "n":
        text = "I_q(x;z) lies between its lower and upper bound, and below the rate. "
        return f"{text}The decoder’s bound is of I(z;x̂), another quantity. {ENDS}"
    return (
        "Real-image bound ≤ I_q(x;c) ≤ rate must hold. The decoder’s bound is of I(c;x̂), another quantity, "
        f"and the paper’s bound can stay high when I_q(x;c) is gone. {ENDS}"
    )


def _used(plan: Design) -> Markup:
    sizes = {b.size for s in plan.settings if (b := primary(s.rows[0], "c")) is not None}
    available = sizes.pop() if len(sizes) == 1 else None
    told = [idle(s) for s in plan.settings if s.values("categories_used") and primary(s.rows[0], "c")]
    made = figures.categories_used(plan, plan.x, None if None in told else available)
    caption = f"Categories to which at least 1 % of the held-out images are assigned. {ENDS}{left_out(plan)}"
    caption += f" Of more than {MAX_TOLD_IDLE} not all can be: their count says nothing of idle ones." * (None in told)
    caption += f" {labels.saw_labels(['categories_used'])}"
    return plot("categories-used", plotted(made), _used_title(told), caption)


def _used_title(told: Sequence[bool | None]) -> str:
    if count := told.count(True):
        return f"Categories lie idle in {labels.plural(count, 'setting')}"
    return "Categories with 1 % of the images" if None in told else "Every category is used in every setting"


def assignment_plots(chosen: Sequence[tuple[Setting, Row, np.ndarray]]) -> Iterator[Markup]:
    """One heat map per (setting, row, counts by block name)."""
    for i, (setting, row, counts) in enumerate(chosen):
        made = plotted(figures.assignments(counts))
        accuracy = labels.number(row.get("accuracy_majority"), 3)
        yield plot(f"assignments-{i}", made, labels.setting(setting), f"Seed {row['seed']}, accuracy {accuracy}.")
