"""train(pack, data): the training of a pack as an iterator of reports. It never logs and never writes.

Each member has its own step: it reports at its own steps, leaves the pack when these are done, when it broke, when a
judge prunes it or a user stops it, and its place goes to the next trial that waits. Between two reports it yields after
slices of time, so that whoever trains can look how far it is, write a checkpoint, or stop.
Shapes: K member, B batch, D pixels, T terms.
"""

from __future__ import annotations

import math
import sys
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from vmi.data.dataset import Dataset
from vmi.spec.reports import LEAST_STEPS, REPORTS, report_steps, rungs
from vmi.spec.trial import Failed, Judge, Pruned, Report, Stopped, Trial
from vmi.training import cuda_graph as captured
from vmi.training.evaluation import measure
from vmi.training.out_of_memory import exhaustible
from vmi.training.pack import Pack
from vmi.training.step import train_step
from vmi.training.traversals import probability_histograms

# A slice has at most so many times the steps of the one before: one that was quick by chance says little.
GROWTH = 4


def nobody() -> Mapping[str, str]:
    """Nobody is dismissed."""
    return {}


class Stop(NamedTuple):
    """Who says that a member is pruned, and by which metric (a name of `vmi.spec.metrics.METRICS`)."""

    judge: Judge
    metric: str


class Progress(NamedTuple):
    """What a training yields at a report, and after each slice of time before it.

    pack     the members that are whole (None when all broke); those that end here leave it after the yield
    reports  of the members that have come to a report of theirs; none within a slice
    failed   the members that left since the last yield because they broke
    pruned   the members that the judge has stopped here, with the metrics of `vmi.training.evaluation.measure`
    waiting  the trials that wait for a place, before those that this yield frees are filled
    stopped  the members, and the trials that waited, which were dismissed here; a member as one that is pruned
    seconds  that the steps since the last yield took, of all members; what is measured or reported is not in them
    """

    pack: Pack | None
    reports: tuple[Report, ...]
    failed: Mapping[str, Failed]
    pruned: Mapping[str, Pruned]
    waiting: tuple[Trial, ...]
    seconds: float = 0.0
    stopped: Mapping[str, Stopped] = MappingProxyType({})

    @property
    def done(self) -> list[int]:
        """The members of `pack` (indices) whose steps are done."""
        return [] if self.pack is None else _done(self.pack)

    @property
    def going(self) -> list[int]:
        """The members of `pack` (indices) that are trained further."""
        return [] if self.pack is None else _going(self.pack, {*self.pruned, *self.stopped})


