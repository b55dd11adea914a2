"""What a run will take and cost, in words for `vmi plan`.

A prediction is made from what was measured on the hardware in question, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmi.cost import hardware, measurements
from vmi.cost.cutting import Prices
from vmi.cost.forecast import Extent, forecast, missing, scheduled
from vmi.cost.measurements import Costs, Kind
from vmi.cost.packing import pack
from vmi.cost.planning import TIME
from vmi.spec.errors import StoreError
from vmi.spec.words import counted, duration
from vmi.storage.paths import AnyPath


@dataclass(frozen=True)
class Target:
    """What a run is planned for. `hardware` None: this node's CPU, or the GPU that was measured last."""

    device: str
    workers: int
    hardware: str | None = None
    gpu_hour: float | None = None

    @property
    def noun(self) -> str:
        return "GPU" if self.device == "cuda" else "CPU core"

    def costs(self, path: AnyPath) -> Costs | None:
        """What was measured for it. Raises StoreError on a damaged file."""
        named = self.hardware or (hardware.cpu_name() if self.device == "cpu" else None)
        return measurements.costs_on(measurements.read(path), self.device, named)


def cut_line(extent: Extent, target: Target, costs: Costs | None, prefer: str) -> Iterator[str]:
    """What the packs are cut for, and by what; where that is an estimate, what it gains by it."""
    if not extent.left or not extent.is_foreseen or extent.study.pruner:
        return
    aim = "the least time" if prefer == TIME else "the least work of all workers together"
    if costs is not None and not any(missing(extent, costs, target.workers)):
        yield f"cut for {aim}, by what was measured"
        return
    own, plain = (
        scheduled(extent, Prices(extent.kinds, None, target.device), target.workers, cut)
        for cut in (extent.planner(None, target.device, prefer), pack)
    )
    yield (
        f"cut for {aim}, by an estimate from operations and memory, as these packs were not measured: idle "
        f"{own.idle_share:.0%} (cut by architecture {plain.idle_share:.0%}, "
        f"{plain.makespan / own.makespan:.2f} times the time)"
    )


def prediction_lines(
    extent: Extent, target: Target, costs: Costs | None, command: str, prefer: str = TIME
) -> Iterator[str]:
    """Time and cost of what is left, or why there is no prediction. `command` measures what is missing."""
    if not extent.left:
        return
    cut = extent.planner(costs, target.device, prefer)
    found = forecast(extent, costs, target.workers, cut) if costs else None
    if costs is None or found is None:
        yield from _no_prediction(extent, target, costs, command)
        return
    schedule, most = found.schedule, "at most " if found.at_most else ""
    units = f"{target.workers} {target.noun}{'s' if target.workers != 1 else ''}"
    yield f"predicted on {units}: {most}{duration(schedule.makespan)}, {_price(schedule.held, target)}"
    used = f"; {schedule.used} of them get a pack" if schedule.used < target.workers else ""
    yield f"  of that idle: {schedule.idle_share:.0%}{used}; start-up and loading: {duration(schedule.overhead)}"
    if (plain := forecast(extent, costs, target.workers, pack)) is not None and not extent.study.pruner:
        beside = f"{most}{duration(plain.schedule.makespan)}, {_price(plain.schedule.held, target)}"
        idle, packs = f"{plain.schedule.idle_share:.0%}", counted(plain.packs, "pack")
        yield f"  cut by architecture alone: {beside}, idle {idle}, {packs}"
    yield f"  measured on {costs.hardware}, {costs.measured}; time of the driver, of Ray and of queues comes on top"


def simulation_lines(
    extent: Extent, target: Target, costs: Costs | None, workers: Sequence[int], prefer: str = TIME
) -> Iterator[str]:
    """A table: the same trials on other numbers of workers; nothing without a measurement."""
    if not costs or not extent.left:
        return
    cut = extent.planner(costs, target.device, prefer)
    for index, count in enumerate(workers):
        found, plain = forecast(extent, costs, count, cut), forecast(extent, costs, count, pack)
        if found is None or plain is None:
            continue
        if not index:
            head = f"{target.noun + 's':>10}  {'packs':>7}  {'time':>12}  {'idle':>5}"
            yield f"{head}  {'by architecture':>16}  {'idle':>5}  cost"
        own, other = found.schedule, plain.schedule
        beside = f"{duration(other.makespan):>16}  {other.idle_share:>5.0%}"
        line = f"{count:>10}  {found.packs:>7}  {duration(own.makespan):>12}  {own.idle_share:>5.0%}"
        yield f"{line}  {beside}  {_price(own.held, target)}"


def _no_prediction(extent: Extent, target: Target, costs: Costs | None, command: str) -> Iterator[str]:
    if not extent.is_foreseen:
        yield "no prediction: a field that decides the Architecture is searched over a wide range"
        return
    named = target.hardware or (hardware.cpu_name() if target.device == "cpu" else "any GPU")
    kinds = dict.fromkeys(missing(extent, costs, target.workers))
    first = next(iter(kinds))
    yield f"no prediction: {_words(*first)} was not measured on {named}{_more(len(kinds) - 1)}"
    yield f"  measure it there with: {command}"


def _words(kind: Kind, members: int) -> str:
    terms = f" with {kind.terms}" if kind.terms else ""
    return f"a pack of {members} of {kind.dataset} {kind.layout} {kind.network} {kind.hidden}{terms}"


def _more(count: int) -> str:
    return f" (nor {count} other{'s' if count != 1 else ''})" if count > 0 else ""


def _price(held: float, target: Target) -> str:
    hours = held / 3600
    text = f"{hours:,.1f}" if hours >= 10 else f"{hours:.3g}"
    cost = f", {hours * target.gpu_hour:,.2f} at {target.gpu_hour:g} an hour" if target.gpu_hour is not None else ""
    return f"{text} {target.noun}-hours{cost}"


def costs_or_none(target: Target, path: AnyPath) -> Costs | None:
    """What was measured, as far as it can be read."""
    try:
        return target.costs(path)
    except StoreError:  # a run needs no calibration; `vmi plan` names the damaged file
        return None
