"""The recorder that makes trials durable: rows typed as the schema says, one part per table and commit."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from numbers import Real
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from vmi.results.schema import (
    CURVE_METRICS,
    METRICS,
    TABLES,
    block_columns,
    curve_block_columns,
    schema_of,
)
from vmi.results.store import Store
from vmi.spec import layout as latents
from vmi.spec.config import FIELD_TYPES
from vmi.spec.datasets import spec_of
from vmi.spec.trial import Completed, Cost, Failed, Outcome, Pruned, Report, Row, Stopped, Trial


class Committed(NamedTuple):
    """The rows of `trials` and `curves` that a commit has made durable, with every column of the table."""

    trials: tuple[Row, ...]
    curves: tuple[Row, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The trials that are now finished."""
        return tuple(row["trial_id"] for row in self.trials)


class Recorder(Protocol):
    """Takes what a pack yields. A trial is *finished* only once `commit` has returned its row."""

    def write(self, report: Report) -> None:
        """Keep one report of a trial's curve."""

    def finish(self, trial: Trial, outcome: Outcome, cost: Cost) -> None:
        """Keep how a trial ended."""

    def commit(self) -> Committed:
        """Make everything kept of ended trials durable; the rows of the trials that are now finished."""


class ParquetRecorder:
    """Keeps reports and outcomes of packs of one study until `commit` makes those of ended trials durable.

    `layouts` and `dataset` are the whole study's (they fix the columns). `attempt` joins a trial's rows
    across tables: a trial that is trained again needs another (`Store.next_attempt`). `clock`: aware times.
    """

    def __init__(
        self, store: Store, layouts: Sequence[str], dataset: str, attempt: int, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._attempt = attempt
        self._clock = clock
        self._schemas = {table: schema_of(table, layouts, dataset) for table in TABLES}
        blocks = [block for layout in layouts for block in latents.parse(layout).blocks]
        self._final_metrics = {*METRICS, *(name for block in blocks for name in block_columns(block))}
        self._curve_metrics = {
            *CURVE_METRICS,
            *(name for block in blocks for name in curve_block_columns(block)),
        }
        self._curves: dict[str, list[dict[str, Any]]] = {}
        self._arrays: dict[str, dict[str, Any]] = {}
        self._trials: dict[str, dict[str, Any]] = {}

    def write(self, report: Report) -> None:
        """Keep one report, not finite values as they are. KeyError on a metric that no layout has."""
        _refuse_unknown(report.metrics, self._curve_metrics)
        row = self._head(report.trial_id) | {"step": report.step, **report.metrics, **report.histograms}
        self._curves.setdefault(report.trial_id, []).append(row)

    def finish(self, trial: Trial, outcome: Outcome, cost: Cost) -> None:
        """Keep how a trial ended; a final metric that is not finite is null, and makes it failed unless it was stopped.

        KeyError on a metric or array that no layout has; ValueError on an array of another shape or type, a
        metric that must be whole and is not, or a cost of another attempt.
        """
        if cost.attempt != self._attempt:
            raise ValueError(f"cost of attempt {cost.attempt} in the recorder of attempt {self._attempt}")
        ended = self._ended(outcome)
        head = self._head(trial.trial_id)
        if isinstance(outcome, Completed) and ended["outcome"] == "completed":
            self._arrays[trial.trial_id] = head | self._flat(outcome.arrays)
        self._trials[trial.trial_id] = {
            **head,
            "suggestion_id": trial.suggestion_id,
            **{name: getattr(trial.config, name) for name in FIELD_TYPES},
            "data_fingerprint": spec_of(trial.config.dataset).fingerprint,
            **ended,
            **cost._asdict(),
            "finished_at": self._clock(),
        }

    def commit(self) -> Committed:
        """Make the ended trials durable and return their rows. After an OSError it may be called again.

        Reports of trials that have not ended stay here: a curve is published with its trial, never before it.
        """
        ids = list(self._trials)
        if not ids:
            return Committed((), ())
        rows: dict[str, Iterable[dict[str, Any]]] = {
            "curves": (row for trial_id in ids for row in self._curves.get(trial_id, ())),
            "arrays": self._arrays.values(),
            "trials": self._trials.values(),
        }
        tables = {name: _table(list(rows[name]), schema) for name, schema in self._schemas.items()}
        self._store.commit(**tables)
        for trial_id in ids:
            self._curves.pop(trial_id, None)
        self._arrays, self._trials = {}, {}
        return Committed(tuple(tables["trials"].to_pylist()), tuple(tables["curves"].to_pylist()))

    def reported(self) -> pa.Table:
        """The reports that are kept, as rows of `curves`."""
        return _table([row for rows in self._curves.values() for row in rows], self._schemas["curves"])

    def _head(self, trial_id: str) -> dict[str, Any]:
        return {"study": self._store.study, "trial_id": trial_id, "attempt": self._attempt}

    def _ended(self, outcome: Outcome) -> dict[str, Any]:
        """The columns outcome, reason, step and the final metrics."""
        step = outcome.step
        if isinstance(outcome, Failed):
            return {"outcome": "failed", "reason": outcome.reason, "step": step}
        _refuse_unknown(outcome.metrics, self._final_metrics)
        finite = {name: _typed(name, value) for name, value in outcome.metrics.items() if _is_finite(value)}
        if isinstance(outcome, Stopped):
            return {"outcome": "stopped", "reason": outcome.reason or None, "step": step, **finite}
        broken = [f"{name} became {value!r}" for name, value in outcome.metrics.items() if name not in finite]
        if broken:
            return {
                "outcome": "failed",
                "reason": f"{', '.join(broken)} at step {step}",
                "step": step,
                **finite,
            }
        if isinstance(outcome, Pruned):
            return {"outcome": "pruned", "reason": outcome.reason or None, "step": step, **finite}
        return {"outcome": "completed", "step": step, **finite}

    def _flat(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Each array as its flat values, once it is known to have its column's shape and type."""
        schema = self._schemas["arrays"]
        kinds = {field.name: field.type for field in schema if isinstance(field.type, pa.FixedShapeTensorType)}
        _refuse_unknown(arrays, kinds)
        for name, array in arrays.items():
            got = f"{array.dtype} {[*array.shape]}"
            wanted = f"{kinds[name].value_type} {[*kinds[name].shape]}"
            if got != wanted:
                raise ValueError(f"array {name} is {got}, but its column holds {wanted}")
        return {name: array.ravel() for name, array in arrays.items()}


def _refuse_unknown(given: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise KeyError(f"no column for {', '.join(unknown)}")


def _is_finite(value: object) -> bool:
    """False for what is no number too: a metric that is None or a string fails its trial, and says so."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _typed(name: str, value: float) -> float | int:
    if name not in METRICS or not METRICS[name].integer:
        return float(value)
    if value != int(value):
        raise ValueError(f"{name} = {value} is not a whole number")
    return int(value)


def _table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """The rows as a table; what a row does not have is null."""
    columns = [_column([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.FixedShapeTensorType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)
