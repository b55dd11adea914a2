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
from vmi.evaluate import evaluate
from vmi.pack import Pack
from vmi.record.store import Store
from vmi.record.to_parquet import ParquetRecorder
from vmi.record.to_wandb import mirror
from vmi.sweep.ledger import Ended, ended_of
from vmi.sweep.task import Task, Update
from vmi.train import train
from vmi.trial import Completed, Cost, Failed, Outcome, Report

CHECKPOINT_SECONDS = 30.0


def work(task: Task) -> Iterator[Update]:
    """Train, evaluate and commit one pack, yielding its progress; the last update comes after the commit.

    A checkpoint is kept beside the results while it trains, and a pack that was cut short goes on from it.
    """
    prepare(task.device)
    session = _Session(task)
    yield Update(task.pack.pack_id, session.pack.step, session.steps)
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


class _Session:
    """One pack between its start and its commit: recorder, checkpoint, clock."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.store = Store(Path(task.root), task.study)
        self.path = self.store.checkpoints / f"{task.pack.pack_id}.pt"
        self.failed: dict[str, Failed] = {}
        self.reports: list[Report] = []
        self.seconds = 0.0
        self.pack = self._start()
        self.steps = self.pack.architecture.steps
        self.saved = self.resumed = time.monotonic()

    def _start(self) -> Pack:
        try:
            pack, notes = checkpoint.restore(self.path, self.task.device)
        except (FileNotFoundError, checkpoint.CheckpointError):
            # A checkpoint only saves time: without a whole one the pack starts over, with the same result.
            return Pack(self.task.pack.trials, self.task.device)
        kept = json.loads(notes)
        self.reports = [Report(*report) for report in kept["reports"]]
        self.failed = {trial_id: Failed(*failed) for trial_id, failed in kept["failed"].items()}
        self.seconds = kept["seconds"]
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
        mirrored = mirror(committed.trials, committed.curves, self.store.folder, task.study, task.wandb_mode)
        return tuple(ended_of(row) for row in committed.trials), mirrored.warning


def device_name(device: str) -> str:
    """What the trial ran on: "cpu", or the name of the card."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
