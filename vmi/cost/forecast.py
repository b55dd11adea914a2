"""What a run of a study will take: its packs in rounds, their predicted seconds, the schedule on so many workers.

Of a grid the packs are those that a run will make. Of a sampler nobody knows what it will suggest: its suggestions are
taken to be spread evenly over the Architectures of the space.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import cycle, islice

from vmi.cost.cutting import Cutter, Planner, Prices
from vmi.cost.measurements import ZERO, Costs, Kind, Seconds, kind_of
from vmi.cost.packing import Size, by_architecture, pack, size_for
from vmi.cost.planning import TIME
from vmi.cost.rounds import queue_of, round_of
from vmi.cost.simulation import Job, Schedule, simulate
from vmi.cost.sizing import round_size
from vmi.search.grid import GridSearcher
from vmi.search.trial_count import EVERYTHING, planned_trials
from vmi.spec.config import COSTLY, Architecture
from vmi.spec.errors import InputError
from vmi.spec.trial import PackSpec, Suggestion, Trial
from vmi.study import space
from vmi.study.overrides import cut
from vmi.study.space import Choice, Domain
from vmi.study.study import Study, trials

# An Architecture field that takes more values than this is a range: which ones a sampler takes cannot be foreseen.
MAX_VALUES = 64
# A preset sets some of them.
SHAPES = frozenset({"preset", *(f.name for f in fields(Architecture))})


@dataclass(frozen=True)
class Forecast:
    """`cpu`: of all workers together. `at_most`: members may be stopped early, which is not foreseen."""

    packs: int
    trials: int
    schedule: Schedule
    cpu: float
    at_most: bool


class Extent:
    """What a valid study still has to train, whatever the number of workers.

    `left` is how many trials; `finished` has the ids of those that need no training. `is_foreseen`: the Architectures
    of a sampler are known, as no field that decides them is searched over a wide range.
    """

    def __init__(self, study: Study, finished: Collection[str], pack_size: Size) -> None:
        self.study, self.pack_size = study, pack_size
        self.is_grid = study.searcher == "grid"
        self.is_foreseen = not any(_is_wide(name, domain) for name, domain in study.space.items())
        self.suggestions = self._points()
        every = [trial for s in self.suggestions for trial in trials(study, s)]
        self.kinds = _kinds(every)
        self.members = by_architecture(every)
        search = planned_trials(replace(study, confirm=0))
        again, found = planned_trials(study) - search, set(finished) - {t.trial_id for t in every}
        if self.is_grid:
            self.missing = [trial for trial in every if trial.trial_id not in finished]
            self.again = max(0, again - len(found))
            self.left = len(self.missing) + self.again
        else:
            left = max(0, search + again - len(finished))
            self.again = min(again, left)
            self.missing = self._suggested(left - self.again) if self.is_foreseen else []
            self.left = left

    def _points(self) -> list[Suggestion]:
        try:
            return GridSearcher(self.study if self.is_grid else _nominal(self.study)).ask(EVERYTHING)
        except InputError:  # values that are never searched together
            self.is_foreseen = False
            return []

    def rounds(self, workers: int, cut: Cutter) -> list[list[PackSpec]]:
        """The packs, in rounds that wait for each other: of a sampler, and of a confirmation."""
        asked, queues = len(self.missing), queue_of(self.study, 1)
        if not self.is_grid and self.missing:
            asked = round_of(self.study, round_size(self.pack_size), lambda: workers) * len(tuple(self.study.seeds))
        size = lambda architecture: self.places(architecture) * queues  # noqa: E731
        search = pack if queues > 1 else cut
        found = [search(self.missing[i : i + asked], size, workers) for i in range(0, len(self.missing), max(1, asked))]
        again = list(islice(self._confirmed(), self.again))
        return [*found, cut(again, self.pack_size, workers)] if again else found

    def planner(self, costs: Costs | None, device: str, prefer: str = TIME) -> Planner:
        """What cuts its packs by what they are predicted to take."""
        return Planner(lambda: Prices(self.kinds, costs, device), prefer)

    def places(self, architecture: Architecture) -> int:
        """How many members of a pack of this Architecture are trained at a time."""
        return size_for(self.pack_size, architecture)

    def _suggested(self, count: int) -> list[Trial]:
        """So many trials of the suggestions that stand for those of a sampler."""
        endless = (trial for s in cycle(self.suggestions) for trial in trials(self.study, s))
        return list(islice(endless, count))

    def _confirmed(self) -> Iterator[Trial]:
        """Which suggestions lead is not known: the first stand for them."""
        for suggestion in islice(cycle(self.suggestions), self.study.confirm):
            yield from trials(self.study, suggestion, self.study.confirm_seeds)


def forecast(extent: Extent, costs: Costs, workers: int, cut: Cutter | None = None) -> Forecast | None:
    """The schedule on so many workers; None where some pack's like was never measured.

    `cut` makes the packs; by default as a run does that has these measurements.
    """
    if not extent.is_foreseen or any(missing(extent, costs, workers)):
        return None
    packs = extent.rounds(workers, cut or extent.planner(costs, costs.device))
    seconds = [[_seconds(extent, costs, spec) for spec in part] for part in packs]
    jobs = [
        [Job(s.on(costs.device), _once(extent, costs, spec)) for s, spec in zip(times, part, strict=True)]
        for times, part in zip(seconds, packs, strict=True)
    ]
    schedule = simulate(jobs, workers, costs.start.on(costs.device))
    cpu = sum((s for part in seconds for s in part), ZERO).cpu + schedule.overhead
    flat = [spec for part in packs for spec in part]
    return Forecast(len(flat), sum(len(s.trials) for s in flat), schedule, cpu, bool(extent.study.pruner))


def scheduled(extent: Extent, prices: Prices, workers: int, cut: Cutter) -> Schedule:
    """The schedule of an extent without a queue on so many workers, estimated where nothing is measured."""
    jobs = []
    for part in extent.rounds(workers, cut):
        kinds = [extent.kinds[_architecture(spec)] for spec in part]
        seconds = [
            prices.seconds(_architecture(spec), kind, len(spec.trials)) for spec, kind in zip(part, kinds, strict=True)
        ]
        jobs.append([Job(s, prices.once(kind)) for s, kind in zip(seconds, kinds, strict=True)])
    return simulate(jobs, workers, prices.start())


def missing(extent: Extent, costs: Costs | None, workers: int) -> Iterator[tuple[Kind, int]]:
    """Packs of whose like there is no measurement, as kind and members: the largest that a cut may make of each kind.

    Where there are any, packs are cut by an estimate (`vmi.cost.cutting.priced`), and some may have no measured price.
    """
    for part in extent.rounds(workers, pack):
        for architecture, of in by_architecture([trial for spec in part for trial in spec.trials]).items():
            kind, members = extent.kinds[architecture], min(len(of), extent.places(architecture))
            if costs is None or not Prices(extent.kinds, costs, costs.device).measured(kind, members):
                yield kind, members


class PackSeconds:
    """Predicts packs of a study one by one; where it has not foreseen a pack's Architecture, by its own trials.

    `costs` is asked once, at the first pack. `places`: how many members are trained at a time.
    """

    def __init__(self, study: Study, costs: Callable[[], Costs | None], places: Callable[[Architecture], int]) -> None:
        self._study, self._ask, self._places = study, costs, places
        self._asked: tuple[Costs, Mapping[Architecture, Kind]] | None = None
        self._is_asked = False

    def __call__(self, members: Sequence[Trial]) -> float | None:
        """Seconds of a pack of these trials, without a worker's start; None where its like was never measured."""
        if not self._is_asked:
            self._is_asked, costs = True, self._ask()
            self._asked = (costs, Extent(self._study, (), self._places).kinds) if costs else None
        if self._asked is None:
            return None
        (costs, kinds), architecture = self._asked, members[0].config.architecture
        kind = kinds.get(architecture) or kind_of(architecture, (trial.config for trial in members))
        places = min(len(members), self._places(architecture))
        return (
            _taken(costs, kind, architecture, len(members), places).on(costs.device)
            if costs.has(kind, places)
            else None
        )


