"""Tasks given to real processes: what they print, what they leave, and how they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmi.cost.packing import pack_of
from vmi.results.store import Store
from vmi.spec.trial import Trial
from vmi.worker.messages import Task, Update

FAULTS = Path(__file__).parents[1] / "faults"
COSTS = {"train_seconds", "pack_id", "pack_size", "attempt", "finished_at", "study"}


def task_of(root: Path, trials: Sequence[Trial], **changes: Any) -> Task:
    """A task of these trials that keeps a checkpoint of every report."""
    given = {"study": "s", "layouts": ("n16+c10*",), "attempt": 1, "device": "cpu"}
    given |= {"root": str(root), "data_folder": str(root), "checkpoint_seconds": 0.0}
    return Task(pack=pack_of(tuple(trials)), **{**given, **changes})


class Worker:
    """A program of tests/faults that works on a task in a process of its own."""

    def __init__(self, program: str, task: Task, *arguments: object) -> None:
        root = Path(task.root)
        root.mkdir(parents=True, exist_ok=True)
        path = root / f"{task.pack.pack_id}.task.json"
        path.write_text(task.to_json(), encoding="utf-8")
        command = [sys.executable, str(FAULTS / program), str(path), *map(str, arguments)]
        self._errors = (root / "errors.txt").open("w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors, text=True)

    def next(self) -> Update | None:
        """Its next update, None when it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return Update.from_json(line) if line.endswith("\n") else None

    def rest(self) -> list[Update]:
        """All updates to come; it ends well."""
        updates = []
        while (update := self.next()) is not None:
            updates.append(update)
        self._errors.seek(0)
        assert self.process.wait() == 0, self._errors.read()
        return updates

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def rows(root: Path, table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Every row of a table without what it cost, by trial and step; each is there once."""
    found = Store(root, "s").read(table).checked().to_pylist()
    keys = [(row["trial_id"], row.get("step") if table == "curves" else None) for row in found]
    assert len(set(keys)) == len(keys), f"{table}: a row is there twice"
    return {key: {k: v for k, v in r.items() if k not in COSTS} for key, r in zip(keys, found, strict=True)}


def same_rows(one: Path, other: Path, without: Sequence[str] = ()) -> None:
    """Both have the same rows in every table, but for those of some trials."""
    for table in ("trials", "curves", "arrays"):
        left, right = ({k: v for k, v in rows(root, table).items() if k[0] not in without} for root in (one, other))
        assert left == right, table
