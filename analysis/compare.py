"""Two studies side by side, as Markdown: the settings that both have, paired by seed, and what each asked for."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from analysis.data import labels
from analysis.data.classes import with_share
from analysis.data.goals import restarts_said
from analysis.data.requests import HEADS, requests
from analysis.data.settings import CONFIG_COLUMNS, Setting, apart, order_of, paired_gain, setting_of, varied
from analysis.data.study_results import StudyResults
from analysis.paper.presets import said
from vmi.spec.errors import printable
from vmi.spec.metrics import Shown, shown
from vmi.spec.trial import Row

MAX_SETTINGS = 100
NESTED = ("fixed", "space", "baseline")

Key = tuple[Any, ...]


class Pair(NamedTuple):
    """One configuration in both studies."""

    first: Setting
    second: Setting

    @property
    def seeds(self) -> set[Any]:
        """The seeds, or groups of restarts, of both."""
        return self.first.by_group.keys() & self.second.by_group.keys()

    @property
    def same_trials(self) -> bool:
        """Whether the shared seeds are the very same trials, which one study found in the other or trained alike."""
        ids = [{s.by_group[seeds]["trial_id"] for seeds in self.seeds} for s in self]
        return ids[0] == ids[1]


def markdown(a: StudyResults, b: StudyResults, fields: Sequence[str]) -> str:
    """The comparison; differences are `b` minus `a`. `fields` names what the two asked for differently."""
    spec = {"space": {**a.spec.get("space", {}), **b.spec.get("space", {})}}
    names = varied([*a.compared, *b.compared], spec)
    # A baseline of one of the two is told apart by the same fields as on that study's own page.
    names = tuple(dict.fromkeys((*names, *(n for r in (a, b) for n in apart(r.compared, r.spec)))))
    first, second = (_by_configuration(results, names, spec) for results in (a, b))
    shared = [Pair(first[key], second[key]) for key in first if key in second]
    lines = [f"# {_cell(a.name)} and {_cell(b.name)}", "", *_overview(a, b, len(first), len(second), len(shared))]
    lines += ["", "## Shared settings", "", *_shared(shared, _restarted(a, b)), *([] if shared else _apart(a, b))]
    lines += ["", "## Settings in one of them", "", *_only("first", first, second), *_only("second", second, first)]
    lines += ["", "## What was asked for", "", *_asked(a, b, fields)]
    for which, results in (("first", a), ("second", b)):
        lines += _requests(which, results)
    lines += ["", "## Made with", "", *_versions(a, b)]
    return "\n".join(lines) + "\n"


def _by_configuration(results: StudyResults, names: Sequence[str], spec: Mapping[str, Any]) -> dict[Key, Setting]:
    """Settings by all that decides their numbers but the seed; a preset's name decides none."""
    groups: dict[Key, list[Row]] = {}
    for row in results.compared:
        groups.setdefault(tuple(row.get(name) for name in CONFIG_COLUMNS), []).append(row)
    made = {
        key: setting_of(tuple((n, rows[0].get(n)) for n in names if n != "preset"), rows, results.spec)
        for key, rows in groups.items()
    }
    return dict(
        sorted(
            ((key, setting) for key, setting in made.items() if setting.rows),
            key=lambda item: [order_of(n, v, spec) for n, v in item[1].params],
        )
    )


def _overview(a: StudyResults, b: StudyResults, first: int, second: int, shared: int) -> Iterator[str]:
    yield "| | first | second |"
    yield "|---|---|---|"
    yield f"| folder | {_cell(a.folder)} | {_cell(b.folder)} |"
    yield f"| completed trials | {len(a.completed)} | {len(b.completed)} |"
    yield f"| settings | {first} | {second} |"
    yield f"| of these shared | {shared} | {shared} |"


def _shared(shared: Sequence[Pair], restarted: Sequence[str]) -> Iterator[str]:
    if not shared:
        yield "None: the two studies have no setting in common, so there is nothing to pair."
        return
    yield "Mean ± half of the 95 % Student-t interval over seeds; the difference is second minus first, paired by seed."
    yield from restarted
    if all(pair.seeds and pair.same_trials for pair in shared):
        yield "All shared trials have the same ids: by configuration they are the same trials, trained once or twice."
    for pair in shared[:MAX_SETTINGS]:
        yield from ("", f"### {_cell(labels.setting(pair.first))}", "", *_table(pair))
    if len(shared) > MAX_SETTINGS:
        yield f"\n{len(shared) - MAX_SETTINGS} more shared settings are not listed."