def kinds_of(study: Study) -> Mapping[Architecture, Kind]:
    """The kind of packs of every Architecture that the study is known to have."""
    return Extent(study, (), 1).kinds


def _seconds(extent: Extent, costs: Costs, spec: PackSpec) -> Seconds:
    architecture, count = _architecture(spec), len(spec.trials)
    return _taken(costs, extent.kinds[architecture], architecture, count, min(count, extent.places(architecture)))


def _taken(costs: Costs, kind: Kind, architecture: Architecture, members: int, places: int) -> Seconds:
    return costs.pack(kind, max(places, costs.fewest(kind)), architecture.steps, -(-members // places))


def _once(extent: Extent, costs: Costs, spec: PackSpec) -> Mapping[str, float]:
    once = costs.once(extent.kinds[_architecture(spec)])
    return {key: seconds.on(costs.device) for key, seconds in once.items()}


def _architecture(spec: PackSpec) -> Architecture:
    return spec.trials[0].config.architecture


def _kinds(every: Sequence[Trial]) -> dict[Architecture, Kind]:
    """Every pack of an Architecture counts as one with all terms that any trial of it uses: rather too much."""
    return {a: kind_of(a, (t.config for t in group)) for a, group in by_architecture(every).items()}


def _nominal(study: Study) -> Study:
    """A grid with every Architecture that the sampler may suggest, and one value of every other field."""
    reduced = {name: Choice(_values(name, domain)) for name, domain in study.space.items()}
    grid = replace(study, searcher="grid", suggestions=None, pruner=None, confirm=0, confirm_seeds=(), baseline={})
    return cut(grid, reduced)


def _values(name: str, domain: Domain) -> tuple[object, ...]:
    if name in SHAPES and not _is_wide(name, domain):
        return tuple(space.values(domain))
    low, high = space.ends(domain)
    return (high if name in COSTLY else low,)


def _is_wide(name: str, domain: Domain) -> bool:
    size = space.size(domain)
    return name in SHAPES and (size is None or size > MAX_VALUES)