def train(
    pack: Pack,
    data: Dataset,
    waiting: Sequence[Trial] = (),
    stop: Stop | None = None,
    *,
    places: int | None = None,
    reports: int = REPORTS,
    slice_seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
    dismissed: Callable[[], Mapping[str, str]] = nobody,
) -> Iterator[Progress]:
    """Train every member, and every trial that waits, to its last step, yielding at the reports of each.

    A member reports at least `reports` times (`report_steps`), always at its last step. One whose loss stopped being
    finite leaves as Failed, with its step and the term, at the next yield; the others go on bitwise as they would have.
    waiting        trials of the pack's Architecture; each is admitted at step 0 once there is a place
    stop           is asked at the `rungs` of each member, all of them before its last report. With it members that
                   broke leave at a report of some member, so that who is judged beside whom does not depend on time
    places         how many members the pack has at most, by default as many as now
    slice_seconds  about how long it trains without a yield; a slice has at least one step
    clock          gives seconds
    dismissed      is asked after each slice who is to leave, by trial, and why; one whose steps are done stays
    Goes on from where the members stand, so a restored pack continues; those that are done are yielded first.
    Raises vmi.training.out_of_memory.ExhaustedError, with the members' steps, where there is no memory to train them.
    """
    steps, queue, places = pack.architecture.steps, deque(waiting), places or pack.size
    marks, asked = report_steps(steps, reports), rungs(steps, reports) if stop else ()
    pace = _Pace(slice_seconds, LEAST_STEPS if pack.device.type == "cuda" else 1)
    if _done(pack):
        yield Progress(pack, (), {}, {}, tuple(queue))
    standing = _succeeded(pack, _going(pack, ()), queue, places)
    while standing is not None:
        pack = standing
        count = pace.count(min(marks[bisect_right(marks, step)] - step for step in pack.steps))
        failed, seconds = _slice(pack, data, count, clock)
        pace.took(count, seconds)
        due = [k for k, step in enumerate(pack.steps) if step in marks]
        if stop and not due and len(failed) < pack.size:
            failed = {}
        if stop:
            for trial_id, broken in failed.items():
                stop.judge.stops(trial_id, broken.step, math.nan)
        whole = [k for k, trial in enumerate(pack.trials) if trial.trial_id not in failed]
        if not whole:
            yield Progress(None, (), failed, {}, tuple(queue), seconds)
            standing = _succeeded(pack, (), queue, places)
            continue
        if failed:
            captured.forget(pack)
            pack = pack.keep(whole)
            due = [k for k, step in enumerate(pack.steps) if step in marks]
        measured = _measured(pack, data, [k for k in due if pack.steps[k] in asked])
        told = {k: m[stop.metric] for k, m in measured.items()} if stop else {}
        reports_now = _reports(pack, data, due, told) if due else ()
        pruned = _judged(pack, measured, stop) if stop else {}
        stopped = _stopped(pack, data, queue, {i: why for i, why in dismissed().items() if i not in pruned})
        if stop:
            for trial_id, left in stopped.items():
                stop.judge.stops(trial_id, left.step, math.nan)
        yield Progress(pack, reports_now, failed, pruned, tuple(queue), seconds, stopped)
        standing = _succeeded(pack, _going(pack, {*pruned, *stopped}), queue, places)


def _slice(pack: Pack, data: Dataset, count: int, clock: Callable[[], float]) -> tuple[dict[str, Failed], float]:
    """Train so many steps: the members that have broken by now, and the seconds that it took."""
    pack.train_mode(True)
    began = clock()
    with exhaustible(pack.standing, clock):
        run_steps(pack, data, count)
    # A GPU has taken its steps only once something was read from it.
    failed = _failures(pack)
    return failed, clock() - began


class _Pace:
    """How many steps a slice of time has, as the last one took; `least`: no fewer, where so many are left."""

    def __init__(self, seconds: float, least: int) -> None:
        self._seconds, self._least = seconds, least
        self._next = least if seconds < math.inf else sys.maxsize

    def count(self, left: int) -> int:
        """Of the next slice; `left`: steps until a report."""
        return min(left, self._next)

    def took(self, count: int, seconds: float) -> None:
        """A slice of so many steps took so long."""
        if self._seconds < math.inf:
            fitting = int(self._seconds * count / seconds) if seconds > 0 else sys.maxsize
            self._next = max(self._least, min(fitting, GROWTH * self._next))


def run_steps(pack: Pack, data: Dataset, count: int) -> None:
    """So many steps of every member: nothing else costs time between two reports. On CUDA by a graph, where it can."""
    if pack.device.type == "cuda" and captured.replayed(pack, data, count):
        return
    launch_steps(pack, data, count)


def launch_steps(pack: Pack, data: Dataset, count: int) -> None:
    """The same steps, launched one by one on any device."""
    for _ in range(count):
        images_KBD = data.images(data.train, pack.minibatches.next().to(pack.device), pack.dtype)
        pack.window.add(train_step(pack, images_KBD, pack.noise()))


def _done(pack: Pack) -> list[int]:
    return [k for k, step in enumerate(pack.steps) if step >= pack.architecture.steps]


def _going(pack: Pack, left: Collection[str]) -> list[int]:
    done = _done(pack)
    return [k for k, trial in enumerate(pack.trials) if k not in done and trial.trial_id not in left]


