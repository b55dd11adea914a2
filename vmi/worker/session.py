"""One task between its start and its end: what is trained, kept and committed of it."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from vmi.data import dataset as data
from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.spec.trial import Completed, Cost, Failed, Judge, Outcome, Pruned, Report, Trial
from vmi.storage.paths import AnyPath, path_of
from vmi.training import checkpoint
from vmi.training import cuda_graph as captured
from vmi.training.evaluation import evaluate
from vmi.training.out_of_memory import is_out_of_memory
from vmi.training.pack import Pack
from vmi.training.train import Progress, Stop
from vmi.worker.accounting import Shares, device_name, versions
from vmi.worker.judge import Observation, Remembering, judge_of
from vmi.worker.messages import Task, Update, ended_of
from vmi.worker.rhythm import EVALUATION_SHARE, Rhythm
from vmi.worker.takeover import Begun, stored_of

OUT_OF_MEMORY = "out of memory at step"
# Members are evaluated a few at a time, in about so long: what a kill costs is one group.
EVALUATION_SECONDS = 10.0
# An evaluation's seconds an image beside those of a step of training: measured were 0.13 (MLP, conv) and 0.2 (tiny).
EVALUATION_TO_STEPS = 0.15
# What a checkpoint holds beside pack and queue.
_NOTES = ("reports", "failed", "pruned", "seconds", "seen")


class SupersededError(RuntimeError):
    """The pack was taken over, as its worker was thought to be dead: what it has trained is not stored twice."""


class Parked(NamedTuple):
    """Members that stand in a checkpoint and wait until there is memory for them: its name, and their steps."""

    name: str
    steps: Mapping[str, int]


class Session:
    """One task between its start and its end: recorder, checkpoints, judge, what each trial has cost.

    A trial is waiting, in the pack, parked, ended (`outcomes`), or stored: committed here or by a worker that had this
    task. `begun` has earlier ones, `places` is how many members are trained at a time.
    """

    def __init__(self, task: Task, judge: Judge | None, begun: Begun, places: int) -> None:
        self.task, self.trials = task, task.pack.trials
        self._by_id = {trial.trial_id: trial for trial in self.trials}
        self._given = judge
        self.store = Store(path_of(task.root), task.study)
        self.kept, self.stored, self._again = begun.kept, dict(begun.stored), begun.again
        self.places, self.steps = places, self.trials[0].config.steps
        self.pack: Pack | None = None
        self.waiting: list[Trial] = []
        self.parked: deque[Parked] = deque()
        self.warnings: list[str] = []
        self.committed: list[str] = []
        self.reports: list[Report] = []
        self.outcomes: dict[str, Outcome] = {}
        self.reached: dict[str, int] = {}
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
        kept = self._start()
        self.reports = [Report(*report) for report in kept.get("reports", ())]
        self.outcomes = {i: Failed(*failed) for i, failed in kept.get("failed", {}).items()}
        self.outcomes |= {i: Pruned(*pruned) for i, pruned in kept.get("pruned", {}).items()}
        self.shares = Shares(kept.get("seconds"))
        self.judge, self.stop = self._judge(self._given, kept.get("seen", ()))
        standing = self.pack.standing() if self.pack else {}
        parked = {trial_id: step for group in self.parked for trial_id, step in group.steps.items()}
        self.reached = dict.fromkeys({*self.stored, *self.outcomes}, self.steps) | parked | standing
        self.saved = dict(self.reached)
        self.rhythm.begin()

    @property
    def has_queue(self) -> bool:
        return self.places < len(self.trials)

    def _start(self) -> Mapping[str, Any]:
        """Set pack, queue and what is parked as the newest whole checkpoint has them, else as they are at first.

        Trials that were stored since the checkpoint are trained again, to the same end, so that a judge sees what it
        saw; they are not stored again. Those that there was no memory for are not. Where there is no memory to read a
        checkpoint, fewer places may do; one member by itself does without it, and fails only if it can't be trained.
        """
        damaged = []
        for path, found in self.kept.newest_first():
            try:
                if found is None:
                    raise checkpoint.CheckpointError(f"{path}: its content does not match the hash in its name")
                notes = self._taken(path, found)
            except Exception as error:  # a checkpoint only saves time: nothing that is wrong with one stops the pack
                if is_out_of_memory(error) and self.places > 1:
                    raise
                damaged.append(_unread(path, error))
                continue
            if damaged:
                resumed = f"the pack resumes from the previous checkpoint, {path.name}"
                self.warnings.append(f"{'; '.join(damaged)}: {resumed}")
            return notes
        found = None  # or its bytes would be held while the pack is made
        if damaged:
            self.warnings.append(f"{'; '.join(damaged)}: the pack starts over")
        self.parked = deque()
        self.waiting = [trial for trial in self.trials if trial.trial_id not in self.stored]
        self._fill()
        return {}

    def _taken(self, path: AnyPath, found: bytes) -> Mapping[str, Any]:
        """Set pack, queue and what is parked from one checkpoint; its notes."""
        saved = checkpoint.Saved(found, str(path))
        notes = json.loads(saved.notes)
        kept = {name: notes[name] for name in _NOTES}
        waiting = [self._by_id[trial_id] for trial_id in notes["waiting"]]
        parked = [Parked(name, dict(steps)) for name, steps in notes["parked"]]
        self.places = min(self.places, notes["places"])
        self.parked = deque([Parked(path.name, saved.steps), *parked])
        self.waiting = [trial for trial in waiting if not self._ran_out(trial.trial_id)]
        self._fill(saved)
        return kept

    def go_on(self) -> None:
        """Set the pack to those that wait for memory, where there are any: the pack of before is done."""
        self.waiting = []
        self._fill()

    def _fill(self, saved: checkpoint.Saved | None = None) -> None:
        """As many of the first parked ones as there are places become the pack; `saved` is their checkpoint, if read.

        Where nobody is parked any more, the first of those that wait do.
        """
        self.pack = None
        while self.parked and self.pack is None:
            name, steps = self.parked[0]
            ids = [trial_id for trial_id in steps if not self._ran_out(trial_id)]
            if ids:
                self.pack = self._unparked(name, ids[: self.places], saved)
            self.parked.popleft()
            if rest := ids[self.places :]:
                self.parked.appendleft(Parked(name, {trial_id: steps[trial_id] for trial_id in rest}))
            saved = None
        if self.pack is None and self.waiting:
            self.pack = Pack(self.waiting[: self.places], self.task.device)
            self.waiting = self.waiting[self.places :]

    def _unparked(self, name: str, ids: Sequence[str], saved: checkpoint.Saved | None) -> Pack:
        if saved is not None:
            return saved.pack(self.task.device, ids)
        try:
            found = checkpoint.Saved(self.kept.read(name) or b"", str(self.kept.folder / name))
            return found.pack(self.task.device, ids)
        except Exception as error:
            if is_out_of_memory(error) and self.places > 1:
                raise
            self.warnings.append(f"{_unread(self.kept.folder / name, error)}: {len(ids)} trials start over")
        # Not while the exception is handled, on which what was read hangs.
        return Pack([self._by_id[trial_id] for trial_id in ids], self.task.device)

    def _ran_out(self, trial_id: str) -> bool:
        return trial_id in self.stored and self.stored[trial_id].reason.startswith(OUT_OF_MEMORY)

    def _judge(self, judge: Judge | None, seen: Iterable[Observation]) -> tuple[Remembering | None, Stop | None]:
        pruning = self.task.pruning
        if pruning is None:
            return None, None
        remembering = Remembering(judge or judge_of(pruning), seen)
        return remembering, Stop(remembering, pruning["metric"])

    def update(self) -> Update:
        """How far the task is; what has gone wrong, and what was committed, since the last update."""
        step, saved = (sum(steps.values()) // len(self.trials) for steps in (self.reached, self.saved))
        warning, self.warnings = "; ".join([*self.warnings, *captured.reasons()]), []
        stored, self.committed = tuple(self.committed), []
        pack_id, places = self.task.pack.pack_id, self.places
        return Update(pack_id, step, self.steps, warning=warning, places=places, stored=stored, saved=saved)

    def note(self, progress: Progress, dataset: data.Dataset, look: Callable[[], None]) -> Iterator[None]:
        """Keep what was reported and what has ended, by and by: it yields whenever there is something to tell.

        Now and then what has ended is made durable, and a checkpoint written. `look` is called often, and may raise.
        """
        standing = progress.pack.standing() if progress.pack else {}
        self.shares.charge({**standing, **progress.failed}, progress.seconds)
        self.reports += progress.reports
        self.outcomes |= {**progress.failed, **self._pruned(progress)}
        self.reached |= standing | dict.fromkeys(self.outcomes, self.steps)
        self._last, self._scored = progress, set()
        if self.rhythm.due(EVALUATION_SHARE if progress.done else 1.0):
            self.keep()
        yield
        look()
        if progress.pack is not None and progress.done:
            yield from self._evaluate(progress, progress.pack, dataset, look)
        self._last = None  # lets go of a pack whose members change

    def _evaluate(
        self, progress: Progress, pack: Pack, dataset: data.Dataset, look: Callable[[], None]
    ) -> Iterator[None]:
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

    def _group_size(self, pack: Pack, dataset: data.Dataset) -> int:
        """How many members are scored in about EVALUATION_SECONDS, as their steps have taken."""
        images = len(dataset.train.labels_N) + len(dataset.held_out.labels_N)
        of_step = max(self.shares.seconds.get(trial.trial_id, 0.0) for trial in pack.trials) / self.steps
        of_member = EVALUATION_TO_STEPS * of_step * images / pack.architecture.batch_size
        return pack.size if of_member * pack.size <= EVALUATION_SECONDS else max(1, int(EVALUATION_SECONDS / of_member))

    def _keep_models(self, pack: Pack, done: Sequence[int]) -> None:
        # Members that end in several groups are kept in several files.
        whole = not self.has_queue and not self.stored
        name = self.task.pack.pack_id if whole else f"{self.task.pack.pack_id}-{pack.trials[done[0]].trial_id}"
        checkpoint.save(pack if len(done) == pack.size else pack.keep(done), self.store.models / f"{name}.pt")

    def _pruned(self, progress: Progress) -> dict[str, Outcome]:
        by = self.task.pruning["pruner"] if self.task.pruning else ""
        return {
            trial_id: pruned._replace(reason=f"stopped at step {pruned.step} by pruner {by}")
            for trial_id, pruned in progress.pruned.items()
        }

    def keep(self) -> None:
        """Write a checkpoint of the members that are not through, where there is something that none has yet.

        What has ended is committed before, unless the checkpoint holds it. If no member remains, the previous
        checkpoint stays, and gives the same.
        """
        progress, self._last = self._last, None
        if progress is None:
            return
        if self.has_queue or any(isinstance(outcome, Completed) for outcome in self.outcomes.values()):
            self._commit()
        pack, through = progress.pack, self._scored | progress.pruned.keys()
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
            "waiting": [trial.trial_id for trial in waiting],
            "parked": list(self.parked),
            "places": self.places,
            "seconds": self.shares.seconds,
            "seen": self.judge.seen if self.judge else [],
        }
        began = time.monotonic()
        try:
            self.kept.write(checkpoint.encode(pack, json.dumps(notes)), [group.name for group in self.parked])
            self.saved = dict(self.reached)
        except Exception as error:  # a commit that fails is an error, this is not
            if not (isinstance(error, OSError) or is_out_of_memory(error)):
                raise
            said = "no memory" if is_out_of_memory(error) else str(error)
            self.warnings.append(f"no checkpoint of pack {self.task.pack.pack_id} could be written: {said}")
        if said := self.rhythm.wrote(began):
            self.warnings.append(f"pack {self.task.pack.pack_id}: {said}")

    def fail(self, steps: Mapping[str, int], seconds: float) -> None:
        """These trials end here, by themselves in the pack and out of memory all the same; committed at once.

        `seconds`: of steps, since the last report.
        """
        self.outcomes = {i: Failed(f"{OUT_OF_MEMORY} {step}", step) for i, step in steps.items()}
        self.shares.charge(steps, seconds)
        self._commit()

    def next_trials(self) -> dict[str, int]:
        """The trials that are trained now or next, as many as there are places, with their steps."""
        standing = self.pack.standing() if self.pack else {}
        ended = {*self.stored, *self.outcomes}
        order = [*standing, *(i for group in self.parked for i in group.steps), *(t.trial_id for t in self.waiting)]
        order = order or list(self._by_id)  # before anybody stands anywhere
        return {i: self.reached.get(i, 0) for i in [i for i in order if i not in ended][: self.places]}

    def _commit(self) -> None:
        """Make what has ended durable, unless it is. Raises SupersededError."""
        if not self.kept.is_ours:
            raise SupersededError(f"pack {self.task.pack.pack_id} was given to another worker meanwhile")
        if self._again:
            # Whoever had the pack before may have been about to commit when this session began.
            self.stored |= stored_of(self.task, self.store)
        ended = [trial for trial in self.trials if trial.trial_id in self.outcomes.keys() - self.stored.keys()]
        task, ids = self.task, {trial.trial_id for trial in ended}
        recorder = ParquetRecorder(self.store, task.layouts, self.task.dataset, task.attempt, lambda: datetime.now(UTC))
        for report in self.reports:
            if report.trial_id in ids:
                recorder.write(report)
        where = (task.pack.pack_id, self.places, task.attempt, device_name(task.device), versions())
        for trial in ended:
            cost = Cost(self.shares.seconds[trial.trial_id], *where)
            recorder.finish(trial, self.outcomes[trial.trial_id], cost)
        self.committing = True
        committed = recorder.commit()
        self.committing = False
        self.reports = [report for report in self.reports if report.trial_id not in self.outcomes]
        self.outcomes = {}
        self.saved |= dict.fromkeys(ids, self.steps)
        self.stored |= {row["trial_id"]: ended_of(row) for row in committed.trials}
        self.committed += committed.ids

    def close(self) -> Update:
        """Commit what is left; the checkpoints are needed no more. The update with which the task ends."""
        self._commit()
        self.kept.clear_checkpoints()
        ended = tuple(self.stored[trial.trial_id] for trial in self.trials)
        last = self.update()
        return last._replace(step=self.steps, ended=ended)


def _unread(path: AnyPath, error: Exception) -> str:
    """What to say of a checkpoint that could not be read."""
    if is_out_of_memory(error):
        return f"{path}: there was no memory to read it"
    return str(error) if isinstance(error, checkpoint.CheckpointError) else f"{path}: {error!r}"
