"""Packs of a study's trials, cut by what they are predicted to take (`vmi.cost.planning`): as measured, or estimated.

One measure for all that are cut together: where packs of one kind were not measured, all of them are estimated, as an
estimate of one and a measurement of another cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from vmi.cost import estimate
from vmi.cost.estimate import MACHINES
from vmi.cost.measurements import Costs, Kind, kind_of
from vmi.cost.packing import Size, by_architecture, pack_of, size_for
from vmi.cost.planning import TIME, Group, planned
from vmi.spec.config import Architecture
from vmi.spec.trial import PackSpec, Trial


class Cutter(Protocol):
    """Makes packs of trials that wait, at most `size` in each, for so many workers, in the order to hand them out."""

    def __call__(self, trials: Sequence[Trial], size: Size, workers: int) -> list[PackSpec]: ...


class Prices(NamedTuple):
    """What packs take on a device. `kinds`: of the Architectures that the study is known to have; `costs`: measured."""

    kinds: Mapping[Architecture, Kind]
    costs: Costs | None
    device: str

    def kind(self, trials: Sequence[Trial]) -> Kind:
        """Of trials of one Architecture."""
        architecture = trials[0].config.architecture
        return self.kinds.get(architecture) or kind_of(architecture, (trial.config for trial in trials))

    def measured(self, kind: Kind, members: int) -> bool:
        """Whether packs of up to so many members were measured."""
        return self.costs is not None and self.costs.has(kind, max(members, self.costs.fewest(kind)))

    def seconds(self, architecture: Architecture, kind: Kind, members: int, as_measured: bool = True) -> float:
        """Of a pack without what its worker pays once; fewer members than were measured count as the fewest that were.

        KeyError where it is not measured.
        """
        if not as_measured or self.costs is None:
            return estimate.pack_seconds(architecture, kind.terms.split("+"), members, self.device)
        return self.costs.pack(kind, max(members, self.costs.fewest(kind)), architecture.steps).on(self.device)

    def once(self, kind: Kind, as_measured: bool = True) -> Mapping[str, float]:
        """What a worker pays at its first pack of the kind."""
        if not as_measured or self.costs is None:
            return {kind.data_key: estimate.load_seconds(kind.dataset)}
        return {key: seconds.on(self.device) for key, seconds in self.costs.once(kind).items()}

    def start(self, as_measured: bool = True) -> float:
        """What a worker pays before its first pack."""
        if not as_measured or self.costs is None:
            return MACHINES[self.device].start
        return self.costs.start.on(self.device)


class Planner:
    """Cuts for the least makespan, or the least work (`prefer`). `prices` is asked when something is cut."""

    def __init__(self, prices: Callable[[], Prices], prefer: str = TIME) -> None:
        self._prices, self._prefer = prices, prefer

    def __call__(self, trials: Sequence[Trial], size: Size, workers: int) -> list[PackSpec]:
        """Every trial in exactly one pack; a pack's trials, and those of an Architecture, in the order given."""
        of = by_architecture(trials)
        if not of:
            return []
        groups, start = priced(self._prices(), of, size)
        left = [iter(group) for group in of.values()]
        cuts = planned(groups, workers, start, self._prefer)
        return [pack_of(tuple(next(left[index]) for _ in range(members))) for index, members in cuts]


def priced(prices: Prices, of: Mapping[Architecture, Sequence[Trial]], size: Size) -> tuple[list[Group], float]:
    """The trials of each Architecture as a group, and the seconds of a worker's start."""
    kinds = {architecture: prices.kind(trials) for architecture, trials in of.items()}
    most = {architecture: min(size_for(size, architecture), len(trials)) for architecture, trials in of.items()}
    as_measured = all(prices.measured(kind, most[architecture]) for architecture, kind in kinds.items())
    groups = [
        Group(
            len(trials), most[a], partial(prices.seconds, a, kinds[a], as_measured=as_measured),
            prices.once(kinds[a], as_measured),
        )
        for a, trials in of.items()
    ]  # fmt: skip
    return groups, prices.start(as_measured)
