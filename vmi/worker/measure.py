"""Measure what packs of a study cost on this node: `vmi calibrate`. Needs torch, and neither Ray nor a cluster.

Steps are timed by the function that trains, what is beyond them by whole tasks as a worker runs them, into a temporary
folder. Packs of all sizes take turns, so that a disturbance of the machine falls on all of them; medians are kept.
The number of steps of the study does not matter: a step costs the same whenever it is taken. On a GPU a step is timed
both ways, replayed and launched by itself, as a whole task is too short for a graph; and so is the graph's capture.
NOT RUN ON A DEVICE YET: all but the graph is tested with a stand-in and a clock of its own.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from vmi.cost import hardware
from vmi.cost.footprint import members_within
from vmi.cost.forecast import Extent
from vmi.cost.measurements import ZERO, Entry, Kind, Seconds, sizes_up_to
from vmi.cost.sharing import best_count
from vmi.cost.sizing import DEFAULT_PACK_SIZE, SHARE, room_here
from vmi.data.dataset import Dataset, forget, load
from vmi.results.store import Store
from vmi.spec.config import COSTLY, Architecture, TrialConfig
from vmi.spec.datasets import data_folder, spec_of
from vmi.spec.layout import parse
from vmi.spec.reports import LEAST_STEPS, REPORTS
from vmi.spec.trial import PackSpec, Trial
from vmi.training import cuda_graph, kmeans
from vmi.training.out_of_memory import is_out_of_memory
from vmi.training.pack import Pack
from vmi.training.train import launch_steps, run_steps
from vmi.worker import own_images
from vmi.worker.cost_fit import Stepped, beyond, linear, median, no_more_than, stepped
from vmi.worker.messages import Task
from vmi.worker.together import step_seconds
from vmi.worker.work import prepare, work

ROUNDS, LEAST_ROUNDS = 5, 3
# One timing lasts at least this long, or one step; an Architecture's steps take no more than its share but for that.
CHUNK_SECONDS, STEP_SECONDS = 0.15, 4.0
MAX_CHUNK = 50
# Where no largest size is given: nothing is known to be gained beyond these, nor measured of steps that take so long.
LARGEST = {"cpu": 64, "cuda": 256}
LONGEST_STEP = 1.5
# Where one is given, these are measured besides: it is none that packs are kept to afterwards.
UNMEASURED = {"cpu": DEFAULT_PACK_SIZE, "cuda": LARGEST["cuda"]}
_DIGITS = TrialConfig(steps=REPORTS)

Say = Callable[[str], None]
Run = Callable[[Pack, Dataset, int], None]


def measure(extent: Extent, device: str, largest: int | None, began: Seconds, say: Say) -> Iterator[Entry]:
    """One entry per kind of pack of the study and pack size, each as soon as it is complete.

    `began`: what this process has cost until now.

    largest  of the sizes that are measured in any case; above it, or where it is None, those that memory holds and
             that may help (UNMEASURED, LARGEST, LONGEST_STEP)

    Raises InputError when a data set cannot be had.
    """
    prepare(device)
    with tempfile.TemporaryDirectory(prefix="vmi-calibrate-") as scratch:
        bench = _Bench(device, Path(scratch))
        say("start-up of a worker")
        start = began + bench.start()
        for kind, members in _kinds(extent).items():
            say(f"{kind.dataset} {kind.layout} {kind.network} {kind.hidden}{' ' if kind.terms else ''}{kind.terms}")
            yield from bench.entries(kind, members, start, largest)


def _kinds(extent: Extent) -> dict[Kind, list[Trial]]:
    """The trials of each kind; Architectures that differ in their steps alone are one."""
    found: dict[Kind, list[Trial]] = {}
    for architecture, members in extent.members.items():
        found.setdefault(extent.kinds[architecture], members)
    return found


class _Bench:
    """Times things on one device. `captures`: whether a graph may take its steps; `now`: what was spent until now."""

    def __init__(
        self, device: str, scratch: Path, captures: bool | None = None, now: Callable[[], Seconds] | None = None
    ) -> None:
        self.device, self._scratch = device, scratch
        self._captures = device == "cuda" if captures is None else captures
        self._now = now or self._spent
        self._folder = data_folder().absolute()
        self._loaded: dict[str, Seconds] = {}
        self._references: dict[tuple[str, int], Seconds] = {}

    def start(self) -> Seconds:
        """What a worker's first pack costs more than its second one, of data that is embedded."""
        first, second = self._task([_trial(_DIGITS, 0)]), self._task([_trial(_DIGITS, 1)])
        return Seconds(max(0.0, first.cpu - second.cpu), max(0.0, first.wall - second.wall))

    def entries(self, kind: Kind, members: Sequence[Trial], start: Seconds, largest: int | None) -> Iterator[Entry]:
        """Of each size; how many share a GPU, which takes longest, is measured for one size after the other."""
        loaded, reference = self._load(kind.dataset), self._reference(kind)
        dataset = load(kind.dataset, self._folder).to(torch.device(self.device))
        wanted = self._sizes(members[0].config.architecture, kind, largest)
        steps = self._steps({size: _pack_of(members, size) for size in wanted}, dataset, True, largest or 0)
        rests = {size: self._rest(_pack_of(members, size), steps[size].alone) for size in [*steps][:2]}
        for size in steps:
            yield Entry(
                device=self.device,
                hardware=_name(self.device),
                cores=hardware.cores(),
                torch=torch.__version__,
                measured=datetime.now(UTC).isoformat(timespec="seconds"),
                kind=kind,
                pack_size=size,
                **steps[size]._asdict(),
                rest=linear(rests, size),
                start=start,
                data=loaded,
                reference=reference,
                packs_a_gpu=self._packs_a_gpu(_pack_of(members, size), steps[size].step),
            )

    def _sizes(self, architecture: Architecture, kind: Kind, largest: int | None = None) -> list[int]:
        """Those up to the given one; above those that memory holds beside the smaller ones, all at the same time."""
        asked, most = (sizes_up_to(largest), UNMEASURED) if largest else ((1,), LARGEST)
        more = [size for size in sizes_up_to(most[self.device]) if size > asked[-1]]
        sizes, free = [*asked, *more], room_here(self.device, 1).free
        if free is None:
            return sizes
        held = members_within(architecture, round(SHARE * free), kind.terms.split("+"), self.device)
        return [size for i, size in enumerate(sizes) if i < len(asked) or sum(sizes[: i + 1]) <= held]

    def _steps(
        self, packs: dict[int, list[Trial]], dataset: Dataset, bounded: bool, asked: int = 0
    ) -> dict[int, Stepped]:
        """What steps of packs cost that take turns; `bounded`: above `asked` members only while steps are short."""
        made: dict[int, Pack] = {}
        first: dict[int, Seconds] = {}
        capturing: dict[int, Seconds] = {}
        for size, trials in packs.items():
            if bounded and made and size > asked and size * min(first[s].wall / 2 / s for s in made) > LONGEST_STEP:
                break
            try:
                pack = Pack(trials, self.device)
                pack.train_mode(True)
                # Before a graph is: libraries make here what they need once, which is none of its cost.
                first[size] = self._time(partial(launch_steps, pack, dataset, 2))
                if self._captures:
                    capturing[size] = self._time(partial(run_steps, pack, dataset, LEAST_STEPS))
            except Exception as error:  # the estimate of what memory holds is one
                if not made or not is_out_of_memory(error):
                    raise
                first.pop(size, None)
                break
            made[size] = pack
        replaying = {size: pack for size, pack in made.items() if cuda_graph.has_graph(pack)}
        replayed = self._in_turns(run_steps, replaying, dataset)
        launched = self._in_turns(launch_steps, made, dataset, first)
        return {size: stepped(launched[size], replayed.get(size), capturing.get(size, ZERO)) for size in made}

    def _in_turns(
        self, run: Run, packs: Mapping[int, Pack], dataset: Dataset, first: Mapping[int, Seconds] | None = None
    ) -> dict[int, Seconds]:
        """The median seconds per step of these packs; `first`: what two steps of each took, where that is known."""
        first = first or {size: self._time(partial(run, pack, dataset, 2)) for size, pack in packs.items()}
        counts = {size: _count(first[size].wall / 2) for size in packs}
        times: dict[int, list[Seconds]] = {size: [] for size in packs}
        began = time.perf_counter()
        for turn in range(ROUNDS):
            if turn >= LEAST_ROUNDS and time.perf_counter() - began > STEP_SECONDS:
                break
            for size, pack in packs.items():
                taken = self._time(partial(run, pack, dataset, counts[size]))
                times[size].append(taken.times(1 / counts[size]))
        return {size: median(found) for size, found in times.items()}

    def _rest(self, trials: Sequence[Trial], step: Seconds) -> Seconds:
        """What a whole task of REPORTS steps costs beyond its steps: all that a longer one costs beyond its own.

        Its steps count as no more than they took in it: timed apart, on a machine that others use, they may take longer
        than all of it.
        """
        whole, own = self._timed(trials)
        return beyond(whole, no_more_than(own / REPORTS, step, self.device), REPORTS)

    def _packs_a_gpu(self, trials: Sequence[Trial], step: Seconds) -> int:
        """How many such packs at a time train most on this GPU; on a CPU a pack has a core of its own."""
        if self.device != "cuda":
            return 1
        torch.cuda.empty_cache()  # what was held for this process's own packs
        count = max(LEAST_STEPS, _count(step.wall) * ROUNDS)
        task = self._task_of(trials, str(self._scratch))
        return best_count(lambda packs: step_seconds(task, packs, count, self._scratch))

    def _task_of(self, trials: Sequence[Trial], root: str) -> Task:
        return Task(
            pack=PackSpec("calibration", tuple(trials)),
            root=root,
            study="calibration",
            layouts=(trials[0].config.layout,),
            attempt=1,
            device=self.device,
            data_folder=str(self._folder),
        )

    def _task(self, trials: Sequence[Trial]) -> Seconds:
        return self._timed(trials)[0]

    def _timed(self, trials: Sequence[Trial]) -> tuple[Seconds, float]:
        """What a whole task takes, and what its steps took in it on this device."""
        clock = lambda: self._now().on(self.device)  # noqa: E731
        with tempfile.TemporaryDirectory(dir=self._scratch) as root:
            task = self._task_of(trials, root)
            with warnings.catch_warnings():
                # That so few steps are not captured is known, and nothing that a user could mend.
                warnings.filterwarnings("ignore", ".*fewer than", RuntimeWarning)
                whole = self._time(lambda: [*work(task, clock=clock)])
            rows = Store(Path(root), task.study).finished().values()
            return whole, sum(row["train_seconds"] for row in rows)

    def _load(self, name: str) -> Seconds:
        if name not in self._loaded:
            forget()
            own_images.hold(name)
            device = torch.device(self.device)
            self._loaded[name] = self._time(lambda: load(name, self._folder).to(device))
        return self._loaded[name]

    def _reference(self, kind: Kind) -> Seconds:
        block = parse(kind.layout).primary("c")
        if block is None or not spec_of(kind.dataset).is_labelled:
            return ZERO
        key = (kind.dataset, block.size)
        if key not in self._references:
            dataset = load(kind.dataset, self._folder)
            kmeans.kept(dataset, block.size)  # once on a machine: from then on its workers look it up
            kmeans.forget()
            self._references[key] = self._time(lambda: kmeans.reference(dataset, block.size))
        else:
            kmeans.reference(load(kind.dataset, self._folder), block.size)
        return self._references[key]

    def _time(self, action: Callable[[], object]) -> Seconds:
        before = self._now()
        action()
        after = self._now()
        return Seconds(after.cpu - before.cpu, after.wall - before.wall)

    def _spent(self) -> Seconds:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return Seconds(time.process_time(), time.perf_counter())


def _count(step_seconds: float) -> int:
    return max(1, min(MAX_CHUNK, round(CHUNK_SECONDS / max(step_seconds, 1e-6))))


def _pack_of(members: Sequence[Trial], size: int) -> list[Trial]:
    """Trials that stand for a pack of them: first those with most costly terms, then some of all; REPORTS steps."""
    ordered = sorted(members, key=lambda t: -sum(bool(getattr(t.config, term)) for term in COSTLY))
    chosen = [ordered[i * len(ordered) // size if i else 0] for i in range(size)]
    return [_trial(trial.config, seed) for seed, trial in enumerate(chosen)]


def _trial(config: TrialConfig, seed: int) -> Trial:
    own = replace(config, seed=seed, steps=REPORTS)
    return Trial(own.trial_id, own.suggestion_id, own)


def _name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else hardware.cpu_name()
