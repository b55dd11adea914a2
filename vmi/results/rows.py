"""Rows of the tables: what tells them apart, what they join on, and which of several rows of one trial counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vmi.spec.trial import OUTCOMES, RETRIABLE, Row

# What tells the rows of a table apart when a commit that was cut short has been made again.
KEYS: Mapping[str, tuple[str, ...]] = {
    "trials": ("trial_id",),
    "curves": ("trial_id", "attempt", "step"),
    "arrays": ("trial_id", "attempt"),
}
_DECIDING = ("outcome", "attempt", "finished_at", "pack_id")


def preference(row: Row) -> tuple[Any, ...]:
    """Sorts rows of one trial, the one that counts first: the rule of every reader of the store.

    Completed before pruned before stopped or failed, then the lowest attempt (of stopped and failed rows the highest,
    which is the newest), then what was finished first, then the pack's id; what is not there, or no outcome of these,
    comes last.
    """
    outcome, attempt, *others = (row.get(name) for name in _DECIDING)
    rank = OUTCOMES.index(outcome) if outcome in OUTCOMES else len(OUTCOMES)
    if outcome in RETRIABLE:
        rank, attempt = OUTCOMES.index(RETRIABLE[0]), None if attempt is None else -attempt
    return rank, *((value is None, value) for value in (attempt, *others))


def first_attempts(trials: pa.Table) -> pa.Table:
    """One row per trial, that which counts (`preference`), in the order of their ids."""
    places: dict[str, list[int]] = {}
    for place, trial_id in enumerate(trials["trial_id"].to_pylist()):
        places.setdefault(trial_id, []).append(place)
    # Hardly any trial has several rows: only these are looked at.
    doubled = [place for several in places.values() if len(several) > 1 for place in several]
    told = trials.select(_DECIDING).take(pa.array(doubled, pa.int64())).to_pylist()
    rank = dict(zip(doubled, map(preference, told), strict=True))
    chosen = [several[0] if len(several) == 1 else min(several, key=rank.__getitem__) for several in places.values()]
    return trials.take(pa.array(chosen, pa.int64())).sort_by("trial_id")


def attempts_with(outcomes: Collection[str], finished: Iterable[Row]) -> dict[str, int]:
    """Those of the rows that count which have one of these outcomes: the attempt of each, by trial."""
    return {row["trial_id"]: row["attempt"] or 0 for row in finished if row["outcome"] in outcomes}


def earlier_attempts(trials: pa.Table, counted: Iterable[Row]) -> dict[str, tuple[Row, ...]]:
    """How trials that were tried again had failed, or were stopped: a row of each attempt below the one that counts.

    By trial, in their order; `counted` are the rows that count. A trial that was tried once is not in it.
    """
    attempt_of = {row["trial_id"]: row["attempt"] or 0 for row in counted}
    found: dict[str, dict[int, Row]] = {}
    for row in trials.filter(pc.is_in(trials["outcome"], pa.array(RETRIABLE))).to_pylist():
        attempt = row["attempt"] or 0
        if attempt < attempt_of.get(row["trial_id"], 0):
            found.setdefault(row["trial_id"], {}).setdefault(attempt, row)
    return {trial_id: tuple(rows[attempt] for attempt in sorted(rows)) for trial_id, rows in found.items()}


def distinct(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The first row of every key, in the order of the rows."""
    numbered = rows.select(keys).append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    first = numbered.group_by(list(keys)).aggregate([("row", "min")])["row_min"]
    return rows.take(first.combine_chunks().sort())


def attempts(rows: pa.Table) -> pa.ChunkedArray:
    """The key that rows of all tables join on, as text."""
    return pc.binary_join_element_wise(rows["trial_id"], pc.cast(rows["attempt"], pa.string()), ":")
