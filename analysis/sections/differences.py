"""Every setting beside a reference with the same seeds: what the two share by luck of the seed cancels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.baseline import baseline_of
from analysis.data.settings import Interval, Key, Setting, paired_gain
from analysis.data.study_results import StudyResults
from analysis.findings.findings import Findings
from analysis.html.cells import Cell, Head
from analysis.html.explorer import Line, explorer
from analysis.html.markup import Markup, element, join

MAX_ROWS = 1000
# What a parameter is at where it does nothing: a setting is compared with its like there.
NEUTRAL: Mapping[str, Any] = {"mi_weight": 0, "preset": "vae"}

Reference = Callable[[Setting], Setting | None]


class Pair(NamedTuple):
    """A setting, its reference, and the interval of the differences over the seeds of both."""

    setting: Setting
    reference: Setting
    difference: Interval | None


def section(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """The table of differences in the study's metric; empty where there is nothing to compare."""
    if found.score is None or len(plan.settings) < 2:
        return Markup("")
    said, reference = reference_of(results, plan, found)
    compared = [(s, r) for s in plan.settings if (r := reference(s)) and r is not s]
    pairs = [Pair(s, r, paired_gain(s, r, found.score)) for s, r in compared]
    if not pairs:
        return Markup("")
    name = labels.metric(found.score)
    text = f"{name.short[0].upper()}{name.short[1:]} of a setting less that of {said}, seed by seed. "
    text += "“Decided” where the 95 % interval of the differences excludes 0; no correction is made for their number."
    without = len(plan.settings) - len(pairs)
    text += f" Without a row, as references or for want of one: {labels.plural(without, 'setting')}."
    text += f" The first {MAX_ROWS:,} of {len(pairs):,} differences." if len(pairs) > MAX_ROWS else ""
    return join([element("h2", "Differences, paired by seed"), element("p", text, "soft"), _table(pairs, found.score)])


def _table(pairs: Sequence[Pair], metric: str) -> Markup:
    names, name = [n for n, _ in pairs[0].setting.params], labels.metric(metric)
    heads = [Head(labels.symbol(n), n) for n in names]
    heads += [Head("difference", f"{metric}_difference", name.decimals), Head("pairs", "pairs")]
    heads += [Head("unpaired", "unpaired"), Head("decided", "decided"), Head("reference", "reference")]
    lines = [Line("", [*(p.setting.get(n) for n in names), *_cells(p, metric)]) for p in pairs[:MAX_ROWS]]
    caption = f"Differences in {name.short}: mean ± half of the 95 % interval over pairs of one seed; "
    return explorer("differences", heads, lines, caption + "unpaired: seeds without a pair.", len(names))


def reference_of(results: StudyResults, plan: Design, found: Findings) -> tuple[str, Reference]:
    """What settings are compared with, and how it is called: the study's baseline, else their own like at λ = 0 or
    without the regulariser, else the best setting."""
    if baseline := baseline_of(results.spec):
        fits = [s for s in plan.settings if baseline.has(s.rows[0])]
        if len(fits) == 1:
            return f"the baseline ({labels.setting(fits[0])})", lambda setting: fits[0]
    for name, neutral in NEUTRAL.items():
        if without := [s for s in plan.settings if s.get(name) == neutral]:
            return f"the same setting with {labels.symbol(name)} = {neutral}", _like(without, name)
    of = " of its data set" if len(found.leaders) > 1 else ""
    return f"the best setting{of} (selected on these seeds)" if found.leaders else "no other", found.leader_of


def _like(found: Sequence[Setting], name: str) -> Reference:
    """Of these the one that is equal in all but `name`: what is not searched for one of two tells them not apart.

    None where several are, as long as none of them is equal throughout.
    """
    by_rest = {_rest(s, name): s for s in found}

    def reference(setting: Setting) -> Setting | None:
        rest = _rest(setting, name)
        if rest in by_rest:
            return by_rest[rest]
        fits = [s for other, s in by_rest.items() if _agree(rest, other)]
        return fits[0] if len(fits) == 1 else None

    return reference


def _agree(one: Key, other: Key) -> bool:
    return all(a == b or a is None or b is None for a, b in zip(one, other, strict=True))


def _rest(setting: Setting, name: str) -> Key:
    return tuple(v for n, v in setting.params if n != name)


def _cells(pair: Pair, metric: str) -> Sequence[Cell]:
    found = pair.difference
    count = found.count if found else 0
    unpaired = len(pair.setting.values(metric)) - count
    return [found, count, unpaired, _decided(found), labels.setting(pair.reference)]


def _decided(found: Interval | None) -> str:
    if found is None or found.low is None or found.high is None:
        return "no interval"
    return "above" if found.low > 0 else "below" if found.high < 0 else "not decided"
