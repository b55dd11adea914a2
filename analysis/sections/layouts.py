"""Latent layouts compared: over the settings that all of them have, and each at the best of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from analysis.data import labels
from analysis.data.axes import Axis, Design
from analysis.data.goals import goals_of
from analysis.data.settings import Interval, Setting, interval
from analysis.data.study_results import StudyResults
from analysis.figures.style import STYLES, add_series, figure, plotted, points, shifts
from analysis.findings.findings import Findings
from analysis.html.markup import Markup, element, join, plot, table

MAX_LAYOUTS = 24


class Layout(NamedTuple):
    """A layout's settings; `matched` holds, by seed, the means over the settings that every layout has."""

    name: str
    settings: tuple[Setting, ...]
    matched: Mapping[Any, float]
    leading: Setting | None


def section(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """The comparison by the study's metric, within each data set; empty for a study of one layout."""
    if found.score is None:
        return Markup("")
    pieces = []
    for i, dataset in enumerate(dict.fromkeys(s.get("dataset") for s in plan.settings)):
        group = [s for s in plan.settings if s.get("dataset") == dataset]
        every = _layouts(results, group, plan.whole, found.score, found.maximize)
        if len(every) > 1:
            pieces.append(_compared(every, len(_shared(group)), found.score, i, labels.value(dataset)))
    return join([element("h2", "Layouts"), *pieces]) if pieces else Markup("")


def _compared(every: Sequence[Layout], shared: int, metric: str, i: int, dataset: str) -> Markup:
    shown = every[:MAX_LAYOUTS]
    name = labels.metric(metric)
    title = f"{name.short[0].upper()}{name.short[1:]} by layout" + (f", {dataset}" if dataset != "–" else "")
    text = (
        f"Over the {labels.plural(shared, 'setting')} of the other parameters that every layout has: first the mean "
        "over these within a seed, then the interval over the seeds that have all of them."
        if shared
        else "No setting of the other parameters is shared by all layouts, so each stands at the best of its own alone."
    )
    text += " A layout’s own best was selected on these same seeds, the more so the more settings it had: optimistic."
    if len(every) > len(shown):
        text += f" Shown: the first {len(shown)} of {len(every)} layouts."
    caption = f"Means over seeds. Bars: 95 % interval over seeds. {labels.saw_labels([metric])}"
    drawn = plot(f"layouts-{i}", plotted(picture(shown, metric)), title, caption)
    return join([element("p", text, "soft"), drawn, _table(shown, metric)])


def picture(shown: Sequence[Layout], metric: str) -> go.Figure:
    """Both comparisons per layout, side by side."""
    name = labels.metric(metric)
    axis = Axis("layout", labels.axis_title("layout"), False, False, tuple(each.name for each in shown))
    made = figure(axis, name.title, zero=metric.startswith("accuracy"))
    # One block per line, so that names stand beside each other on a phone.
    names = ["+<br>".join(labels.in_plot(block) for block in labels.value(each.name).split("+")) for each in shown]
    made.update_xaxes(ticktext=names, tickangle=0)
    over = {each.name: interval(each.matched.values()) for each in shown}
    own = {each.name: each.leading.interval(metric) for each in shown if each.leading}
    series = [("over the settings that all have", over), ("at its own best setting", own)]
    group = [Setting((("layout", each.name),), ()) for each in shown]
    for (said, of), style, shift in zip(series, STYLES, shifts(axis, 2), strict=False):
        pts = points(axis, group, _by_name(of), name.short, name.decimals, shift)
        add_series(made, said, pts, style, joined=False)
    return made


def _by_name(found: Mapping[str, Interval | None]) -> Callable[[Setting], Interval | None]:
    return lambda setting: found.get(setting.get("layout"))


def _table(shown: Sequence[Layout], metric: str) -> Markup:
    name, first = labels.metric(metric), shown[0]
    heads = ["layout", "settings", "own best setting", name.short, "seeds"]
    caption = f"Layouts by {name.short}: mean ± half of the 95 % interval over seeds."
    cells = [[labels.value(each.name), str(len(each.settings)), *_own(each, metric)] for each in shown]
    if any(each.matched for each in shown):
        heads[2:2] = ["over shared settings", "seeds", f"less {labels.value(first.name)}, paired", "pairs"]
        for each, row in zip(shown, cells, strict=True):
            row[2:2] = _matched(each, first, metric)
        caption += " Differences are paired by seed."
    return table(heads, [("", row) for row in cells], caption, 1)


def _own(each: Layout, metric: str) -> list[str]:
    own = each.leading.interval(metric) if each.leading else None
    if each.leading is None or own is None:
        return ["none is finished, has a value and keeps every constraint", "–", "–"]
    params = tuple((n, v) for n, v in each.leading.params if n != "layout")
    said = labels.setting(Setting(params, ()))
    return [said, labels.plus_minus(own, labels.metric(metric).decimals), str(own.count)]


def _matched(each: Layout, first: Layout, metric: str) -> list[str]:
    pairs = [v - first.matched[seed] for seed, v in each.matched.items() if seed in first.matched]
    gain = None if each is first else interval(pairs)
    decimals = labels.metric(metric).decimals
    over = labels.plus_minus(interval(each.matched.values()), decimals)
    return [over, str(len(each.matched)), labels.plus_minus(gain, decimals), str(gain.count) if gain else "–"]


def _layouts(
    results: StudyResults, found: Sequence[Setting], whole: Sequence[Setting], metric: str, maximize: bool
) -> list[Layout]:
    """In the order of the space; none where layouts do not vary."""
    ranked = set(map(id, whole))
    groups: dict[str, list[Setting]] = {}
    for setting in found:
        if (name := setting.get("layout")) is not None:
            groups.setdefault(str(name), []).append(setting)
    shared, goals = _shared(found), goals_of(results.spec)
    sign = 1.0 if maximize else -1.0
    made = []
    for name, group in groups.items():
        able = [
            (sign * m, s) for s in group if id(s) in ranked and goals.feasible(s) and (m := s.mean(metric)) is not None
        ]
        leading = max(able, key=lambda pair: pair[0])[1] if able else None
        matched = _by_seed([s for s in group if _others(s) in shared], metric)
        made.append(Layout(name, tuple(group), matched, leading))
    return made


def _shared(every: Sequence[Setting]) -> set[tuple[tuple[str, Any], ...]]:
    """The values of the other parameters that were completed with every layout."""
    found: dict[Any, set[tuple[tuple[str, Any], ...]]] = {}
    for setting in every:
        found.setdefault(setting.get("layout"), set()).add(_others(setting))
    return set.intersection(*found.values()) if len(found) > 1 else set()


def _others(setting: Setting) -> tuple[tuple[str, Any], ...]:
    # A parameter that is searched for some layouts only is absent elsewhere, and tells nothing apart there.
    return tuple((n, v) for n, v in setting.params if n != "layout" and v is not None)


def _by_seed(group: Sequence[Setting], metric: str) -> Mapping[Any, float]:
    """The mean over the settings within each seed, or group of restarts, that has a value in all of them."""
    by_seed: dict[Any, list[float]] = {}
    for seeds, row in (item for s in group for item in s.by_group.items()):
        if row.get(metric) is not None:
            by_seed.setdefault(seeds, []).append(float(row[metric]))
    return {seeds: sum(v) / len(v) for seeds, v in sorted(by_seed.items()) if len(v) == len(group)}
