"""The section of a report on several objectives and on what was confirmed: the front as figure and table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import plotly.graph_objects as go

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.goals import Goals, goals_of, rivals
from analysis.data.settings import Interval, Setting
from analysis.data.study_results import StudyResults
from analysis.figures.style import GREY, RED, STYLES, figure, plotted
from analysis.findings.confirmation import Confirmed, confirmed, why_none
from analysis.findings.findings import Findings
from analysis.html.markup import Markup, element, join, plot, table

MAX_LISTED = 100


def section(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """Empty where a study has one objective and confirms nothing."""
    goals = goals_of(results.spec)
    again = confirmed(results, plan, found.score, found.maximize)
    return join([*_front(plan, goals, again), *_confirmed(results, goals, again, found.score)])


def _front(plan: Design, goals: Goals, again: Sequence[Confirmed]) -> Iterator[Markup]:
    if not goals.objectives:
        return
    kept = goals.front(plan.whole)
    yield element("h2", "Front")
    if not kept:
        yield element("p", "No finished setting has a value of every objective and keeps every constraint yet.")
        return
    many = labels.plural(len(plan.whole), "setting")
    title = f"{len(kept)} of {many} {'is' if len(kept) == 1 else 'are'} beaten by {rivals(plan.whole)}"
    caption = "Means over the seeds of the search, bars: 95 % intervals of both. Where bars overlap, which of two "
    caption += "settings beats the other is not decided by these seeds. What breaks a constraint is never on the front."
    caption += f" {labels.saw_labels(goals.objectives)}"
    yield plot("pareto", plotted(picture(plan.whole, kept, again, goals)), title, caption)
    metrics = tuple(dict.fromkeys((*goals.objectives, *goals.constraints)))
    heads = ["setting", "n", *(labels.metric(m).short for m in metrics)]
    rows = [("", [labels.setting(s), str(len(s.rows)), *_cells(s, metrics)]) for s in kept[:MAX_LISTED]]
    yield table(heads, rows, "The front: mean ± half of the 95 % interval over the n seeds of the search.", 1)


def picture(found: Sequence[Setting], kept: Sequence[Setting], again: Sequence[Confirmed], goals: Goals) -> go.Figure:
    """The first two objectives of every setting, and on fresh seeds those of the ones that were trained again."""
    across, up = list(goals.objectives)[:2]
    made = figure(None, f"{labels.metric(up).title}, {goals.objectives[up]}")
    made.update_xaxes(title_text=labels.in_plot(f"{labels.metric(across).title}, {goals.objectives[across]}"))
    on_front = {id(s) for s in kept}
    beaten = [s for s in found if id(s) not in on_front and goals.feasible(s)]
    broken = [s for s in found if not goals.feasible(s)]
    _add(made, "breaks a constraint", broken, across, up, RED, "x-thin-open", 0.5)
    _add(made, "beaten", beaten, across, up, GREY, "circle", 0.6)
    _add(made, "front", kept, across, up, STYLES[0].colour, STYLES[0].symbol, 1.0)
    _add(made, "on fresh seeds", [c.fresh for c in again], across, up, STYLES[1].colour, STYLES[1].symbol, 1.0)
    return made


def _add(
    made: go.Figure, name: str, group: Sequence[Setting], across: str, up: str, colour: str, symbol: str, opacity: float
) -> None:
    pairs = [(s, x, y) for s in group if (x := s.interval(across)) and (y := s.interval(up))]
    if not pairs:
        return
    made.add_scatter(
        x=[x.mean for _, x, _ in pairs], y=[y.mean for _, _, y in pairs], name=name, mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 9}, opacity=opacity,
        error_x=_bars([x for _, x, _ in pairs]), error_y=_bars([y for _, _, y in pairs]),
        hoverinfo="text", hovertext=[_hover(s, (across, x), (up, y)) for s, x, y in pairs],
    )  # fmt: skip


def _bars(intervals: Sequence[Interval]) -> dict[str, object]:
    halves = [i.half_width or 0.0 for i in intervals]
    return {"type": "data", "array": halves, "visible": any(halves), "thickness": 1, "width": 2}


def _hover(setting: Setting, *values: tuple[str, Interval]) -> str:
    lines = [f"{labels.metric(m).short}: {labels.plus_minus(i, labels.metric(m).decimals)}" for m, i in values]
    return "<br>".join(labels.in_plot(line) for line in (labels.setting(setting), *lines))


def _confirmed(
    results: StudyResults, goals: Goals, again: tuple[Confirmed, ...], score: str | None
) -> Iterator[Markup]:
    if not goals.confirm or score is None:
        return
    yield element("h2", "Confirmed on fresh seeds")
    if not again:
        why = why_none(results, again)
        yield element("p", f"{why[0].upper()}{why[1:]}: a search’s own best figure is selected, and optimistic.")
        return
    metrics = tuple(dict.fromkeys((score, *goals.objectives, *goals.constraints)))
    heads = ["setting", "search (selected, optimistic)", "n"]
    heads += [*(f"fresh: {labels.metric(m).short}" for m in metrics), "n", "constraints"]
    rows = [(_css(c, goals), _row(c, metrics, score, goals)) for c in again]
    caption = (
        "Leaders of the search, trained again on seeds that it had not seen; the best first, no other is called so."
    )
    yield table(heads, rows, caption, 1)


def _row(each: Confirmed, metrics: Sequence[str], score: str, goals: Goals) -> list[str]:
    kept = "–" if not goals.constraints else "kept" if goals.feasible(each.fresh) else "broken"
    searched = [*_cells(each.searched, [score]), str(len(each.searched.rows))]
    return [labels.setting(each.searched), *searched, *_cells(each.fresh, metrics), str(len(each.fresh.rows)), kept]


def _css(each: Confirmed, goals: Goals) -> str:
    return "" if goals.feasible(each.fresh) else "bad"


def _cells(setting: Setting, metrics: Sequence[str]) -> list[str]:
    return [labels.plus_minus(setting.interval(m), labels.metric(m).decimals) for m in metrics]
