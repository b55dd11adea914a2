"""The table of settings, once for page and terminal: which columns there are, what each cell holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.classes import with_share
from analysis.data.mi_checks import block_rate, primary, verdict
from analysis.data.settings import Setting
from analysis.html.cells import Cell, Head, written
from vmi.spec.metrics import Shown, shown
from vmi.spec.trial import Row

SHORT, LONG = shown(Shown.TERMINAL), shown(Shown.PAGE)


class Column(NamedTuple):
    """A column: its head and what it holds of a setting."""

    named: Head
    value: Callable[[Setting], Cell]

    @property
    def head(self) -> str:
        return self.named.text

    def cell(self, setting: Setting) -> str:
        return written(self.value(setting), self.named.decimals)


def of_settings(plan: Design, score: str | None, metrics: Sequence[str]) -> list[Column]:
    """Varied parameters, number of seeds, verdict, score, then those of `metrics` that some setting has.

    With restarts the score of all trials stands beside that of the chosen ones.
    """
    names = [name for name, _ in plan.settings[0].params] if plan.settings else []
    wanted = with_share(list(dict.fromkeys([score, *metrics] if score else metrics)), _rows(plan))
    present = [m for m in wanted if any(s.values(m) for s in plan.settings)]
    columns = [Column(Head(labels.symbol(name), name), _parameter(name)) for name in names]
    columns += [Column(Head("n", "seeds"), lambda s: len(s.rows))]
    if any(verdict(s) for s in plan.settings):
        columns.append(Column(Head("verdict", "verdict"), verdict))
    for metric in present:
        record = labels.metric(metric)
        columns.append(Column(Head(record.short, metric, record.decimals), _metric(metric)))
        if metric == score and any(s.groups for s in plan.settings):
            columns.append(Column(Head("all trials", f"{metric}_all_trials", record.decimals), _all_trials(metric)))
    return columns


def _rows(plan: Design) -> Iterator[Row]:
    return (row for setting in plan.settings for row in setting.rows)


def block_rates(plan: Design) -> list[Column]:
    """The rate of the primary block of each kind, where there is one."""
    heads = {"c": Head("rate of c", "rate_c_nats", 2), "n": Head("rate of n", "rate_n_nats", 2)}
    present = [kind for kind in heads if any(primary(s.rows[0], kind) for s in plan.settings)]
    return [Column(heads[kind], _rate(kind)) for kind in present]


def _parameter(name: str) -> Callable[[Setting], Cell]:
    return lambda s: s.get(name)


def _metric(name: str) -> Callable[[Setting], Cell]:
    return lambda s: s.interval(name)


def _all_trials(name: str) -> Callable[[Setting], Cell]:
    return lambda s: s.all_trials(name)


def _rate(kind: str) -> Callable[[Setting], Cell]:
    return lambda s: block_rate(s, kind)
