"""The planner against every cut and every assignment on small cases, and against bounds on larger ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmi.cost.planning import COST, Cut, Group, bound, planned
from vmi.cost.simulation import Job, Schedule, simulate


def group(count: int, most: int, once: float, each: float, load: float = 0.0, key: str = "d") -> Group:
    return Group(count, most, lambda k: once + k * each, {key: load} if load else {})


def schedule(groups: Sequence[Group], cuts: Sequence[Cut], workers: int, start: float = 0.0) -> Schedule:
    return simulate([[Job(groups[i].of[size], groups[i].once) for i, size in cuts]], workers, start)


def partitions(count: int, most: int) -> Iterator[tuple[int, ...]]:
    """Every way to write a count as a sum of sizes, largest first."""
    if not count:
        yield ()
    for first in range(min(count, most), 0, -1):
        for rest in partitions(count - first, first):
            yield (first, *rest)


def optimum(groups: Sequence[Group], workers: int) -> float:
    """The least makespan of any cut and any assignment to workers, by trying them all; nothing is paid once."""
    best = float("inf")
    for cut in product(*(partitions(g.count, g.most) for g in groups)):
        reached = {(0.0,) * workers}
        for seconds in (g.of[size] for g, sizes in zip(groups, cut, strict=True) for size in sizes):
            reached = {
                tuple(sorted((*ends[:w], ends[w] + seconds, *ends[w + 1 :])))
                for ends in reached
                for w in range(workers)
            }
        best = min(best, *(max(ends) for ends in reached))
    return best


SMALL = st.builds(
    group, st.integers(1, 4), st.integers(1, 3), st.integers(0, 8).map(float), st.integers(1, 9).map(float)
)
ANY = st.builds(
    group,
    st.integers(1, 40),
    st.integers(1, 16),
    st.floats(0, 50),
    st.floats(0.1, 50),
    st.sampled_from([0.0, 4.0]),
    st.sampled_from("abc"),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(SMALL, min_size=1, max_size=2), st.integers(1, 3))
def test_it_is_near_the_best_of_all_cuts_and_assignments(groups: list[Group], workers: int) -> None:
    found = schedule(groups, planned(groups, workers), workers).makespan
    best = optimum(groups, workers)
    assert best * (1 - 1e-9) <= found <= 1.2 * best
    assert bound(groups, workers) <= best * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(ANY, max_size=6), st.integers(1, 30), st.floats(0, 20), st.sampled_from(["time", "cost"]))
def test_every_trial_is_in_one_pack_that_is_not_too_large(
    groups: list[Group], workers: int, start: float, prefer: str
) -> None:
    cuts = planned(groups, workers, start, prefer)
    for index, one in enumerate(groups):
        sizes = [size for i, size in cuts if i == index]
        assert sum(sizes) == one.count and all(1 <= size <= one.most for size in sizes)
    assert cuts == planned(groups, workers, start, prefer)


@settings(max_examples=40, deadline=None)
@given(st.lists(ANY, min_size=1, max_size=6), st.integers(1, 30), st.floats(0, 20))
def test_it_is_no_worse_than_even_cuts_and_takes_no_less_than_the_bound(
    groups: list[Group], workers: int, start: float
) -> None:
    found = schedule(groups, planned(groups, workers, start), workers, start).makespan
    fewest = [(i, size) for i, g in enumerate(groups) for size in g.even(-(-g.count // g.most))]
    longest = sorted(fewest, key=lambda cut: -groups[cut[0]].of[cut[1]])
    assert found <= 1.01 * schedule(groups, longest, workers, start).makespan + 1e-9
    assert found >= bound(groups, workers, start) * (1 - 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(ANY, min_size=1, max_size=6), st.integers(1, 30))
def test_by_cost_no_cut_for_time_has_less_work(groups: list[Group], workers: int) -> None:
    def work(cuts: Sequence[Cut]) -> float:
        return sum(groups[i].of[size] for i, size in cuts)

    assert work(planned(groups, workers, 0.0, COST)) <= work(planned(groups, workers)) * (1 + 1e-9) + 1e-9


def test_four_trials_that_gain_little_by_fusing_use_both_workers() -> None:
    four = [group(4, 16, 0.2, 1.0)]
    assert planned(four, 2) == [(0, 2), (0, 2)]
    assert planned(four, 2, prefer=COST) == [(0, 4)]


def test_where_fusing_is_all_the_gain_a_pack_stays_whole() -> None:
    assert planned([group(4, 16, 100.0, 0.01)], 2) == [(0, 4)]


def test_the_last_packs_end_together() -> None:
    """One long Architecture beside a short one: what is left over of the short one is cut to end with the long one."""
    groups = [group(7, 16, 1.0, 10.0), group(40, 16, 1.0, 1.0)]
    found = schedule(groups, planned(groups, 2), 2)
    assert found.idle_share < 0.03


@pytest.mark.parametrize("workers", [2, 10, 30])
def test_five_architectures_with_one_to_forty_trials_keep_the_workers_busy(workers: int) -> None:
    groups = [group(n, 16, 2.0, 10.0 + n, 1.0, f"{n % 2}") for n in (1, 5, 12, 40, 40)]
    assert schedule(groups, planned(groups, workers, 3.0), workers, 3.0).idle_share <= 0.15


def test_what_is_asked_for_is_checked() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        planned([], 0)
    with pytest.raises(ValueError, match="'speed'"):
        planned([], 1, prefer="speed")
    assert planned([], 1) == []


def test_twenty_thousand_trials_of_a_hundred_architectures_take_seconds_not_minutes() -> None:
    groups = [group(200, 16, 3.0 + i % 5, 1.0 + i % 7, 1.0, f"{i % 3}") for i in range(100)]
    began = time.process_time()
    cuts = planned(groups, 64)
    assert sum(size for _, size in cuts) == 20_000
    assert time.process_time() - began < 20
