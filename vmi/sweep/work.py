"""Train and record the trials of one task: the one thing that every runner runs, in whatever process it runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import vmi
from vmi import checkpoint, data
from vmi.evaluation import evaluate
from vmi.pack import Pack
from vmi.record.recorder import Committed
from vmi.record.store import Store
from vmi.record.to_parquet import ParquetRecorder
from vmi.record.to_wandb import mirror
from vmi.sweep.judging import Observation, Remembering, judge_of
from vmi.sweep.ledger import Ended, ended_of
from vmi.sweep.memory import keep_freed_memory
from vmi.sweep.shares import Shares
from vmi.sweep.started import committed_before
from vmi.sweep.task import Task, Update
from vmi.train import Progress, Stop, train
from vmi.trial import Completed, Cost, Failed, Judge, Outcome, Pruned, Report

CHECKPOINT_SECONDS = 30.0
# Where W&B's server has failed once in this process: no later pack waits for it again.
_GIVEN_UP: set[str] = set()
# The CPU seconds of this process that were reported with its packs so far.
_SPENT = [0.0]
# What a checkpoint holds beside pack and queue.
_NOTES = ("reports", "failed", "pruned", "seconds", "seen")


def work(task: Task, judge: Judge | None = None) -> Iterator[Update]:
    """Train, evaluate and commit the trials of a task, yielding its progress; the last update comes after the commit.

    A checkpoint is kept beside the results while it trains, and a task that was cut short goes on from it, bitwise.
    Where more trials wait than there are places, those that have ended are committed before each checkpoint; a task
    without a queue is committed at its end, in one part of each table.
    `judge` is asked instead of the one that the task describes; both only where the task has `pruning`.
    """
    prepare(task.device)
    if ended := committed_before(task):
        warning = f"pack {task.pack.pack_id} was finished before its worker died; W&B may lack it"
        yield Update(task.pack.pack_id, 1, 1, ended, warning)
        return
    began = time.monotonic()
    session = _Session(task, judge)
    yield session.update()
    if session.pack is not None:
        dataset = data.load(session.pack.architecture.dataset, Path(task.data_folder)).to(session.pack.device)
        for progress in train(session.pack, dataset, session.waiting, session.stop, places=session.places):
            session.note(progress, dataset)
            yield session.update()
    yield _timed(session.close(), began)


def prepare(device: str) -> None:
    """What every worker needs before it trains: one thread, freed memory kept, denormal numbers flushed to zero."""
    keep_freed_memory()
    if device == "cpu":
        torch.set_num_threads(1)
    # Adam's moments decay into denormals, which cost ten times the time of a step.
    torch.set_flush_denormal(True)


def _timed(last: Update, began: float) -> Update:
    """The last update with what the pack has taken."""
    before, _SPENT[0] = _SPENT[0], time.process_time()
    return last._replace(wall_seconds=time.monotonic() - began, cpu_seconds=_SPENT[0] - before)


def versions() -> str:
    """What trained it, as JSON: the versions that decide the numbers."""
    return json.dumps({"vmi-sweeps": vmi.__version__, "torch": torch.__version__})


class _Session:
    """One task between its start and its end: recorder, checkpoint, judge, clock.

    A trial is waiting, in the pack, ended (`outcomes`), or stored: committed here or by a worker that had this task.
    """

    def __init__(self, task: Task, judge: Judge | None) -> None:
        self.task, self.trials = task, task.pack.trials
        self.store = Store(Path(task.root), task.study)
        self.path = self.store.checkpoints / f"{task.pack.pack_id}.pt"
        self.places = min(task.places or len(self.trials), len(self.trials))
        self.stored = self._stored()
        self.warnings: list[str] = []
        self.pack: Pack | None
        kept = self._start()
        self.reports = [Report(*report) for report in kept.get("reports", ())]
        self.outcomes: dict[str, Outcome] = {i: Failed(*failed) for i, failed in kept.get("failed", {}).items()}
        self.outcomes |= {i: Pruned(*pruned) for i, pruned in kept.get("pruned", {}).items()}
        self.shares = Shares(time.monotonic, kept.get("seconds"))
        self.judge, self.stop = self._judge(judge, kept.get("seen", ()))
        self.steps = self.trials[0].config.steps
        self.reached = dict.fromkeys({*self.stored, *self.outcomes}, self.steps) | _steps_of(self.pack)
        self.saved = time.monotonic()

    @property
    def has_queue(self) -> bool:
        return self.places < len(self.trials)

    def _stored(self) -> dict[str, Ended]:
        """How trials of this task ended that are committed already; only one with a queue commits before its end."""
        if not self.has_queue:
            return {}
        finished = self.store.finished()
        return {t.trial_id: ended_of(finished[t.trial_id]) for t in self.trials if t.trial_id in finished}

    def _start(self) -> Mapping[str, Any]:
        """Set pack and queue as the checkpoint has them; without a whole one what is not stored starts over.

        Trials that were stored since the checkpoint are trained again, to the same end, so that a judge sees what it
        saw; they are not stored again.
        """
        try:
            self.pack, notes = checkpoint.restore(self.path, self.task.device)
            kept: Mapping[str, Any] = json.loads(notes)
            by_id = {trial.trial_id: trial for trial in self.trials}
            self.waiting = [by_id[trial_id] for trial_id in kept["waiting"]]
            return {name: kept[name] for name in _NOTES}
        except FileNotFoundError:
            pass
        except Exception as error:  # a checkpoint only saves time, so nothing that is wrong with one may stop the pack
            said = str(error) if isinstance(error, checkpoint.CheckpointError) else f"{self.path}: {error!r}"
            self.warnings.append(f"{said}: the pack starts over")
        fresh = [trial for trial in self.trials if trial.trial_id not in self.stored]
        self.pack = Pack(fresh[: self.places], self.task.device) if fresh else None
        self.waiting = fresh[self.places :]
        return {}

    def _judge(self, judge: Judge | None, seen: Iterable[Observation]) -> tuple[Remembering | None, Stop | None]:
        pruning = self.task.pruning
        if pruning is None:
            return None, None
        remembering = Remembering(judge or judge_of(pruning), seen)
        return remembering, Stop(remembering, pruning["metric"])

    def update(self) -> Update:
        """How far the task is, and what has gone wrong since the last update."""
        step = sum(self.reached.values()) // len(self.trials)
        warning, self.warnings = "; ".join(self.warnings), []
        return Update(self.task.pack.pack_id, step, self.steps, warning=warning)

    def note(self, progress: Progress, dataset: data.Dataset) -> None:
        """Keep what was reported and what has ended; now and then make it durable and write a checkpoint."""
        standing = _steps_of(progress.pack)
        self.shares.charge({**standing, **progress.failed})
        self.reports += progress.reports
        self.outcomes |= {**progress.failed, **self._pruned(progress), **self._completed(progress, dataset)}
        self.reached |= standing | dict.fromkeys(self.outcomes, self.steps)
        if time.monotonic() - self.saved >= CHECKPOINT_SECONDS:
            committed = self._commit() if self.has_queue else Committed((), ())
            self._save(progress)
            self._mirror(committed)

    def _pruned(self, progress: Progress) -> dict[str, Outcome]:
        by = self.task.pruning["pruner"] if self.task.pruning else ""
        return {
            trial_id: pruned._replace(reason=f"stopped at step {pruned.step} by pruner {by}")
            for trial_id, pruned in progress.pruned.items()
        }

    def _completed(self, progress: Progress, dataset: data.Dataset) -> dict[str, Outcome]:
        """Evaluate the members whose steps are done, and keep their models where that is asked for."""
        if progress.pack is None or not progress.done:
            return {}
        pack = progress.pack.keep(progress.done) if len(progress.done) < progress.pack.size else progress.pack
        evaluations = zip(pack.trials, evaluate(pack, dataset), strict=True)
        completed = {trial.trial_id: Completed(self.steps, *evaluation) for trial, evaluation in evaluations}
        if self.task.keep_models:
            # With a queue members end in several groups.
            name = f"{self.task.pack.pack_id}-{pack.trials[0].trial_id}" if self.has_queue else self.task.pack.pack_id
            checkpoint.save(pack, self.store.models / f"{name}.pt")
        self.shares.charge(completed)
        return {**completed}

    def _save(self, progress: Progress) -> None:
        """Write a checkpoint of the members that go on; without any the one of before stays, and gives the same."""
        pack = progress.pack
        going = progress.going
        if pack is None or not going:
            return
        notes = {
            "reports": self.reports,
            "failed": {i: o for i, o in self.outcomes.items() if isinstance(o, Failed)},
            "pruned": {i: o for i, o in self.outcomes.items() if isinstance(o, Pruned)},
            "waiting": [trial.trial_id for trial in progress.waiting],
            "seconds": self.shares.seconds,
            "seen": self.judge.seen if self.judge else [],
        }
        checkpoint.save(pack if len(going) == pack.size else pack.keep(going), self.path, json.dumps(notes))
        self.saved = time.monotonic()

    def _commit(self) -> Committed:
        """Make what has ended durable, unless it is."""
        ended = [trial for trial in self.trials if trial.trial_id in self.outcomes.keys() - self.stored.keys()]
        task, ids = self.task, {trial.trial_id for trial in ended}
        recorder = ParquetRecorder(
            self.store, task.layouts, self.trials[0].config.dataset, task.attempt, lambda: datetime.now(UTC)
        )
        for report in self.reports:
            if report.trial_id in ids:
                recorder.write(report)
        where = (task.pack.pack_id, self.places, task.attempt, device_name(task.device), versions())
        for trial in ended:
            cost = Cost(self.shares.seconds[trial.trial_id], *where)
            recorder.finish(trial, self.outcomes[trial.trial_id], cost)
        committed = recorder.commit()
        self.reports = [report for report in self.reports if report.trial_id not in self.outcomes]
        self.outcomes = {}
        self.stored |= {row["trial_id"]: ended_of(row) for row in committed.trials}
        return committed

    def close(self) -> Update:
        """Commit what is left; the checkpoint is needed no more. The update with which the task ends."""
        committed = self._commit()
        self.path.unlink(missing_ok=True)
        self._mirror(committed)
        ended = tuple(self.stored[trial.trial_id] for trial in self.trials)
        return Update(self.task.pack.pack_id, self.steps, self.steps, ended, "; ".join(self.warnings))

    def _mirror(self, committed: Committed) -> None:
        """Mirror to W&B; runs after one that its server did not take are kept offline, to be synchronised by hand."""
        if committed.trials and (warning := _mirrored(committed, self.store, self.task)):
            self.warnings.append(warning)


def _mirrored(committed: Committed, store: Store, task: Task) -> str:
    """Mirror the rows; what to be warned of."""
    mode = "offline" if task.wandb_mode in _GIVEN_UP else task.wandb_mode
    runs, warning = mirror(committed.trials, committed.curves, store.folder, task.study, mode)
    if mode != "online" or not warning:
        return warning
    _GIVEN_UP.add(mode)
    # Without the one that failed: within this process W&B holds its id to be taken.
    mirror(committed.trials[runs + 1 :], committed.curves, store.folder, task.study, "offline")
    return f"{warning}; this worker keeps its W&B runs offline from here on (wandb sync sends them)"


def _steps_of(pack: Pack | None) -> dict[str, int]:
    """The step of every member, by trial."""
    return {trial.trial_id: step for trial, step in zip(pack.trials, pack.steps, strict=True)} if pack else {}


def device_name(device: str) -> str:
    """What the trial ran on: "cpu", or the name of the card."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
