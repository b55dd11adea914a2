"""Bounds and fronts: what keeps a bound, and which points no other one beats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.spec.goals import DIRECTIONS, Bound, at_least, at_most, front

COORDINATE = st.integers(0, 4).map(float)


@pytest.mark.parametrize(
    ("bound", "value", "excess"),
    [
        (at_least(1.5), 1.0, 0.5),
        (at_least(1.5), 1.5, 0.0),
        (at_most(3), 5.0, 2.0),
        (at_most(3), 1.0, -2.0),
        (Bound(1, 2), 0.5, 0.5),
        (Bound(1, 2), 1.75, -0.25),
    ],
)
def test_a_bound_says_by_how_much_it_is_broken(bound: Bound, value: float, excess: float) -> None:
    assert bound.excess(value) == excess


def test_a_bound_reads_as_a_phrase() -> None:
    assert (str(at_least(1.5)), str(at_most(3)), str(Bound(1, 2))) == (
        "at least 1.5",
        "at most 3",
        "at least 1 and at most 2",
    )


def beaten(point: tuple[float, ...], by: tuple[float, ...], directions: list[str]) -> bool:
    gains = [a - b if d == "maximize" else b - a for a, b, d in zip(by, point, directions, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


@given(st.lists(st.sampled_from(DIRECTIONS), min_size=1, max_size=3), st.data())
def test_the_front_is_what_nothing_beats(directions: list[str], data: st.DataObject) -> None:
    points = data.draw(st.lists(st.tuples(*[COORDINATE] * len(directions)), max_size=12))
    expected = [i for i, p in enumerate(points) if not any(beaten(p, q, directions) for q in points)]
    assert front(points, directions) == expected


def test_a_front_of_few_points() -> None:
    assert front([], ["maximize"]) == []
    assert front([(1.0, math.pi)], ["maximize", "minimize"]) == [0]
    assert front([(1.0, 1.0), (1.0, 1.0)], ["maximize", "minimize"]) == [0, 1]
