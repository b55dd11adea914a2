"""How a study is drawn: which varied parameter is x, which tell the lines apart, which are continuous."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from analysis.data import labels
from analysis.data.baseline import baseline_of
from analysis.data.settings import Setting, apart, gathered, order_of, settings
from analysis.data.study_json import conditional
from analysis.data.study_results import StudyResults

# More values than this on an equally spaced axis could not be read: such a parameter is drawn to scale.
MAX_TICKS = 12
# More lines than there are colours and symbols that colour-blind readers tell apart.
MAX_LINES = 6
# More would hide each other, and a page of 10,000 trials must stay below 10 MB.
MAX_DRAWN, MAX_DOTS = 400, 600


class Axis(NamedTuple):
    """A parameter as x: to scale when continuous (log if its range is), else equally spaced, to show 0."""

    name: str
    title: str
    continuous: bool
    log: bool
    values: tuple[Any, ...]

    def has(self, setting: Setting) -> bool:
        """Whether the setting has a place on this axis: a conditional parameter is not searched everywhere."""
        return not self.name or setting.get(self.name) in self.values

    def position(self, setting: Setting) -> float:
        value = setting.get(self.name)
        return float(value) if self.continuous else float(self.values.index(value))


@dataclass(frozen=True)
class Design:
    """The settings of a study, its x axes (the main one first) and the settings that each line joins.

    `whole` are the settings of which every seed of the search has ended: one is called best among them alone.
    `searched` are the settings without the baseline where it lies beside the space, and without the fields by which it
    is `apart`: nothing was swept over these, so none of them is an axis.
    """

    settings: tuple[Setting, ...]
    axes: tuple[Axis, ...]
    lines: tuple[tuple[str, tuple[Setting, ...]], ...]
    whole: tuple[Setting, ...]
    searched: tuple[Setting, ...]
    apart: tuple[str, ...] = ()

    @property
    def x(self) -> Axis:
        return self.axes[0]

    @property
    def every(self) -> int:
        """Figures draw every so many-th setting of a line: 1 unless there are very many."""
        return -(-len(self.settings) // MAX_DRAWN) or 1

    @property
    def dots(self) -> int:
        """As `every`, of the trials of the settings that are drawn."""
        return -(-sum(len(s.rows) for s in self.settings[:: self.every]) // MAX_DOTS) or 1

    @property
    def joined(self) -> bool:
        """Whether lines through settings mean something: an ordered x, one setting per x and line."""
        x = self.x
        ordered = not x.continuous and all(isinstance(v, int | float) for v in x.values)
        return ordered and all(len({x.position(s) for s in group}) == len(group) for _, group in self.lines)


def design(results: StudyResults) -> Design:
    """The design of what was completed. x is mi_weight or the preset where varied, else the first varied parameter."""
    found, spec = settings(results.compared, results.spec), results.spec
    beside = apart(results.compared, spec)
    searched = _searched(found, beside, spec)
    names = [name for name, _ in found[0].params if name not in beside] if found else []
    some = conditional(spec)
    names.sort(key=lambda name: (name in some, name not in ("mi_weight", "preset")))
    axes = [_axis(name, found, spec) for name in names] or [Axis("", "", False, False, (None,))]
    shown = [axis for axis in axes if axis.continuous] if axes[0].continuous else axes[:1]
    rest = [axis.name for axis in axes if axis not in shown and not axis.continuous]
    lines = _lines(found, [*beside, *rest], spec) if found else ()
    whole = tuple(s for s in found if {row["suggestion_id"] for row in s.completed or s.rows} <= results.whole)
    return Design(found, tuple(shown), lines, whole, searched, beside)


def _searched(found: Sequence[Setting], beside: Sequence[str], spec: Mapping[str, Any]) -> tuple[Setting, ...]:
    base = baseline_of(spec)
    inside = [s for s in found if base is None or not base.own or not base.has(s.rows[0])]
    return tuple(replace(s, params=tuple((n, v) for n, v in s.params if n not in beside)) for s in inside)


def _axis(name: str, found: Sequence[Setting], spec: Mapping[str, Any]) -> Axis:
    given = {s.get(name) for s in found}
    values = sorted(given - {None} or given, key=lambda v: order_of(name, v, spec))
    declared = spec.get("space", {}).get(name, {})
    numeric = all(isinstance(v, int | float) for v in values)
    searched = declared.get("kind") == "float" and declared.get("step") is None
    continuous = numeric and (searched or len(values) > MAX_TICKS)
    log = continuous and bool(declared.get("log")) and min(values) > 0
    return Axis(name, labels.axis_title(name), continuous, log, tuple(values))


def _lines(
    found: Sequence[Setting], names: Sequence[str], spec: Mapping[str, Any]
) -> tuple[tuple[str, tuple[Setting, ...]], ...]:
    """Settings that agree in `names`, in the order of values; in the first of the names alone where lines are too many,
    and one line of all where they still are. A setting without one of them is on each line that it fits."""
    groups = gathered((tuple(setting.get(name) for name in names), setting) for setting in found)
    if len(groups) > MAX_LINES:
        return _lines(found, names[:-1], spec)
    ordered = sorted(groups, key=lambda key: [order_of(n, v, spec) for n, v in zip(names, key, strict=True)])
    return tuple((_phrase(names, key), tuple(groups[key])) for key in ordered)


def _phrase(names: Sequence[str], values: Sequence[Any]) -> str:
    named = [(n, v) for n, v in zip(names, values, strict=True) if v is not None]
    return ", ".join(f"{labels.symbol(n)} = {labels.value(v)}" for n, v in named)


def representative(found: Sequence[Setting], metric: str | None, maximize: bool, limit: int) -> tuple[Setting, ...]:
    """All settings when few; else `limit` of them: the best two thirds and the worst third by the metric."""
    if len(found) <= limit or metric is None:
        return tuple(found[:limit])
    sign = -1.0 if maximize else 1.0
    means = {id(s): s.mean(metric) for s in found}
    ranked = sorted(found, key=lambda s: math.inf if (m := means[id(s)]) is None else sign * m)
    worst = limit // 3
    return tuple(ranked[: limit - worst] + ranked[-worst:])


def leading(found: Sequence[Setting], metric: str | None, maximize: bool, limit: int) -> tuple[Setting, ...]:
    """All settings, in their order, when at most `limit`; else the best of them by the metric, best first."""
    if len(found) <= limit or metric is None:
        return tuple(found[:limit])
    sign = -1.0 if maximize else 1.0
    return tuple(sorted(found, key=lambda s: math.inf if (m := s.mean(metric)) is None else sign * m)[:limit])
