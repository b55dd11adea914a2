"""What running a study would do, without doing it: loads neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vmi.cost.cutting import Cutter
from vmi.cost.forecast import Extent
from vmi.cost.measurements import FILE, Kind
from vmi.cost.packing import AUTO
from vmi.cost.planning import TIME
from vmi.cost.prediction import Target, cut_line, prediction_lines, simulation_lines
from vmi.cost.sizing import Room, Sizing, gigabytes, room_here
from vmi.driver.preflight import asked_of, check_rows
from vmi.results.store import Store
from vmi.search.trial_count import values_of
from vmi.spec.config import TrialConfig
from vmi.spec.datasets import spec_of, told
from vmi.spec.errors import InputError, Problem, printable
from vmi.spec.layout import parse
from vmi.spec.requests import in_view
from vmi.spec.resolving import AUTOMATIC, resolve
from vmi.spec.words import counted
from vmi.storage.paths import AnyPath, file_on
from vmi.study.checks import corners, validate
from vmi.study.study import Study

CPU = Target("cpu", 1)
MAX_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be planned beside the study: the packs, the hardware, and what it is measured by.

    pack_size    AUTO, or the number that a user gives
    calibration  the file of measurements; None: the one in the results
    command      what measures that is missing
    simulate     numbers of workers to put beside each other
    prefer       how packs are cut (`vmi.cost.planning.PREFERENCES`)
    only         this request alone is planned, not all that the study was ever asked for
    gpu_bytes    free memory of each GPU; None: what the GPUs of this node have
    """

    results: AnyPath = Path("results")
    pack_size: int | str = AUTO
    target: Target = CPU
    calibration: AnyPath | None = None
    command: str = "vmi calibrate STUDY"
    prefer: str = TIME
    only: bool = False
    simulate: tuple[int, ...] = ()
    gpu_bytes: int | None = None

    def room(self) -> Room:
        """What a pack is planned to have to itself."""
        if self.target.device != "cpu" and self.gpu_bytes is not None:
            return Room(self.target.device, self.gpu_bytes)
        return room_here(self.target.device, self.target.workers)


def plan_lines(study: Study, request: Request) -> Iterator[str]:
    """The plan, line by line.

    Raises InputError when the study is not valid, StoreError when its store or the calibration is damaged.
    """
    validate(study)
    results, target = request.results, request.target
    store = _store(study, results)
    wanted = asked_of(study, store, request.only, datetime.now(UTC))
    study, planned = wanted.study, wanted.spec["planned"]
    finished = {row["trial_id"]: row for row in in_view(wanted.spec, list(store.finished().values()))}
    check_rows(finished.values(), study.name)
    seeds, datasets = len(tuple(study.seeds)), ", ".join(map(told, values_of(study, "dataset")))
    yield f"{study.name}: {planned} trials ({study.searcher}, {seeds} seeds each) on {datasets}"
    yield from _wanted(study)
    if study.fixed.get("likelihood_variance") == AUTOMATIC:
        found = (f"{spec_of(name).auto_variance:g} on {name}" for name in values_of(study, "dataset"))
        yield f"likelihood_variance: {AUTOMATIC}, from the pixels: {', '.join(found)}"
    if wanted.grows:
        yield f"grows: {', '.join(wanted.grows)}"
    yield f"in the store already: {len(finished)}"
    path = request.calibration or results / FILE
    sizing = Sizing(study, request.pack_size, request.room, lambda: target.costs(path))
    extent = Extent(study, finished.keys(), sizing)
    costs = target.costs(path)
    yield from _packs(extent, target.workers, sizing, extent.planner(costs, target.device, request.prefer))
    yield from cut_line(extent, target, costs, request.prefer)
    yield from _assumed(request, sizing)
    points = ({**study.fixed, **s.params} for s in extent.suggestions) if extent.is_grid else corners(study)
    for warning in dict.fromkeys(printable(w) for point in points for w in warnings(resolve(point))):
        yield f"warning: {warning}"
    yield from map(printable, prediction_lines(extent, target, costs, request.command, request.prefer))
    yield from simulation_lines(extent, target, costs, request.simulate, request.prefer)


