"""Trials into settings (equal but for the seed), and their metrics into intervals over replicates: seeds, or the
chosen one of each group of restarts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from analysis.data.baseline import baseline_of
from analysis.data.study_json import part_of, restarts_of
from vmi.results.schema import trials_schema
from vmi.spec.intervals import Interval as Interval
from vmi.spec.intervals import interval as interval
from vmi.spec.requests import is_searched
from vmi.spec.restarts import Group
from vmi.spec.trial import Row

T = TypeVar("T")
Key = tuple[Any, ...]


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
    names, value_of = varied(rows, spec), values_in(spec)
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(value_of(row, name) for name in names), []).append(row)
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

    Then those by which the baseline is `apart`. A column that follows from others (a final temperature equal to the
    initial one) is left out.
    """
    space, value_of = [name for name in spec.get("space", {}) if name in (*CONFIG_COLUMNS, "preset")], values_in(spec)
    names = [name for name in space if len({value_of(row, name) for row in rows}) > 1]
    names += apart(rows, spec)
    for name in CONFIG_COLUMNS:
        if name not in names and _splits(rows, names, name):
            names.append(name)
    return tuple(names)


def apart(rows: Sequence[Row], spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns outside of the space by which the baseline alone differs from all else: nothing was swept there."""
    base, space = baseline_of(spec), part_of(spec, "space")
    others = [row for row in rows if base is not None and not base.has(row)]
    if base is None or not 0 < len(others) < len(rows):
        return ()
    names = [name for name in CONFIG_COLUMNS if name in base.own and name not in space]
    return tuple(name for name in names if {row.get(name) for row in others} <= {others[0].get(name)})


def values_in(spec: Mapping[str, Any]) -> Callable[[Row, str], Any]:
    """How a parameter's value is read off a row; None where it was not searched, and so only takes a default.

    The baseline may give a parameter a value of its own where the space does not search it.
    """
    base = baseline_of(spec)

    def value_of(row: Row, name: str) -> Any:
        given = is_searched(name, row, spec) or (base is not None and name in base.own and base.has(row))
        return row.get(name) if given else None

    return value_of


def gathered(items: Iterable[tuple[Key, T]]) -> dict[Key, list[T]]:
    """Items by their values of some parameters, in their order.

    What lacks a parameter (None: it is not searched there) is in the group of each that agrees in the values it has,
    and in one of its own only where there is none.
    """
    listed = list(items)
    homes = _homes(list(dict.fromkeys(key for key, _ in listed)))
    groups: dict[Key, list[T]] = {}
    for key, item in listed:
        for home in homes[key]:
            groups.setdefault(home, []).append(item)
    return groups


def _homes(keys: Sequence[Key]) -> dict[Key, list[Key]]:
    """By key those that have all its values and lack nothing that another such one has: itself where it is one."""
    had = {key: tuple(i for i, v in enumerate(key) if v is not None) for key in keys}
    alike: dict[tuple[tuple[int, ...], Key], list[Key]] = {}
    for places in set(had.values()):
        for key in keys:
            alike.setdefault((places, tuple(key[i] for i in places)), []).append(key)
    near = {key: alike[had[key], tuple(key[i] for i in had[key])] for key in keys}
    return {key: [k for k in near[key] if len(near[k]) == 1] for key in keys}


def order_of(name: str, value: Any, spec: Mapping[str, Any]) -> tuple[int, float, str]:
    """Sort key of a parameter's value: numbers by size, names as the space lists them; absent ones last."""
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, int | float):
        return 0, float(value), ""
    listed = [str(v) for v in spec.get("space", {}).get(name, {}).get("values", [])]
    return 1, float(listed.index(value)) if value in listed else math.inf, str(value)


def _splits(rows: Sequence[Row], names: Sequence[str], extra: str) -> bool:
    seen: dict[Key, Any] = {}
    return any(seen.setdefault(_key(row, names), row.get(extra)) != row.get(extra) for row in rows)


def _key(row: Row, names: Sequence[str]) -> Key:
    return tuple(row.get(name) for name in names)


def _config_columns() -> tuple[str, ...]:
    # The schema lists the configuration between how a trial ended and its data set's fingerprint.
    names = trials_schema(()).names
    between = names[names.index("step") + 1 : names.index("data_fingerprint") + 1]
    return tuple(name for name in between if name not in ("seed", "preset"))


CONFIG_COLUMNS = _config_columns()
