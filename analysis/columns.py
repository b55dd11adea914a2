"""The table of settings, once for page and terminal: which columns there are, what each cell says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from analysis import labels
from analysis.aggregate import Setting
from analysis.design import Design
from analysis.figures_mi import block_rate
from analysis.information import primary, verdict

SHORT = (
    "accuracy_majority",
    "mi_encoder_nats",
    "mi_paper_nats",
    "categories_used",
    "rate_nats",
    "distortion_nats",
)
LONG = (
    "accuracy_majority", "accuracy_hungarian", "accuracy_train", "nmi", "ari",
    "mi_encoder_nats", "mi_real_bound_nats", "mi_decoder_bound_nats", "mi_paper_nats",
    "category_entropy_nats", "categories_used", "mi_encoder_lower_nats", "mi_encoder_upper_nats",
    "rate_nats", "distortion_nats", "elbo_nats",
)  # fmt: skip


class Column(NamedTuple):
    """A column: its head and what it says of a setting."""

    head: str
    cell: Callable[[Setting], str]


def of_settings(plan: Design, score: str | None, metrics: Sequence[str]) -> list[Column]:
    """Varied parameters, number of seeds, verdict, score, then those of `metrics` that some setting has."""
    names = [name for name, _ in plan.settings[0].params] if plan.settings else []
    wanted = list(dict.fromkeys([score, *metrics] if score else metrics))
    shown = [m for m in wanted if any(s.values(m) for s in plan.settings)]
    columns = [Column(labels.symbol(name), _parameter(name)) for name in names]
    columns += [Column("n", lambda s: str(len(s.rows)))]
    if any(verdict(s) for s in plan.settings):
        columns.append(Column("verdict", verdict))
    columns += [Column(labels.metric(m).short, _metric(m)) for m in shown]
    return columns


def block_rates(plan: Design) -> list[Column]:
    """The rate of the primary block of each kind, where there is one."""
    kinds = [("c", "rate of c"), ("n", "rate of n")]
    return [Column(head, _rate(kind)) for kind, head in kinds if any(primary(s.rows[0], kind) for s in plan.settings)]


def _parameter(name: str) -> Callable[[Setting], str]:
    return lambda s: labels.value(s.get(name))


def _metric(name: str) -> Callable[[Setting], str]:
    return lambda s: labels.plus_minus(s.interval(name), labels.metric(name).decimals)


def _rate(kind: str) -> Callable[[Setting], str]:
    return lambda s: labels.plus_minus(block_rate(s, kind))