def _packs(extent: Extent, workers: int, sizing: Sizing, cut: Cutter) -> Iterator[str]:
    """What is left, and how it is packed."""
    rounds = extent.rounds(workers, cut)
    of: dict[Kind, list[int]] = {}
    for spec in (spec for part in rounds for spec in part):
        of.setdefault(extent.kinds[spec.trials[0].config.architecture], []).append(len(spec.trials))
    turns = "" if len(rounds) < 2 else f", {len(rounds)} rounds one after another"
    total = sum(map(len, of.values()))
    guess = "" if extent.is_grid or not extent.is_foreseen else " if suggestions are spread evenly"
    count = (
        ""
        if not extent.is_foreseen
        else f" of {counted(len(of), 'architecture')}, in {counted(total, 'pack')}{turns}{guess}"
    )
    yield f"to train: {extent.left} trials{count}"
    for kind, sizes in list(of.items())[:MAX_SHOWN]:
        yield printable(
            f"  {kind.dataset} {kind.layout} {kind.network} {kind.hidden}: {sum(sizes)} trials, "
            f"{counted(len(sizes), 'pack')} of {_range(sizes)}"
        )
    if len(of) > MAX_SHOWN:
        yield f"  and {len(of) - MAX_SHOWN} architectures more"
    specs = [spec for part in rounds for spec in part]
    chosen = dict.fromkeys(sizing.chosen(spec.trials[0].config.architecture)[:2] for spec in specs)
    if chosen:
        yield printable("pack size: " + "; ".join(f"{size} ({why})" for size, why in chosen))
    yield from (printable(f"warning: {line}") for line in sizing.warnings(specs))


def _assumed(request: Request, sizing: Sizing) -> Iterator[str]:
    """What packs on GPUs assume of their memory, where any were planned."""
    room = sizing.room
    if room is None or room.device == "cpu":
        return
    if room.free is None:
        yield "assumed: GPU memory holds these packs; there is no GPU here to ask (--gpu-memory GB names it)"
    else:
        where = "as on this node" if request.gpu_bytes is None else "as --gpu-memory says"
        yield f"assumed: {gigabytes(room.free)} of memory free on each GPU, {where}"


def _range(sizes: list[int]) -> str:
    return f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else str(min(sizes))


def _wanted(study: Study) -> Iterator[str]:
    """What decides between suggestions, where that is more than one metric on the seeds of the search."""
    if study.objectives:
        aims = ", ".join(f"{direction} {metric}" for metric, direction in study.objectives.items())
        yield f"objectives: {aims}; the front is ranked by {study.metric}"
    for metric, bound in study.constraints.items():
        yield f"constraint: {metric} {bound}; a suggestion that breaks it is never best"
    for name, parents in study.conditions.items():
        where = " and ".join(f"{parent} is {' or '.join(map(str, values))}" for parent, values in parents.items())
        yield f"condition: {name} is searched where {where}"
    if study.restarts > 1:
        groups = f"{len(tuple(study.seeds)) // study.restarts} of {study.restarts} seeds"
        yield f"replicates: {groups}, the trial best by {study.choose_by} (no labels) counts for each"
    if study.pruner:
        by = study.choose_by if study.restarts > 1 else study.metric
        yield f"pruner: {study.pruner}, by {by}; the baseline and the confirmation are trained to their end"
    if study.confirm:
        fresh = len(tuple(study.confirm_seeds))
        best = f"the best {study.confirm} suggestions" if study.confirm > 1 else "the best suggestion"
        yield f"confirmation: {best} on {fresh} fresh seed{'s' if fresh != 1 else ''}; only that figure is called best"


def _store(study: Study, results: AnyPath) -> Store:
    store = Store(results.absolute(), study.name)
    if path := file_on(store.folder):
        raise InputError([Problem("results", str(results), "a folder", f"{path} is a file")])
    return store


def warnings(config: TrialConfig) -> Iterator[str]:
    """What is allowed but known to go wrong: the paper's objective above beta, ramps that the run is too short for."""
    layout = parse(config.layout)
    for block in layout.informed if config.entropy_weight == 0 and not config.capacity_weight else ():
        name = "mi_weight" if block.is_categorical else "mi_weight_normal"
        weight = getattr(config, name)
        if weight > config.kl_weight:
            reach = f"{name} {weight:g} > kl_weight {config.kl_weight:g} with entropy_weight 0"
            if block.is_categorical:
                yield f"{reach} collapses a categorical code to few categories ({block.name} of {layout})"
            else:
                yield f"{reach} is unbounded above: the Normal block's variance shrinks ({block.name} of {layout})"
    for name in ("kl_anneal_steps", "capacity_steps"):
        if getattr(config, name) > config.steps:
            yield f"{name} {getattr(config, name)} is above steps {config.steps}: its end is never reached"
