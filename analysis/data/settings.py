"""Trials into settings (equal but for the seed), and their metrics into intervals over replicates: seeds, or the
chosen one of each group of restarts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.data.study_json import restarts_of
from vmi.results.schema import trials_schema
from vmi.spec.intervals import Interval as Interval
from vmi.spec.intervals import interval as interval
from vmi.spec.requests import is_searched
from vmi.spec.restarts import Group
from vmi.spec.trial import Row


@dataclass(frozen=True)
class Setting:
    """Trials that differ in their seed alone. `params` are the varied configuration columns, in order.

    `rows` has one trial per replicate. With restarts that is the chosen one of each of `groups`, and `completed` has
    all that were trained to their end; without, both are empty.
    """

    params: tuple[tuple[str, Any], ...]
    rows: tuple[Row, ...]
    groups: tuple[Group, ...] = ()
    completed: tuple[Row, ...] = ()

    @property
    def by_group(self) -> dict[Group, Row]:
        """The rows by the seeds that each stands for."""
        return dict(zip(self.groups or [(row["seed"],) for row in self.rows], self.rows, strict=True))

    @property
    def replicate(self) -> str:
        """What an interval is over: "seed", or "group" (of restarts)."""
        return "group" if self.groups else "seed"

    def get(self, name: str) -> Any:
        return dict(self.params).get(name)

    def values(self, metric: str) -> list[float]:
        return [float(row[metric]) for row in self.rows if row.get(metric) is not None]

    def interval(self, metric: str) -> Interval | None:
        return interval(self.values(metric))

    def all_trials(self, metric: str) -> Interval | None:
        """The interval over all completed trials, chosen or not; None without restarts."""
        return interval(float(row[metric]) for row in self.completed if row.get(metric) is not None)

    def mean(self, metric: str) -> float | None:
        found = self.interval(metric)
        return found.mean if found else None


def paired_gain(setting: Setting, reference: Setting, metric: str) -> Interval | None:
    """Interval of metric(setting) - metric(reference) over the seeds of both: their shared luck cancels.

    Of restarts over the groups of both, each with its own chosen trial.
    """
    base = {group: row[metric] for group, row in reference.by_group.items() if row.get(metric) is not None}
    pairs = [(row.get(metric), base.get(group)) for group, row in setting.by_group.items()]
    return interval(a - b for a, b in pairs if a is not None and b is not None)


def settings(rows: Sequence[Row], spec: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The settings of a study, ordered by their parameters; of restarts those with a chosen trial."""
    names = varied(rows, spec)
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(value_of(row, name, spec) for name in names), []).append(row)
    made = [setting_of(tuple(zip(names, key, strict=True)), members, spec) for key, members in groups.items()]
    return tuple(sorted((s for s in made if s.rows), key=lambda s: tuple(order_of(n, v, spec) for n, v in s.params)))


def setting_of(params: tuple[tuple[str, Any], ...], rows: Sequence[Row], spec: Mapping[str, Any]) -> Setting:
    """These completed trials as a setting: each a replicate, or with restarts the chosen one of each group."""
    restarts = restarts_of(spec)
    if restarts.size == 1:
        return Setting(params, tuple(rows))
    by_seed = {row["seed"]: row for row in rows}
    chosen = restarts.chosen({seed: row.get(restarts.choose_by) for seed, row in by_seed.items()})
    kept = {group: by_seed[seed] for group, seed in chosen.items() if seed is not None}
    return Setting(params, tuple(kept.values()), tuple(kept), tuple(rows))


def varied(rows: Sequence[Row], spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Configuration columns that tell settings apart, seed aside: those of the space first, in its order.

    A column that follows from others (a final temperature equal to the initial one) is left out.
    """
    space = [name for name in spec.get("space", {}) if name in (*CONFIG_COLUMNS, "preset")]
    names = [name for name in space if len({value_of(row, name, spec) for row in rows}) > 1]
    for name in CONFIG_COLUMNS:
        if name not in names and _splits(rows, names, name):
            names.append(name)
    return tuple(names)


def value_of(row: Row, name: str, spec: Mapping[str, Any]) -> Any:
    """The parameter's value; None where it was not searched, and so only takes a default."""
    return row.get(name) if is_searched(name, row, spec) else None


def order_of(name: str, value: Any, spec: Mapping[str, Any]) -> tuple[int, float, str]:
    """Sort key of a parameter's value: numbers by size, names as the space lists them; absent ones last."""
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, int | float):
        return 0, float(value), ""
    listed = [str(v) for v in spec.get("space", {}).get(name, {}).get("values", [])]
    return 1, float(listed.index(value)) if value in listed else math.inf, str(value)


def _splits(rows: Sequence[Row], names: Sequence[str], extra: str) -> bool:
    seen: dict[tuple[Any, ...], Any] = {}
    return any(seen.setdefault(_key(row, names), row.get(extra)) != row.get(extra) for row in rows)


def _key(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in names)


def _config_columns() -> tuple[str, ...]:
    # The schema lists the configuration between how a trial ended and its data set's fingerprint.
    names = trials_schema(()).names
    between = names[names.index("step") + 1 : names.index("data_fingerprint") + 1]
    return tuple(name for name in between if name not in ("seed", "preset"))


CONFIG_COLUMNS = _config_columns()
