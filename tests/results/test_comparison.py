"""Two records of one trial side by side: equal means bit by bit, and what is in no store is no difference."""

from __future__ import annotations

from typing import Any

import numpy as np

from vmi.results.comparison import Record, array_differences, curve_differences, metric_differences


def record(row: dict[str, Any] | None = None, curve: Any = None, arrays: Any = None) -> Record:
    return Record(row=row or {}, curve=curve or {}, arrays=arrays or {})


def metrics(stored: float | None, now: float | None) -> list[str]:
    return list(metric_differences(record({"nmi": stored}), record({"nmi": now})))


def test_metrics_are_compared_bit_by_bit() -> None:
    assert metrics(0.1, 0.1) == metrics(float("nan"), float("nan")) == []
    assert metrics(0.5, 0.25) == ["nmi: 0.5 stored, 0.25 now (-0.25)"]
    assert metrics(0.1, np.nextafter(0.1, 1)) and metrics(0.0, -0.0)
    assert metrics(0.5, None) == ["nmi: 0.5 stored, nothing now"]


def test_what_was_not_stored_then_is_no_difference() -> None:
    assert metrics(None, 0.5) == []
    assert list(array_differences(record(), record(arrays={"inputs": np.zeros(2)}))) == []
    assert list(curve_differences(record(curve={2: {"a": 1.0}}), record(curve={2: {"a": 1.0, "b": 2.0}}))) == []


def test_the_configuration_is_no_metric() -> None:
    assert record({"capacity_normal_nats": 3.0, "rate_nats": 1.0, "seed": 4}).metrics == {"rate_nats": 1.0}


def test_a_column_of_the_curve_is_told_once_with_the_first_report_that_differs() -> None:
    stored = record(curve={2: {"a": 1.0, "bins": [1, 2]}, 4: {"a": 2.0, "bins": [1, 2]}})
    now = record(curve={2: {"a": 1.0, "bins": [1, 2]}, 4: {"a": 2.5, "bins": [2, 2]}})
    assert list(curve_differences(stored, stored)) == []
    assert list(curve_differences(stored, now)) == [
        "curve, a: 1 of 2 reports, first at step 4: 2.0 stored, 2.5 now (+0.5)",
        "curve, bins: 1 of 2 reports, first at step 4: 1 of 2 bins",
    ]
    assert list(curve_differences(stored, now, until=2)) == []


def test_reports_at_other_steps_are_told_and_the_common_ones_compared() -> None:
    stored, now = record(curve={2: {"a": 1.0}, 4: {"a": 2.0}}), record(curve={4: {"a": 3.0}})
    assert list(curve_differences(stored, now)) == [
        "curve: reports at steps 2, 4 stored, at 4 now",
        "curve, a: 1 of 1 reports, first at step 4: 2.0 stored, 3.0 now (+1)",
    ]
    assert list(curve_differences(stored, record())) == ["curve: reports at steps 2, 4 stored, at none now"]


def test_arrays_are_compared_in_shape_kind_and_every_value() -> None:
    stored = record(arrays={"inputs": np.array([250, 3, 7], np.uint8)})
    assert list(array_differences(stored, stored)) == []
    other = record(arrays={"inputs": np.array([2, 3, 8], np.uint8)})
    assert list(array_differences(stored, other)) == ["array inputs: 2 of 3 values, by at most 248"]
    shorter = record(arrays={"inputs": np.array([250, 3], np.uint8)})
    assert list(array_differences(stored, shorter)) == ["array inputs: uint8 [3] stored, uint8 [2] now"]
    assert list(array_differences(stored, record())) == ["array inputs: uint8 [3] stored, nothing now"]