def _stopped(pack: Pack, data: Dataset, queue: deque[Trial], why: Mapping[str, str]) -> dict[str, Stopped]:
    """Those who are dismissed: members that are still trained, with what they have reached, and trials that wait."""
    members = [k for k in _going(pack, ()) if pack.trials[k].trial_id in why]
    waited = [trial for trial in queue if trial.trial_id in why]
    for trial in waited:
        queue.remove(trial)
    measured, left = _measured(pack, data, members), {t.trial_id: Stopped(0, {}, why[t.trial_id]) for t in waited}
    named = {k: pack.trials[k].trial_id for k in members}
    return left | {named[k]: Stopped(pack.steps[k], measured[k], why[named[k]]) for k in members}


def _succeeded(pack: Pack, stay: Sequence[int], queue: deque[Trial], places: int) -> Pack | None:
    """The members that stay (indices), and in free places those that waited; None when there is nobody left."""
    fresh = [queue.popleft() for _ in range(min(places - len(stay), len(queue)))]
    if len(stay) == pack.size and not fresh:
        return pack
    captured.forget(pack)
    return pack.renewed(stay, fresh) if stay or fresh else None


def _failures(pack: Pack) -> dict[str, Failed]:
    """Members whose terms were not finite at some step: the first, and the first term of it."""
    broken = zip(pack.trials, pack.broken.step_K.tolist(), pack.broken.term_K.tolist(), strict=True)
    return {
        trial.trial_id: Failed(f"{pack.window.names[term]} was not finite at step {step}", step)
        for trial, step, term in broken
        if step >= 0
    }


def _view(pack: Pack, members: Sequence[int]) -> Pack:
    """These members alone, to look at."""
    return pack if len(members) == pack.size else pack.keep(members)


def _reports(pack: Pack, data: Dataset, due: Sequence[int], judged: Mapping[int, float]) -> tuple[Report, ...]:
    """The reports of the members that are due, whose windows start anew; with what a judge was told of some."""
    # Of the last step that was trained: the pack stands before the next one.
    tau = pack.temperature_K(pack.step_K - 1).tolist()
    means = pack.window.close(due)
    told = {k: {"judged": value} for k, value in judged.items()}
    histograms = probability_histograms(_view(pack, due), data)
    return tuple(
        Report(pack.trials[k].trial_id, pack.steps[k], _metrics(pack, mean, tau[k]) | told.get(k, {}), histogram)
        for k, mean, histogram in zip(due, means, histograms, strict=True)
    )


def _measured(pack: Pack, data: Dataset, asked: Sequence[int]) -> dict[int, Mapping[str, float]]:
    """What the members that a judge is asked about have reached."""
    return dict(zip(asked, measure(_view(pack, asked), data), strict=True)) if asked else {}


def _judged(pack: Pack, measured: Mapping[int, Mapping[str, float]], stop: Stop) -> dict[str, Pruned]:
    """The members that the judge stops, of those that it is asked about."""
    pruned = {}
    for k, metrics in measured.items():
        trial_id, step = pack.trials[k].trial_id, pack.steps[k]
        if stop.judge.stops(trial_id, step, metrics[stop.metric]):
            pruned[trial_id] = Pruned(step, metrics)
    return pruned


def _metrics(pack: Pack, mean: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Stored names, with units, from the terms' means."""
    blocks = pack.layout.blocks
    metrics = {"loss_nats": mean["loss"], "distortion_nats": mean["distortion"], "temperature": temperature}
    metrics |= {f"rate_{b.name}_nats": mean[f"rate_{b.name}"] for b in blocks}
    metrics["rate_nats"] = sum(mean[f"rate_{b.name}"] for b in blocks)
    metrics["elbo_nats"] = -(metrics["distortion_nats"] + metrics["rate_nats"])
    for block in pack.layout.informed:
        metrics[f"code_entropy_{block.name}_nats"] = mean[f"code_entropy_{block.name}"]
        metrics[f"mi_paper_{block.name}_nats"] = block.prior_entropy_nats + mean[f"log_q_{block.name}"]
    return metrics
