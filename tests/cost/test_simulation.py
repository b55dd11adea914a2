"""The simulated schedule against closed forms and against what must hold of any schedule."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.cost.simulation import Job, simulate

SECONDS = st.floats(min_value=0.0, max_value=1e6, allow_nan=False)
JOBS = st.lists(SECONDS.map(Job), max_size=40)


@given(st.integers(1, 200), st.integers(1, 100), st.integers(1, 1000))
def test_identical_packs_take_the_ceiling_of_packs_over_workers(packs: int, workers: int, seconds: int) -> None:
    found = simulate([[Job(seconds)] * packs], workers)
    assert found.makespan == math.ceil(packs / workers) * seconds
    assert found.busy == packs * seconds
    assert found.idle == workers * found.makespan - packs * seconds
    assert found.used == min(packs, workers)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 100), st.integers(0, 100))
def test_every_worker_that_is_used_pays_its_start_and_each_data_set_once(
    packs: int, workers: int, start: int, load: int
) -> None:
    found = simulate([[Job(10, {"mnist": load})] * packs], workers, start)
    assert found.makespan == start + load + 10 * math.ceil(packs / workers)
    assert found.overhead == min(packs, workers) * (start + load)


def test_a_round_waits_for_the_end_of_the_last_and_finds_its_workers_warm() -> None:
    found = simulate([[Job(1, {"a": 5}), Job(3, {"a": 5})], [Job(2, {"a": 5}), Job(2, {"b": 7})]], 2, 100)
    assert found.makespan == (100 + 5 + 3) + (2 + 7)
    assert found.overhead == 2 * 105 + 7


def test_no_worker_is_started_that_is_not_needed() -> None:
    found = simulate([[Job(1)], [Job(1)], [Job(1)]], 5, 10)
    assert (found.used, found.makespan, found.overhead) == (1, 13, 10)


@given(JOBS, st.integers(1, 60), SECONDS)
def test_more_workers_never_take_longer(jobs: list[Job], workers: int, start: float) -> None:
    """For packs that load nothing: a cold worker that loads what a warm one has may well be slower."""
    one, more = simulate([jobs], workers, start), simulate([jobs], workers + 1, start)
    assert more.makespan <= one.makespan * (1 + 1e-12)


@given(JOBS, st.integers(1, 60))
def test_a_makespan_is_between_its_bounds_and_the_account_adds_up(jobs: list[Job], workers: int) -> None:
    found = simulate([jobs], workers)
    total, longest = sum(j.seconds for j in jobs), max((j.seconds for j in jobs), default=0.0)
    assert max(total / workers, longest) <= found.makespan * (1 + 1e-9) + 1e-9
    assert found.makespan <= (total / workers + longest) * (1 + 1e-9) + 1e-9  # Graham's bound
    assert found.busy == pytest.approx(total)
    assert 0 <= found.idle_share <= 1


@given(JOBS, st.integers(1, 10))
def test_a_simulation_is_deterministic(jobs: list[Job], workers: int) -> None:
    assert simulate([jobs, jobs], workers, 3.0) == simulate([jobs, jobs], workers, 3.0)


def test_a_thousand_workers_and_nothing_to_do() -> None:
    assert simulate([], 1000).makespan == simulate([[]], 1000, 5).busy == 0.0
    assert simulate([], 1000).idle_share == 0.0
    with pytest.raises(ValueError, match="at least 1"):
        simulate([], 0)
