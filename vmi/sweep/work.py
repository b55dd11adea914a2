"""Train and record one pack: the one thing that every runner runs, in whatever process it runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

import vmi
from vmi import checkpoint, data
from vmi.evaluation import evaluate
from vmi.pack import Pack
from vmi.record.recorder import Committed
from vmi.record.store import Store
from vmi.record.to_parquet import ParquetRecorder
from vmi.record.to_wandb import mirror
from vmi.sweep.ledger import Ended, ended_of
from vmi.sweep.task import Task, Update
from vmi.train import train
from vmi.trial import Completed, Cost, Failed, Outcome, Report

CHECKPOINT_SECONDS = 30.0
# Where W&B's server has failed once in this process: no later pack waits for it again.
_GIVEN_UP: set[str] = set()


def work(task: Task) -> Iterator[Update]:
    """Train, evaluate and commit one pack, yielding its progress; the last update comes after the commit.

    A checkpoint is kept beside the results while it trains, and a pack that was cut short goes on from it.
    """
    prepare(task.device)
    if ended := _committed_before(task):
        warning = f"pack {task.pack.pack_id} was finished before its worker died; W&B may lack it"
        yield Update(task.pack.pack_id, 1, 1, ended, warning)
        return
    session = _Session(task)
    yield Update(task.pack.pack_id, session.pack.step, session.steps, warning=session.warning)
    dataset = data.load(session.pack.architecture.dataset, Path(task.data_folder)).to(session.pack.device)
    pack: Pack | None = session.pack
    for progress in train(session.pack, dataset):
        pack = progress.pack
        session.note(progress.reports, progress.failed, pack)
        yield Update(task.pack.pack_id, progress.reports[0].step if progress.reports else session.steps, session.steps)
    outcomes: dict[str, Outcome] = dict(session.failed)
    if pack is not None:
        for trial, evaluation in zip(pack.trials, evaluate(pack, dataset), strict=True):
            outcomes[trial.trial_id] = Completed(pack.step, *evaluation)
        if task.keep_models:
            checkpoint.save(pack, session.store.models / f"{task.pack.pack_id}.pt")
    ended, warning = session.commit(outcomes)
    yield Update(task.pack.pack_id, session.steps, session.steps, ended, warning)


def prepare(device: str) -> None:
    """What every worker needs before it trains: one thread per worker, and denormal numbers flushed to zero."""
    if device == "cpu":
        torch.set_num_threads(1)
    # Adam's moments decay into denormals, which cost ten times the time of a step.
    torch.set_flush_denormal(True)


def versions() -> str:
    """What trained it, as JSON: the versions that decide the numbers."""
    return json.dumps({"vmi-sweeps": vmi.__version__, "torch": torch.__version__})


def _committed_before(task: Task) -> tuple[Ended, ...]:
    """How the trials ended, where a worker committed them and died before it could say so; empty otherwise.

    Only a pack that was started before is looked for in the store: reading it costs more with every part.
    """
    store = Store(Path(task.root), task.study)
    started = store.checkpoints / f"{task.pack.pack_id}.started"
    if not started.exists():
        started.parent.mkdir(parents=True, exist_ok=True)
        started.touch()
        return ()
    rows = store.finished()
    ids = [trial.trial_id for trial in task.pack.trials]
    return tuple(ended_of(rows[trial_id]) for trial_id in ids) if set(ids) <= set(rows) else ()


class _Session:
    """One pack between its start and its commit: recorder, checkpoint, clock."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.store = Store(Path(task.root), task.study)
        self.path = self.store.checkpoints / f"{task.pack.pack_id}.pt"
        self.failed: dict[str, Failed] = {}
        self.reports: list[Report] = []
        self.seconds = 0.0
        self.warning = ""
        self.pack = self._start()
        self.steps = self.pack.architecture.steps
        self.saved = self.resumed = time.monotonic()

    def _start(self) -> Pack:
        """The pack as its checkpoint has it; without a whole one it starts over, with the same result."""
        try:
            return self._resume()
        except FileNotFoundError:
            pass
        except Exception as error:  # a checkpoint only saves time, so nothing that is wrong with one may stop the pack
            said = str(error) if isinstance(error, checkpoint.CheckpointError) else f"{self.path}: {error!r}"
            self.warning = f"{said}: the pack starts over"
        return Pack(self.task.pack.trials, self.task.device)

    def _resume(self) -> Pack:
        pack, notes = checkpoint.restore(self.path, self.task.device)
        kept = json.loads(notes)
        reports = [Report(*report) for report in kept["reports"]]
        failed = {trial_id: Failed(*failed) for trial_id, failed in kept["failed"].items()}
        self.reports, self.failed, self.seconds = reports, failed, kept["seconds"]
        return pack

    def note(self, reports: Sequence[Report], failed: Mapping[str, Failed], pack: Pack | None) -> None:
        """Keep what was reported; now and then write a checkpoint that holds it too."""
        self.reports += reports
        self.failed |= failed
        now = time.monotonic()
        if pack is not None and pack.step < self.steps and now - self.saved >= CHECKPOINT_SECONDS:
            notes = {
                "reports": self.reports,
                "failed": self.failed,
                "seconds": self.seconds + now - self.resumed,
            }
            checkpoint.save(pack, self.path, json.dumps(notes))
            self.saved = time.monotonic()

    def commit(self, outcomes: Mapping[str, Outcome]) -> tuple[tuple[Ended, ...], str]:
        """Make the pack durable, then mirror it; the checkpoint is needed no more."""
        task, trials = self.task, self.task.pack.trials
        recorder = ParquetRecorder(
            self.store, task.layouts, trials[0].config.dataset, task.attempt, lambda: datetime.now(UTC)
        )
        for report in self.reports:
            recorder.write(report)
        seconds = (self.seconds + time.monotonic() - self.resumed) / len(trials)
        cost = Cost(seconds, task.pack.pack_id, len(trials), task.attempt, device_name(task.device), versions())
        for trial in trials:
            recorder.finish(trial, outcomes[trial.trial_id], cost)
        committed = recorder.commit()
        self.path.unlink(missing_ok=True)
        return tuple(ended_of(row) for row in committed.trials), self._mirror(committed)

    def _mirror(self, committed: Committed) -> str:
        """Mirror to W&B; runs after one that its server did not take are kept offline, to be synchronised by hand."""
        task, folder = self.task, self.store.folder
        mode = "offline" if task.wandb_mode in _GIVEN_UP else task.wandb_mode
        runs, warning = mirror(committed.trials, committed.curves, folder, task.study, mode)
        if mode != "online" or not warning:
            return warning
        _GIVEN_UP.add(mode)
        # Without the one that failed: within this process W&B holds its id to be taken.
        mirror(committed.trials[runs + 1 :], committed.curves, folder, task.study, "offline")
        return f"{warning}; this worker keeps its W&B runs offline from here on (wandb sync sends them)"


def device_name(device: str) -> str:
    """What the trial ran on: "cpu", or the name of the card."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
