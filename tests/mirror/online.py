"""The mirror online, against W&B's real client and a server on loopback that says what it has seen."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.packs import trial
from support.runs import until
from support.worker_runs import task_of

from tests.mirror.test_mirror import nothing, running
from tests.support.wandb_server import Backend, serving
from vmi.in_flight.live import read_live
from vmi.mirror import writers
from vmi.mirror.mirror import Mirror
from vmi.results.store import Store
from vmi.spec.trial import Trial
from vmi.worker.messages import Task, Update

KEY = "0" * 40
STEPS = 20
# W&B's client sends what a run has logged every 15 s, or as often as this says in whole seconds.
OFTEN = {"WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1"}


def members(count: int, **fields: Any) -> list[Trial]:
    given = {"dataset": "digits", "hidden": "16-8", "batch_size": 64, "steps": STEPS, **fields}
    return [trial(**given, seed=seed) for seed in range(count)]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    with serving() as backend:
        for name, value in environment(backend, tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv(writers.SERVICE, raising=False)
        yield backend


def environment(backend: Backend, home: Path) -> dict[str, str]:
    """What a process that goes online has of this server."""
    return {"WANDB_MODE": "online", "WANDB_BASE_URL": backend.url, "WANDB_API_KEY": KEY, "HOME": str(home), **OFTEN}


def seen(backend: Backend) -> dict[str, list[int]]:
    """The steps that the server has of each run, in the order of its lines."""
    with backend.lock:
        runs = {name: [run["history"][at] for at in sorted(run["history"])] for name, run in backend.runs.items()}
    return {name: [json.loads(line)["_step"] for line in lines] for name, lines in runs.items()}


def ended(backend: Backend) -> dict[str, int]:
    """How the runs ended that have, by trial."""
    return {name: run["exitcode"] for name, run in backend.runs.items() if "exitcode" in run}


def steps_of(rows: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """The steps of rows of `curves`, by trial."""
    found: dict[str, list[int]] = {}
    for row in sorted(rows, key=lambda row: int(row["step"])):
        found.setdefault(row["trial_id"], []).append(row["step"])
    return found


def durable(store: Store) -> dict[str, list[int]]:
    """The steps that trials under way have reported, as the newest checkpoints have them."""
    return steps_of([row for live in read_live(store, store.finished()) for row in live.curves.to_pylist()])


def stored(store: Store) -> dict[str, list[int]]:
    """The steps of each finished trial's curve."""
    attempts = {i: row["attempt"] for i, row in store.finished().items()}
    rows = store.read("curves").checked().to_pylist()
    found = steps_of([row for row in rows if attempts.get(row["trial_id"]) == row["attempt"]])
    return {trial_id: found.get(trial_id, []) for trial_id in attempts}


def is_mirrored(backend: Backend, store: Store) -> bool:
    """Whether the server has one run per finished trial, each with its curve, summary and exit code, and no other."""
    rows = store.finished()
    assert seen(backend) == stored(store) and backend.unknown == []
    assert ended(backend) == {i: int(row["outcome"] == "failed") for i, row in rows.items()}
    for trial_id, row in rows.items():
        summary = backend.runs[trial_id]["summary"]
        assert (summary["outcome"], summary["step"]) == (row["outcome"], row["step"])
        assert summary.get("nmi") == row["nmi"] and (summary.get("reason") or "") == (row["reason"] or "")
    return bool(rows)


def comes_to_have(backend: Backend, steps: dict[str, list[int]]) -> bool:
    """Whether the server comes to have these lines of these runs."""
    return until(lambda: {name: seen(backend).get(name) for name in steps} == steps)


def pack(tmp_path: Path, count: int = 2, **changes: object) -> tuple[Store, Task]:
    task = task_of(tmp_path / "results", members(count), **changes)
    return Store(Path(task.root), task.study), task


def told(mirror: Mirror, task: Task, updates: Iterator[Update]) -> Iterator[list[str]]:
    """After each update of the task, which the mirror is told of: what to be warned of."""
    ids = [trial.trial_id for trial in task.pack.trials]
    for update in updates:
        said = mirror.note([*update.stored, *(one.trial_id for one in update.ended)])
        mirror.look(task.pack.pack_id, update.saved, ids)
        yield said


def close(mirror: Mirror) -> list[str]:
    mirror.end()
    mirror.wait(nothing)
    return mirror.close()


def kill(*victims: int) -> None:
    """SIGKILL, and wait until they are gone; there is at least one."""
    assert victims
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
        assert until(lambda: not running(victim))  # noqa: B023


def with_limits(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    """Have the process beside use these values of `vmi.mirror.MODULE.NAME`, given as MODULE__NAME."""
    lines = (f"import vmi.mirror.{name.replace('__', '.').rpartition('.')[0]}" for name in limits)
    values = (f"vmi.mirror.{name.replace('__', '.')} = {value}" for name, value in limits.items())
    program = writers.PROGRAM.replace("main()", "; ".join([*lines, *values, "main()"]))
    monkeypatch.setattr(writers, "PROGRAM", program)
