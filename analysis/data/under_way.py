"""Trials under way, as the last checkpoints of their packs have them: no results, and in no table of results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from analysis.data.settings import Setting, order_of, values_in, varied
from vmi.in_flight.live import read_live
from vmi.results.store import Store
from vmi.spec.requests import in_view
from vmi.spec.trial import Row
from vmi.storage.paths import AnyPath


class UnderWay(NamedTuple):
    """Of each trial its ids, configuration, `step`, `pack_id` and `attempt`; by pack the reports, rows of `curves`."""

    rows: tuple[Row, ...]
    curves: Mapping[str, pa.Table]


def read(folder: AnyPath, spec: Mapping[str, Any], finished: Collection[str]) -> UnderWay:
    """What is under way in a study's folder, without trials that are `finished` or not asked for."""
    place = folder.absolute()
    live = list(read_live(Store(place.parent, place.name), finished))
    rows = [{**row, "pack_id": one.pack_id, "attempt": one.attempt} for one in live for row in one.trials]
    kept = sorted(in_view(spec, rows), key=lambda row: (str(row["suggestion_id"]), row["seed"] or 0, row["trial_id"]))
    return UnderWay(tuple(kept), {one.pack_id: one.curves for one in live})


def settings(under_way: Sequence[Row], compared: Sequence[Row], spec: Mapping[str, Any]) -> tuple[Setting, ...]:
    """Trials under way as settings, for drawing alone, told apart by what varies among them and those `compared`.

    A replicate is a seed here, with restarts too: nothing is chosen before it has ended.
    """
    names, value_of = _names(under_way, compared, spec), values_in(spec)
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in under_way:
        groups.setdefault(tuple(value_of(row, name) for name in names), []).append(row)
    made = [Setting(tuple(zip(names, key, strict=True)), tuple(rows)) for key, rows in groups.items()]
    return tuple(sorted(made, key=lambda s: tuple(order_of(n, v, spec) for n, v in s.params)))


def beside(
    under_way: Sequence[Row], compared: Sequence[Row], spec: Mapping[str, Any]
) -> Callable[[Setting], tuple[tuple[str, Any], ...]]:
    """What gives the parameters of a finished setting, as those of `settings` beside it are told apart."""
    names, value_of = _names(under_way, compared, spec), values_in(spec)
    return lambda setting: tuple((name, value_of(setting.rows[0], name)) for name in names)


def reached(setting: Setting) -> str:
    """How far it is: "under way, step 12 of 20", or the range where its seeds stand at several steps."""
    steps = sorted({int(row["step"]) for row in setting.rows})
    at = f"step {steps[0]:,}" if len(steps) == 1 else f"steps {steps[0]:,} to {steps[-1]:,}"
    return f"under way, {at} of {int(setting.rows[0]['steps']):,}"


def _names(under_way: Sequence[Row], compared: Sequence[Row], spec: Mapping[str, Any]) -> tuple[str, ...]:
    # What some rows lack (a field that is newer than they are, the data's fingerprint) tells none of the others apart.
    rows = (*compared, *under_way)
    space = spec.get("space", {})
    return tuple(n for n in varied(rows, spec) if n in space or all(row.get(n) is not None for row in rows))
