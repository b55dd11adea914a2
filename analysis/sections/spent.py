"""What the study cost: training seconds in all, per setting and per trial."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.settings import Setting, interval
from analysis.data.study_results import StudyResults
from analysis.html.cells import Head
from analysis.html.explorer import Line, explorer
from analysis.html.markup import Markup, element, folded, join, table
from vmi.spec.trial import Row
from vmi.spec.words import duration

MAX_ROWS = 1000
MAX_KINDS = 100
# Trials that agree in these are expected to cost the same.
ALIKE = ("device", "dataset", "network", "hidden", "steps", "pack_size")


def section(results: StudyResults, plan: Design) -> Markup:
    """Sums and seconds per trial; empty where no trial has a time."""
    timed = [row for row in results.trials if row.get("train_seconds") is not None]
    if not timed:
        return Markup("")
    text = f"{duration(seconds(timed))} of training in {labels.plural(len(timed), 'trial')}"
    text += "".join(f", of these {what}" for what in _parts(results, timed)) + ". "
    text += "A trial’s seconds are its equal share of those that its pack’s training steps took: starting up, loading, "
    text += "evaluation, checkpoints and waiting are not in them. Trials of one pack run at the same time."
    untimed = len(results.trials) - len(timed)
    text += f" Without a time: {labels.plural(untimed, 'trial')}." if untimed else ""
    pieces = [element("h2", "What it cost"), element("p", text), _kinds(timed)]
    return join([*pieces, *([_settings(plan)] if plan.settings else [])])


def seconds(rows: Iterable[Row]) -> float:
    return sum(row.get("train_seconds") or 0.0 for row in rows)


def _parts(results: StudyResults, timed: Sequence[Row]) -> Iterator[str]:
    for outcome in ("failed", "pruned", "stopped"):
        if some := [row for row in timed if row["outcome"] == outcome]:
            yield f"{duration(seconds(some))} in {len(some):,} {outcome}"
    if again := [row for row in results.confirmed if row.get("train_seconds") is not None]:
        yield f"{duration(seconds(again))} in {len(again):,} of the confirmation"


def _kinds(timed: Sequence[Row]) -> Markup:
    """Seconds per trial by what they depend on most."""
    kinds: dict[tuple[Any, ...], list[float]] = {}
    for row in timed:
        kinds.setdefault(tuple(row.get(name) for name in ALIKE), []).append(float(row["train_seconds"]))
    heads = [
        "device",
        "data set",
        "network",
        "hidden",
        "steps",
        "pack",
        "trials",
        "s per trial",
        "median",
        "most",
        "in all",
    ]
    ordered = sorted(kinds.items(), key=lambda item: -sum(item[1]))
    rows = [("", [*map(labels.value, key), *_times(times)]) for key, times in ordered[:MAX_KINDS]]
    caption = "Seconds per trial: mean ± half of the 95 % interval over trials."
    caption += f" The first {MAX_KINDS} of {len(ordered)} kinds." if len(ordered) > MAX_KINDS else ""
    return table(heads, rows, caption, 4)


def _times(times: Sequence[float]) -> list[str]:
    each = [labels.plus_minus(interval(times)), *(labels.number(float(v)) for v in (np.median(times), max(times)))]
    return [f"{len(times):,}", *each, duration(sum(times))]


def _settings(plan: Design) -> Markup:
    names = [name for name, _ in plan.settings[0].params]
    heads = [*(Head(labels.symbol(n), n) for n in names), Head("n", "trials")]
    heads += [Head("s per trial", "train_seconds", 2), Head("s in all", "train_seconds_sum", 1)]
    every = sorted(((s, _paid(s)) for s in plan.settings), key=lambda pair: -sum(pair[1]))[:MAX_ROWS]
    lines = [Line("", [*(s.get(n) for n in names), len(t), interval(t), sum(t)]) for s, t in every]
    caption = "Training seconds per setting, the dearest first; completed trials of the search alone."
    if len(plan.settings) > MAX_ROWS:
        caption += f" The first {MAX_ROWS:,} of {len(plan.settings):,} settings."
    shown = explorer("cost", heads, lines, caption, len(names))
    return folded(f"Seconds of every setting ({len(plan.settings):,})", shown)


def _paid(setting: Setting) -> list[float]:
    """Seconds of each completed trial: a restart that was not chosen was paid for, too."""
    rows = setting.completed or setting.rows
    return [float(row["train_seconds"]) for row in rows if row.get("train_seconds") is not None]
