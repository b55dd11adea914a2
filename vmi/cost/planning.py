"""Which packs, in which order: for the least makespan on so many workers, or for the least work (`PREFERENCES`).

A member's numbers do not depend on its pack, so any cut is legal. Trials of one Architecture are alike: a group of them
is a count, the seconds of a pack of k of them, and what a worker pays once before its first. To plan for time, workers
are filled one after another up to a common end T, groups one after another: the group that does not fit is cut there,
and goes on with the next worker (McNaughton's rule, with the fixed cost of a pack as the price of a cut). T is found by
bisection. Beside that stand even cuts, longest first, at some lengths; the best by the simulated schedule is taken, of
those within SLACK of it the one with least work.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vmi.cost.simulation import Job, simulate

# What is wanted: to be through soon, or with little work, where workers that have nothing to do are not paid for.
TIME, COST = PREFERENCES = ("time", "cost")
# Plans whose makespans are within this are alike: the one with less work is better.
SLACK = 0.01
BISECTIONS, LENGTHS = 24, 24
# A gap that the group at hand is too long for is offered to so many groups after it.
OFFERED = 24


@dataclass(frozen=True)
class Group:
    """Trials that cost the same.

    count    how many, at least one
    most     of them in one pack
    seconds  of a pack of so many, which rise with it
    once     seconds that a worker pays before its first pack of the group, by what they are for
    """

    count: int
    most: int
    seconds: Callable[[int], float]
    once: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def of(self) -> tuple[float, ...]:
        """The seconds of a pack of 0, 1, ... members."""
        return (0.0, *(self.seconds(k) for k in range(1, min(self.most, self.count) + 1)))

    def within(self, seconds: float) -> int:
        """How many members a pack has that takes no longer."""
        return max(0, bisect_right(self.of, seconds * (1 + 1e-9)) - 1)

    def even(self, parts: int) -> list[int]:
        """So many packs, whose sizes differ by at most one."""
        small, larger = divmod(self.count, parts)
        return [small + (index < larger) for index in range(parts)]


# A pack: the index of its group, and how many members it has.
Cut = tuple[int, int]


def planned(groups: Sequence[Group], workers: int, start: float = 0.0, prefer: str = TIME) -> list[Cut]:
    """The packs in the order in which they are handed out. `start`: seconds of a worker before its first pack.

    Raises ValueError for no workers or an unknown preference.
    """
    if workers < 1 or prefer not in PREFERENCES:
        raise ValueError(f"workers must be at least 1, not {workers}; prefer one of {PREFERENCES}, not {prefer!r}")
    if not groups:
        return []
    if prefer == COST:
        return _longest_first(groups, _cheapest(groups))
    seen = [(cuts, simulate([_jobs(groups, cuts)], workers, start)) for cuts in _candidates(groups, workers, start)]
    least = min(schedule.makespan for _, schedule in seen)
    alike = [one for one in seen if one[1].makespan <= (1 + SLACK) * least]
    return min(alike, key=lambda one: (one[1].busy, one[1].makespan))[0]


def _candidates(groups: Sequence[Group], workers: int, start: float) -> Iterator[list[Cut]]:
    cheapest = _cheapest(groups)
    yield _longest_first(groups, cheapest)
    balanced = [(i, size) for i, group in enumerate(groups) for size in group.even(_balanced(group, workers))]
    yield _longest_first(groups, balanced)
    longest, shortest = max(g.of[-1] for g in groups), max(g.of[1] for g in groups)
    for step in range(LENGTHS if shortest < longest else 0):
        length = longest * (shortest / longest) ** (step / (LENGTHS - 1)) * (1 + 1e-12)
        even = [(i, size) for i, g in enumerate(groups) for size in g.even(-(-g.count // max(1, g.within(length))))]
        yield _longest_first(groups, even)
    yield from _filled(groups, cheapest, workers, start)


def _balanced(group: Group, workers: int) -> int:
    """The fewest packs, rounded up to a multiple of the workers as far as there are trials."""
    fewest = -(-group.count // group.most)
    return max(fewest, min(-(-fewest // workers) * workers, group.count))


def _cheapest(groups: Sequence[Group]) -> list[Cut]:
    """Each group in even packs with the least work: the fewest, or some more where smaller ones are cheaper."""
    found: list[Cut] = []
    for index, group in enumerate(groups):
        fewest = -(-group.count // group.most)
        tried = [group.even(parts) for parts in range(fewest, min(2 * fewest, group.count) + 1)]
        best = min(tried, key=lambda sizes: sum(group.of[size] for size in sizes))
        found += [(index, size) for size in best]
    return found


def _longest_first(groups: Sequence[Group], cuts: Sequence[Cut]) -> list[Cut]:
    return sorted(cuts, key=lambda cut: (-groups[cut[0]].of[cut[1]], cut[0], -cut[1]))


def _filled(groups: Sequence[Group], cheapest: Sequence[Cut], workers: int, start: float) -> Iterator[list[Cut]]:
    """Workers filled to a common end, at the least that bisection finds, by the groups in two orders."""
    work = sum(groups[i].of[size] for i, size in cheapest)
    data = sum({key: seconds for group in groups for key, seconds in group.once.items()}.values())
    shortest = max(group.of[1] + sum(group.once.values()) for group in groups)
    of_data = sorted(range(len(groups)), key=lambda i: (sorted(groups[i].once), -groups[i].of[1]))
    for order in (of_data, sorted(of_data, key=lambda i: -groups[i].of[1])):
        low, high = start + max(work / workers, shortest), start + data + 1.5 * work + shortest
        best: list[Cut] | None = None
        for _ in range(BISECTIONS):
            if best is not None and high - low <= 1e-3 * high:
                break
            middle = (low + high) / 2
            cuts = _fill(groups, order, workers, start, middle)
            best, low, high = (best, middle, high) if cuts is None else (cuts, low, middle)
        if best is not None:
            yield best


def _fill(groups: Sequence[Group], order: Sequence[int], workers: int, start: float, end: float) -> list[Cut] | None:
    """The packs by when they begin, with which every worker is through by `end`; None where this rule finds none."""
    left = {i: groups[i].count for i in order}
    begins: list[tuple[float, float, int, int]] = []
    for _ in range(workers):
        room, known, taken = end - start, set[str](), list[tuple[float, int, int]]()
        for i in list(left)[:OFFERED]:
            group = groups[i]
            paid = sum(seconds for key, seconds in group.once.items() if key not in known)
            while left.get(i) and (size := min(left[i], group.within(room - paid))):
                taken.append((group.of[size], i, size))
                room, paid = room - paid - group.of[size], 0.0
                known |= group.once.keys()
                left[i] -= size
                if not left[i]:
                    del left[i]
        now = 0.0
        for seconds, i, size in sorted(taken, reverse=True):  # so that a short one is last, should one be late
            begins.append((now, -seconds, i, size))
            now += seconds
        if not left:
            return [(i, size) for _, _, i, size in sorted(begins)]
    return None


def _jobs(groups: Sequence[Group], cuts: Sequence[Cut]) -> list[Job]:
    return [Job(groups[index].of[size], groups[index].once) for index, size in cuts]


def bound(groups: Sequence[Group], workers: int, start: float = 0.0) -> float:
    """Seconds that no cut and no order is below: the least work, shared evenly, or the longest single trial."""
    work = 0.0
    for group in groups:
        work += group.count * min(group.of[k] / k for k in range(1, len(group.of)))
    longest = max((group.of[1] + sum(group.once.values()) for group in groups), default=0.0)
    return start + max(work / workers, longest) if groups else 0.0
