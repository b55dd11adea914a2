"""What two stores have of one trial, side by side: metrics, curve and arrays, bit by bit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vmi.results.rows import KEYS, distinct
from vmi.results.schema import JUDGED, METRICS
from vmi.results.store import Store
from vmi.spec.config import FIELD_TYPES
from vmi.spec.trial import Row

Array = np.ndarray[Any, Any]
# Columns of `curves` that are no measurement of the trial itself: what a judge was told is the study's.
_HEAD = ("study", "trial_id", "attempt", "step", JUDGED)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial as a store has it: its row, the reports of its curve by step, its arrays by name; none of it null."""

    row: Row
    curve: Mapping[int, Mapping[str, Any]]
    arrays: Mapping[str, Array]

    @property
    def metrics(self) -> Mapping[str, float]:
        """Its final metrics, with those of its blocks."""
        return {n: v for n, v in self.row.items() if v is not None and n not in FIELD_TYPES and _is_metric(n)}


def record_of(store: Store, row: Row) -> Record:
    """The record of the trial of a row that counts. Raises StoreError where the store is damaged."""
    tables = {table: _own(store.read(table).checked(), table, row) for table in ("curves", "arrays")}
    reports = {report["step"]: _present(report, _HEAD) for report in tables["curves"].to_pylist()}
    return Record(row=row, curve=dict(sorted(reports.items())), arrays=_arrays(tables["arrays"]))


def metric_differences(stored: Record, again: Record) -> Iterator[str]:
    """Each stored metric that is another now, by how much."""
    for name, value in stored.metrics.items():
        if not _same(value, now := again.metrics.get(name)):
            yield f"{name}: {_against(value, now)}"


def curve_differences(stored: Record, again: Record, until: int | None = None) -> Iterator[str]:
    """Each stored column of the curve, up to a step, that is another now: in how many reports, from which on."""
    curves = [{s: r for s, r in one.curve.items() if until is None or s <= until} for one in (stored, again)]
    if [*curves[0]] != [*curves[1]]:
        yield f"curve: reports at steps {_steps(curves[0])} stored, at {_steps(curves[1])} now"
    common = [step for step in curves[0] if step in curves[1]]
    for name in dict.fromkeys(name for step in common for name in curves[0][step]):
        pairs = [(step, curves[0][step][name], curves[1][step].get(name)) for step in common if name in curves[0][step]]
        wrong = [(step, before, now) for step, before, now in pairs if not _same(before, now)]
        if wrong:
            step, before, now = wrong[0]
            yield f"curve, {name}: {len(wrong)} of {len(pairs)} reports, first at step {step}: {_against(before, now)}"


def array_differences(stored: Record, again: Record) -> Iterator[str]:
    """Each stored array that is another now: in how many values, by how much at most."""
    for name, before in stored.arrays.items():
        now = again.arrays.get(name)
        if now is None or (before.shape, before.dtype) != (now.shape, now.dtype):
            yield f"array {name}: {_kind(before)} stored, {_kind(now)} now"
        elif count := int(np.count_nonzero(before != now)):
            most = np.abs(before.astype("float64") - now.astype("float64")).max()
            yield f"array {name}: {count:,} of {before.size:,} values, by at most {most:g}"


def _is_metric(column: str) -> bool:
    return column in METRICS or column.endswith("_nats")


def _own(rows: pa.Table, table: str, row: Row) -> pa.Table:
    mine = pc.equal(rows["trial_id"], row["trial_id"])
    return distinct(rows.filter(pc.and_(mine, pc.equal(rows["attempt"], row["attempt"]))), KEYS[table])


def _present(row: Row, without: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None and name not in without}


def _arrays(rows: pa.Table) -> dict[str, Array]:
    kinds = {field.name for field in rows.schema if isinstance(field.type, pa.FixedShapeTensorType)}
    scalars = {name: rows[name][0] for name in rows.column_names if name in kinds and rows.num_rows}
    return {name: scalar.to_numpy() for name, scalar in scalars.items() if scalar.is_valid}


def _same(before: object, now: object) -> bool:
    """Bit by bit: 0.0 is not -0.0, and a NaN is the other."""
    if isinstance(before, float) and isinstance(now, float):
        return before.hex() == now.hex()
    return before == now


def _against(before: object, now: object) -> str:
    if isinstance(before, int | float) and isinstance(now, int | float):
        return f"{before!r} stored, {now!r} now ({now - before:+.3g})"
    if isinstance(before, Sequence) and isinstance(now, Sequence):
        return f"{sum(a != b for a, b in zip(before, now, strict=False))} of {len(before)} bins"
    return f"{before!r} stored, {'nothing' if now is None else repr(now)} now"


def _steps(curve: Mapping[int, Any]) -> str:
    return ", ".join(map(str, curve)) or "none"


def _kind(array: Array | None) -> str:
    return "nothing" if array is None else f"{array.dtype} {[*array.shape]}"
