"""The table of settings in a terminal: at most 100 columns, the best setting and every collapse marked."""

from __future__ import annotations

from collections import Counter

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.data import labels
from analysis.data.axes import Design, design, representative
from analysis.data.mi_checks import verdict
from analysis.data.settings import Setting
from analysis.data.study_json import restarts_of
from analysis.data.study_results import StudyResults
from analysis.findings.findings import Findings, findings
from analysis.html import columns
from vmi.process.console import sayable
from vmi.spec.errors import printable

WIDTH = 100
MAX_ROWS = 40
MAX_CAUSES = 3
MAX_LISTED = 10


def terminal(results: StudyResults, width: int = WIDTH, encoding: str = "utf-8") -> RenderableType:
    """The settings of a study as a table no wider than `width`, its findings, what was not completed; for rich.

    `encoding` is that of the terminal: a column is as wide as what stands in for what it cannot say.
    """
    plan = design(results)
    found = findings(results, plan)
    parts: list[RenderableType] = [_table(results, plan, found, min(width, WIDTH), encoding)] if plan.settings else []
    parts += [Text(f"• {printable(line)}") for line in found.sentences]
    broken = [f"  trial {v.trial_id}: not {v.what}, by {v.excess_nats:.3g} nats" for v in found.violations]
    parts += [Text(printable(line), style="red") for line in broken[:MAX_LISTED]]
    parts += [Text(line, style="yellow") for line in _not_completed(results)]
    return Group(*parts)


def _table(results: StudyResults, plan: Design, found: Findings, width: int, encoding: str) -> Table:
    shown = representative(plan.settings, found.score, found.maximize, MAX_ROWS)
    more = f", {len(shown)} of {len(plan.settings)} settings" if len(shown) < len(plan.settings) else ""
    table = Table(
        title=Text(f"{printable(results.name)}: mean ± half of the 95 % interval over {_replicates(results)}{more}"),
        box=box.SIMPLE_HEAD, width=None, title_justify="left", pad_edge=False,
    )  # fmt: skip
    wanted = [_said(c, shown, encoding) for c in columns.of_settings(plan, found.score, columns.SHORT)]
    wanted = _fitting(wanted, width)
    for head, *_ in wanted:
        table.add_column(Text(head), justify="left" if head == "verdict" else "right", no_wrap=True)
    for i, setting in enumerate(shown, 1):
        style = "bold" if setting is found.leader_of(setting) else "red" if verdict(setting) == "collapse" else ""
        table.add_row(*(Text(column[i]) for column in wanted), style=style)
    return table


def _replicates(results: StudyResults) -> str:
    restarts = restarts_of(results.spec)
    return "seeds" if restarts.size == 1 else f"groups of {restarts.size} seeds, chosen by {restarts.choose_by}"


def _said(column: columns.Column, shown: tuple[Setting, ...], encoding: str) -> list[str]:
    """A column's head and cells."""
    return [sayable(text, encoding) for text in (column.head, *map(column.cell, shown))]


def _fitting(wanted: list[list[str]], width: int) -> list[list[str]]:
    """As many of the columns, from the left, as stand beside each other in `width`."""
    kept, room = [], width
    for column in wanted:
        room -= max(map(len, column)) + 3
        if room < 0:
            break
        kept.append(column)
    return kept


def _not_completed(results: StudyResults) -> list[str]:
    lines = []
    if results.missing:
        lines.append(f"{results.missing:,} of {labels.plural(results.planned, 'planned trial')} not finished yet")
    causes = Counter(labels.value(row["reason"]) for row in results.failed)
    if causes:
        lines.append(f"{labels.plural(len(results.failed), 'trial')} failed:")
        lines += [f"  {count} × {cause}" for cause, count in causes.most_common(MAX_CAUSES)]
    stopped = Counter(labels.value(row["reason"]) for row in results.ended_as("stopped"))
    lines += [f"{labels.plural(count, 'trial')} {reason}" for reason, count in stopped.most_common(MAX_CAUSES)]
    lines += [f"dropped: {printable(str(drop))}" for drop in results.drops]
    if results.ignored:
        lines.append(f"ignored: {labels.plural(results.ignored, 'file')} in the folders of tables, no parts")
    return lines + [f"damaged, kept as it is: {printable(item)}" for item in results.damaged]
