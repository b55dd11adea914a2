"""One task between its start and its end: what is trained, kept and committed of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from vmi.data.dataset import Dataset
from vmi.in_flight import live
from vmi.in_flight.parting import PartRequests
from vmi.in_flight.steering import StopRequests
from vmi.results.kept_models import PACK, write_list
from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.search.leading import Race
from vmi.spec.trial import Completed, Cost, Failed, Judge, Outcome, PackSpec, Pruned, Report, Stopped, Trial
from vmi.storage.paths import path_of
from vmi.training import checkpoint, cuda_graph
from vmi.training.evaluation import evaluate
from vmi.training.out_of_memory import is_out_of_memory
from vmi.training.pack import Pack
from vmi.training.train import Progress, Stop
from vmi.worker.accounting import Shares, device_name, gpu_bytes, versions
from vmi.worker.judge import Observation, Remembering, judge_of
from vmi.worker.members import OUT_OF_MEMORY, Members
from vmi.worker.messages import Task, Update, ended_of
from vmi.worker.parting import part
from vmi.worker.rhythm import EVALUATION_SHARE, Rhythm
from vmi.worker.takeover import Begun, stored_of

# Members are evaluated a few at a time, in about so long: what a kill costs is one group.
EVALUATION_SECONDS = 10.0
# An evaluation's seconds an image beside those of a step of training: measured were 0.13 (MLP, conv) and 0.2 (tiny).
EVALUATION_TO_STEPS = 0.15


class SupersededError(RuntimeError):
    """The pack was taken over, as its worker was thought to be dead: what it has trained is not stored twice."""


class Session:
    """One task between its start and its end: recorder, checkpoints, judge, what each trial has cost.

    A trial is waiting, in the pack, parked, ended (`outcomes`), or stored: committed here or by a worker that had this
    task. `begun` has earlier ones, `places` is how many members are trained at a time.
    """

    def __init__(self, task: Task, judge: Judge | None, begun: Begun, places: int) -> None:
        self.task, self.trials = task, task.pack.trials
        self.steps = self.trials[0].config.steps
        self.store = Store(path_of(task.root), task.study)
        self.kept, self.stored, self._again = begun.kept, dict(begun.stored), begun.again
        self.warnings: list[str] = []
        self.members = Members(task, self.kept, self.stored, places, self.warnings)
        self._given = judge
        self.committed: list[str] = []
        self.reports: list[Report] = []
        self.race = Race(task.compared_by)
        self.outcomes: dict[str, Outcome] = {}
        self.reached: dict[str, int] = {}
        self._stops, self._dismissed = StopRequests(self.store), dict[str, str]()
        self._parting, self._whole = PartRequests(self.store, task.pack.pack_id), False
        self.shares = Shares()
        self.judge: Remembering | None = None
        self.stop: Stop | None = None
        self.rhythm = Rhythm(task.checkpoint_seconds)
        self.saved: dict[str, int] = {}  # the steps from which each trial would go on
        self._last: Progress | None = None  # what no checkpoint has yet
        self._scored: set[str] = set()  # of its members that are done
        self.committing = False

    def start(self) -> None:
        """Stand where the newest whole checkpoint has it, else at the beginning."""
        kept = self.members.resume()
        self.reports = [Report(*report) for report in kept.get("reports", ())]
        self.race.note(self.reports)
        self.outcomes = {i: Failed(*failed) for i, failed in kept.get("failed", {}).items()}
        self.outcomes |= {i: Pruned(*pruned) for i, pruned in kept.get("pruned", {}).items()}
        self.shares = Shares(kept.get("seconds"))
        self.judge, self.stop = self._judge(self._given, kept.get("seen", ()))
        self.reached = dict.fromkeys({*self.stored, *self.outcomes}, self.steps) | self.members.steps()
        self.saved = dict(self.reached)
        self.rhythm.begin()

    @property
    def has_queue(self) -> bool:
        return self.members.places < len(self.trials)

    def dismissed(self) -> Mapping[str, str]:
        """Why each trial of the task that has no row is to be stopped, by trial, as the store says by now."""
        if self._stops.look():
            ended = {i for i, one in self.stored.items() if one.outcome != "stopped"}
            self._dismissed = self._stops.met_by(trial for trial in self.trials if trial.trial_id not in ended)
        return self._dismissed

    @property
    def parts_asked(self) -> int:
        """Into how many packs the driver wants this one to be parted; 1: none of it."""
        return self._parting.parts(self._stops.names)

    def part(self, progress: Progress, parts: int) -> Update | None:
        """Make several packs of the members that are trained further: the last update; None where it can't be done."""
        pack, going = progress.pack, progress.going
        is_queued = self.has_queue or self.members.parked or self.members.waiting
        if pack is None or len(going) < 2 or is_queued or self.judge:
            self._stay_whole()
            return None
        self._last = progress
        self.keep()
        if self.outcomes:
            self._commit()
        notes = {"reports": self.reports, "seconds": self.shares.seconds}
        try:
            rest = pack if len(going) == pack.size else pack.keep(going)
            parted = part(self.store, self.task.pack, rest, parts, notes, self._live)
        except Exception as error:  # the pack is whole, and goes on
            self.warnings.append(f"pack {self.task.pack.pack_id} gives no members away: {_told(error)}")
            self._stay_whole()
            return None
        cuda_graph.forget(pack)
        ended = tuple(self.stored[trial.trial_id] for trial in self.trials if trial.trial_id in self.stored)
        return self.update()._replace(ended=ended, parted=parted)

    def _stay_whole(self) -> None:
        """What the driver has asked for can't be done, and it is to hear of it: it keeps a worker free."""
        self._parting.refuse()
        self._whole = True

    def _judge(self, judge: Judge | None, seen: Iterable[Observation]) -> tuple[Remembering | None, Stop | None]:
        pruning = self.task.pruning
        if pruning is None:
            return None, None
        remembering = Remembering(judge or judge_of(pruning), seen)
        return remembering, Stop(remembering, pruning["metric"])

    def update(self) -> Update:
        """How far the task is; what has gone wrong, and what was committed, since the last update."""
        step, saved = (sum(steps.values()) // len(self.trials) for steps in (self.reached, self.saved))
        warning = "; ".join([*self.warnings, *cuda_graph.reasons()])
        self.warnings.clear()
        stored, self.committed = tuple(self.committed), []
        whole, self._whole = self._whole, False
        pack_id, places = self.task.pack.pack_id, self.members.places
        return Update(
            pack_id, step, self.steps, warning=warning, places=places, stored=stored, saved=saved,
            leading=self.race.leader({**self.stored, **self.outcomes}), gpu_bytes=gpu_bytes(self.task.device),
            whole=whole,
        )  # fmt: skip

    def note(self, progress: Progress, dataset: Dataset, look: Callable[[], None]) -> Iterator[None]:
        """Keep what was reported and what has ended, by and by: it yields whenever there is something to tell.

        Now and then what has ended is made durable, and a checkpoint written. `look` is called often, and may raise.
        """
        standing = progress.pack.standing() if progress.pack else {}
        self.shares.charge({**standing, **progress.failed}, progress.seconds)
        self.reports += progress.reports
        self.race.note(progress.reports)
        self.outcomes |= {**progress.failed, **self._pruned(progress), **(stopped := self._stopped(progress))}
        self.reached |= standing | dict.fromkeys(self.outcomes, self.steps)
        self._last, self._scored = progress, set()
        if stopped or self.rhythm.due(EVALUATION_SHARE if progress.done else 1.0):
            self.keep()
        yield
        look()
        if progress.pack is not None and progress.done:
            yield from self._evaluate(progress, progress.pack, dataset, look)
        self._last = None  # lets go of a pack whose members change

    def _evaluate(self, progress: Progress, pack: Pack, dataset: Dataset, look: Callable[[], None]) -> Iterator[None]:
        """Score the members whose steps are done, a few at a time, and keep their models where that is asked for."""
        done = progress.done
        if self.task.keep_models:
            self._keep_models(pack, done)
        size = self._group_size(pack, dataset)
        for start in range(0, len(done), size):
            group = done[start : start + size]
            part = pack if len(group) == pack.size else pack.keep(group)
            evaluations = zip(part.trials, evaluate(part, dataset, look), strict=True)
            self.outcomes |= {trial.trial_id: Completed(self.steps, *evaluation) for trial, evaluation in evaluations}
            self._last, self._scored = progress, self._scored | {trial.trial_id for trial in part.trials}
            if len(self._scored) < len(done) and self.rhythm.due(EVALUATION_SHARE):
                self.keep()
            yield
            look()

    def _group_size(self, pack: Pack, dataset: Dataset) -> int:
        """How many members are scored in about EVALUATION_SECONDS, as their steps have taken."""
        images = len(dataset.train.labels_N) + len(dataset.held_out.labels_N)
        of_step = max(self.shares.seconds.get(trial.trial_id, 0.0) for trial in pack.trials) / self.steps
        of_member = EVALUATION_TO_STEPS * of_step * images / pack.architecture.batch_size
        return pack.size if of_member * pack.size <= EVALUATION_SECONDS else max(1, int(EVALUATION_SECONDS / of_member))

    def _keep_models(self, pack: Pack, done: Sequence[int]) -> None:
        # Members that end in several groups are kept in several files.
        whole = not self.has_queue and not self.stored
        name = self.task.pack.pack_id if whole else f"{self.task.pack.pack_id}-{pack.trials[done[0]].trial_id}"
        kept = pack if len(done) == pack.size else pack.keep(done)
        write_list(self.store, name, kept.trials)
        checkpoint.save(kept, self.store.models / f"{name}{PACK}")

    def _pruned(self, progress: Progress) -> dict[str, Outcome]:
        by = self.task.pruning["pruner"] if self.task.pruning else ""
        return {
            trial_id: pruned._replace(reason=f"stopped at step {pruned.step} by pruner {by}")
            for trial_id, pruned in progress.pruned.items()
        }

    def _stopped(self, progress: Progress) -> dict[str, Outcome]:
        """Those who leave the pack or its queue, and those who are parked: of them nothing was measured."""
        parked = self.members.let_go(self._dismissed)
        return {**progress.stopped, **{i: Stopped(step, {}, self._dismissed[i]) for i, step in parked.items()}}

    def keep(self) -> None:
        """Write a checkpoint of the members that are not through, where there is something that none has yet.

        What has ended is committed before, unless the checkpoint holds it. If no member remains, the previous
        checkpoint stays, and gives the same.
        """
        progress, self._last = self._last, None
        if progress is None:
            return
        if self.has_queue or any(isinstance(outcome, Completed | Stopped) for outcome in self.outcomes.values()):
            self._commit()
        pack, through = progress.pack, self._scored | progress.pruned.keys() | progress.stopped.keys()
        members = [k for k, trial in enumerate(pack.trials) if trial.trial_id not in through] if pack else []
        if pack is not None and members:
            self._write(pack if len(members) == pack.size else pack.keep(members), progress.waiting)
        else:
            self.rhythm.begin()

    def _write(self, pack: Pack, waiting: Sequence[Trial]) -> None:
        """Write a checkpoint of this pack. A failure to is a warning: what it would have saved is time."""
        notes = {
            "reports": self.reports,
            "failed": {i: o for i, o in self.outcomes.items() if isinstance(o, Failed)},
            "pruned": {i: o for i, o in self.outcomes.items() if isinstance(o, Pruned)},
            **self.members.notes(waiting),
            "seconds": self.shares.seconds,
            "seen": self.judge.seen if self.judge else [],
        }
        began = time.monotonic()
        try:
            self.kept.write(checkpoint.encode(pack, json.dumps(notes)), [group.name for group in self.members.parked])
            self.saved = dict(self.reached)
            self.kept.write_live(self._live(self.task.pack))
        except Exception as error:  # a commit that fails is an error, this is not
            self.warnings.append(f"no checkpoint of pack {self.task.pack.pack_id} could be written: {_told(error)}")
        if said := self.rhythm.wrote(began):
            self.warnings.append(f"pack {self.task.pack.pack_id}: {said}")

    def _live(self, pack: PackSpec) -> bytes:
        """What those of its trials that are under way have reported, for who looks on."""
        recorder, own = self._recorder(), {trial.trial_id for trial in pack.trials}
        for report in self.reports:
            if report.trial_id in own:
                recorder.write(report)
        under_way = {i: step for i, step in self.reached.items() if i not in self.stored and i not in self.outcomes}
        waiting = dict.fromkeys((t.trial_id for t in self.trials if t.trial_id not in self.reached), 0)
        standing, attempt = waiting | under_way, self.task.attempt
        return live.encoded(pack.pack_id, attempt, self.steps, standing, pack.trials, recorder.reported())

    def fail(self, steps: Mapping[str, int], seconds: float) -> None:
        """These trials end here, by themselves in the pack and out of memory all the same; committed at once.

        `seconds`: of steps, since the last report.
        """
        self.outcomes = {i: Failed(f"{OUT_OF_MEMORY} {step}", step) for i, step in steps.items()}
        self.shares.charge(steps, seconds)
        self._commit()

    def next_trials(self) -> dict[str, int]:
        """The trials that are trained now or next, as many as there are places, with their steps."""
        going_on = [i for i in self.members.order() if i not in self.stored and i not in self.outcomes]
        return {i: self.reached.get(i, 0) for i in going_on[: self.members.places]}

    def _commit(self) -> None:
        """Make what has ended durable, unless it is. Raises SupersededError."""
        if not self.kept.is_ours:
            raise SupersededError(f"pack {self.task.pack.pack_id} was given to another worker meanwhile")
        if self._again:
            # Whoever had the pack before may have been about to commit when this session began.
            self.stored |= stored_of(self.task.pack, self.store)
        ended = [trial for trial in self.trials if trial.trial_id in self.outcomes.keys() - self.stored.keys()]
        task, ids = self.task, {trial.trial_id for trial in ended}
        recorder = self._recorder()
        for report in self.reports:
            if report.trial_id in ids:
                recorder.write(report)
        where = (task.pack.pack_id, self.members.places, task.attempt, device_name(task.device), versions())
        for trial in ended:
            cost = Cost(self.shares.seconds.get(trial.trial_id, 0.0), *where)
            recorder.finish(trial, self.outcomes[trial.trial_id], cost)
        self.committing = True
        committed = recorder.commit()
        self.committing = False
        self.reports = [report for report in self.reports if report.trial_id not in self.outcomes]
        self.outcomes = {}
        self.saved |= dict.fromkeys(ids, self.steps)
        self.stored |= {row["trial_id"]: ended_of(row) for row in committed.trials}
        self.committed += committed.ids

    def _recorder(self) -> ParquetRecorder:
        task = self.task
        return ParquetRecorder(self.store, task.layouts, task.dataset, task.attempt, lambda: datetime.now(UTC))

    def close(self) -> Update:
        """Commit what is left; the checkpoints are needed no more. The update with which the task ends."""
        self._commit()
        self.kept.clear_checkpoints()
        ended = tuple(self.stored[trial.trial_id] for trial in self.trials)
        last = self.update()
        return last._replace(step=self.steps, ended=ended)


def _told(error: Exception) -> str:
    """Why that was not written which would only have saved time. Raises what is neither the disk's nor memory's."""
    if not (isinstance(error, OSError) or is_out_of_memory(error)):
        raise error
    return "no memory" if is_out_of_memory(error) else str(error)
