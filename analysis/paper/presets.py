"""A study that varies the preset, as Markdown: the verdict, what each preset reached, and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.data import labels
from analysis.data.classes import with_share
from analysis.data.goals import restarts_said
from analysis.data.preset_groups import side_by_side
from analysis.data.settings import Interval, Setting, paired_gain, settings
from analysis.data.study_results import StudyResults
from analysis.findings.published import FIGURES, published
from analysis.paper.verdict import markdown as verdict
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.spec.layout import parse
from vmi.spec.metrics import Shown, shown


def markdown(results: StudyResults, reference: str, command: str) -> str:
    """One table per data set, layout and values of all else that varies; differences are against `reference`, by seed.

    Raises InputError when the study does not vary its preset, or not to `reference`.
    """
    presets = results.spec.get("space", {}).get("preset", {}).get("values", [])
    if reference not in presets:
        allowed = one_of(presets) if presets else "a study that varies its preset"
        raise InputError([Problem("--against", reference, allowed, did_you_mean(reference, presets))])
    rows = settings(results.compared, results.spec)
    unseen = [p for p in presets if p not in {_of(s, "preset") for s in rows}]
    lines = [f"# {results.name}", "", *_made(results, command)]
    if unseen:
        lines += ["", f"Without a completed trial (or equal in every number to another): {', '.join(unseen)}."]
    beside = verdict(results)
    lines += ["", *beside] if beside else []
    for others, members in side_by_side(rows):
        dataset, layout = (_of(members[0], name) for name in ("dataset", "layout"))
        lines += ["", f"## {dataset}, {layout}{others}", "", *_table(members, dataset, layout)]
        lines += ["", *_differences(members, reference)]
    return "\n".join(lines) + "\n"


def _made(results: StudyResults, command: str) -> list[str]:
    steps = sorted({row["steps"] for row in results.completed})
    networks = sorted({f"{row['network']} {row['hidden']}" for row in results.completed})
    length = ", ".join(f"{count:,}" for count in steps)
    return [
        f"{len(results.completed)} trials of {', '.join(networks)}, {length} steps; made with",
        "",
        f"    {command}",
        "",
        "Values are means over seeds with 95 % Student-t intervals, on held-out images unless the row says training. "
        "Published values stand in parentheses, with their source below the table.",
        *(["", chosen] if (chosen := restarts_said(results.spec)) else []),
    ]


def _table(members: Sequence[Setting], dataset: str, layout: str) -> Iterator[str]:
    presets = [_of(s, "preset") for s in members]
    yield "| | " + " | ".join(f"`{p}`" for p in presets) + " |"
    yield "|---|" + "---|" * len(presets)
    yield f"| {members[0].replicate}s | " + " | ".join(str(len(s.rows)) for s in members) + " |"
    for metric in with_share(list(_metrics(layout)), [row for s in members for row in s.rows]):
        if any(s.values(metric) for s in members):
            name = labels.metric(metric).short
            yield f"| {name} | " + " | ".join(_cell(s, metric, dataset, layout) for s in members) + " |"
    sources = dict.fromkeys(
        f.source for f in FIGURES if (f.dataset, f.layout) == (dataset, layout) and f.preset in presets
    )
    if sources:
        yield ""
        yield "Published: " + "; ".join(sources) + "."


def _metrics(layout: str) -> Iterator[str]:
    """The rate of every categorical block beside that of all blocks."""
    for metric in shown(Shown.PRESETS):
        if metric == "rate_nats":
            yield from (f"rate_{block.name}_nats" for block in parse(layout).categorical)
        yield metric


def _cell(setting: Setting, metric: str, dataset: str, layout: str) -> str:
    own = labels.plus_minus(setting.interval(metric), labels.metric(metric).decimals)
    found = published(dataset, layout, _of(setting, "preset"), metric)
    return f"{own} ({found.value:g})" if found else own


def _differences(members: Sequence[Setting], reference: str) -> Iterator[str]:
    base = next((s for s in members if _of(s, "preset") == reference), None)
    if base is None:
        yield f"No completed trial of `{reference}`: nothing to compare the others with."
        return
    metric = next((m for m in ("accuracy_majority", "mi_encoder_nats") if base.values(m)), "mi_encoder_lower_nats")
    name = labels.metric(metric).short
    yield f"Paired by seed, {name} of `{reference}` minus that of (95 % Student-t interval over seeds):"
    yield ""
    for other in (s for s in members if s is not base):
        found = paired_gain(base, other, metric)
        if found:
            yield f"- `{_of(other, 'preset')}`: {said(found, base.replicate)}"


def said(difference: Interval, replicate: str = "seed") -> str:
    """ "+0.120 [+0.050, +0.190], 5 seeds: decided"."""
    if difference.low is None or difference.high is None:
        return f"{difference.mean:+.3f}, one {replicate}: no interval"
    verdict = "decided" if difference.low > 0 or difference.high < 0 else "not decided"
    ends = f"[{difference.low:+.3f}, {difference.high:+.3f}], {difference.count} {replicate}s"
    return f"{difference.mean:+.3f} {ends}: {verdict}"


def _of(setting: Setting, column: str) -> str:
    return str(setting.rows[0][column])