def _restarted(a: StudyResults, b: StudyResults) -> list[str]:
    """What a replicate is where a study has restarts; no seed is paired with a group."""
    said = [(which, restarts_said(results.spec)) for which, results in (("first", a), ("second", b))]
    return [f"In the {which}: {text}" for which, text in said if text]


def _apart(a: StudyResults, b: StudyResults) -> Iterator[str]:
    """Why nothing is shared: the fields of which the two have no value in common."""
    for name in CONFIG_COLUMNS if a.completed and b.completed else ():
        first, second = ({row.get(name) for row in results.completed} for results in (a, b))
        if not first & second:
            values = [labels.listed(sorted(labels.value(v) for v in found)[:10]) for found in (first, second)]
            yield f"- `{name}`: {_cell(values[0])} in the first, {_cell(values[1])} in the second"


def _table(pair: Pair) -> Iterator[str]:
    if not pair.seeds:
        yield "No seed in common, so no difference can be paired."
        yield ""
    yield "| | first | second | difference |"
    yield "|---|---|---|---|"
    for metric in with_share(shown(Shown.COMPARISON), [*pair.first.rows, *pair.second.rows]):
        if pair.first.values(metric) or pair.second.values(metric):
            name = labels.metric(metric)
            values = [labels.plus_minus(s.interval(metric), name.decimals) for s in pair]
            gain = paired_gain(pair.second, pair.first, metric)
            difference = said(gain, pair.first.replicate) if gain else "–"
            yield f"| {name.short} | {' | '.join(values)} | {difference} |"


def _only(which: str, here: Mapping[Key, Setting], there: Mapping[Key, Setting]) -> Iterator[str]:
    alone = [setting for key, setting in here.items() if key not in there]
    if not alone:
        yield f"- {which}: none"
    for setting in alone[:MAX_SETTINGS]:
        yield f"- {which}: {_cell(labels.setting(setting))} ({labels.plural(len(setting.rows), setting.replicate)})"
    if len(alone) > MAX_SETTINGS:
        yield f"- {which}: {len(alone) - MAX_SETTINGS} more"


def _asked(a: StudyResults, b: StudyResults, fields: Sequence[str]) -> Iterator[str]:
    if not fields:
        yield "The same, field by field."
        return
    yield "| field | first | second |"
    yield "|---|---|---|"
    for field in fields:
        yield f"| {_cell(field)} | {_value(a.spec, field)} | {_value(b.spec, field)} |"


def _requests(which: str, results: StudyResults) -> Iterator[str]:
    """Which trials of a study that has grown came from which request."""
    if rows := list(requests(results)):
        yield from ("", f"The requests of the {which}:", "", f"| {' | '.join(HEADS)} |")
        yield "|---|---|---|---|---|"
        yield from (f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _value(spec: Mapping[str, Any], field: str) -> str:
    """A field of study.json, by the name that `vmi.study.study.differences` gives it: "fixed.layout"."""
    outer, _, inner = field.partition(".")
    held, name = (spec.get(outer), inner) if inner and outer in NESTED else (spec, field)
    if not isinstance(held, Mapping) or name not in held:
        return "absent"
    text = json.dumps(held[name], ensure_ascii=False, default=str)
    return _cell(text if len(text) <= 200 else f"{text[:199]}…")


def _versions(a: StudyResults, b: StudyResults) -> Iterator[str]:
    yield "| | first | second |"
    yield "|---|---|---|"
    for column in ("versions", "device"):
        values = [sorted({str(row.get(column)) for row in results.completed}) for results in (a, b)]
        yield f"| {column} | {' | '.join(_cell('; '.join(found)) or '–' for found in values)} |"


def _cell(text: object) -> str:
    """Text for a cell or a line of Markdown: no markup, no line of its own, nothing that drives a terminal."""
    plain = printable(str(text)).replace("\n", "\\n")
    for mark in "\\|[]`":
        plain = plain.replace(mark, f"\\{mark}")
    return html.escape(plain, quote=False)
