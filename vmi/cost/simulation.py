"""The schedule of packs on workers, simulated: no training, no clock, no chance.

As Ray Tune does it: packs are taken in order by the worker that is free first; a worker starts when it is first needed,
stays, and pays at its first pack of a data set for loading it. A sampler's next round waits for the end of the last.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """One pack: its seconds, and the seconds that a worker pays once, by what they are for."""

    seconds: float
    once: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """How a run goes. All of `workers` are held, and paid for, from the beginning to the end.

    makespan   seconds from the beginning to the end of the last pack
    busy       seconds of all workers together, start-up and loading included
    overhead   that part of `busy` which is start-up and loading
    used       how many workers had anything to do
    """

    workers: int
    makespan: float
    busy: float
    overhead: float
    used: int

    @property
    def held(self) -> float:
        """Seconds that are paid for."""
        return self.workers * self.makespan

    @property
    def idle(self) -> float:
        return self.held - self.busy

    @property
    def idle_share(self) -> float:
        """Between 0 and 1; 0 where there is nothing to do."""
        return max(0.0, self.idle / self.held) if self.held else 0.0


def simulate(rounds: Iterable[Sequence[Job]], workers: int, start: float = 0.0) -> Schedule:
    """The schedule of rounds of packs; `start` is what a worker pays before its first pack."""
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    known: dict[int, set[str]] = {}
    end = busy = overhead = 0.0
    for packs in rounds:
        # Warm workers first where several are free: nobody starts a process that is not needed.
        free = [(end, number not in known, number) for number in range(min(workers, len(known) + len(packs)))]
        heapq.heapify(free)
        for job in packs:
            since, _, number = heapq.heappop(free)
            extra = _paid_once(known, number, job, start)
            until = since + extra + job.seconds
            busy, overhead, end = busy + extra + job.seconds, overhead + extra, max(end, until)
            heapq.heappush(free, (until, False, number))
    return Schedule(workers, end, busy, overhead, len(known))


def _paid_once(known: dict[int, set[str]], number: int, job: Job, start: float) -> float:
    """What this worker pays before this pack; it will not pay it again."""
    extra = 0.0 if number in known else start
    seen = known.setdefault(number, set())
    extra += sum(seconds for key, seconds in job.once.items() if key not in seen)
    seen.update(job.once)
    return extra
