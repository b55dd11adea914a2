"""What a driver says that is safe is what the store holds, also of packs that were cut short."""

from __future__ import annotations

import io
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sweep.test_progress import display_of, finish, ledger_of, taken

from vmi.record.store import Store
from vmi.sweep import progress
from vmi.sweep.heartbeat import Heartbeat
from vmi.sweep.launch import launch
from vmi.sweep.options import RunOptions
from vmi.sweep.space import uniform
from vmi.sweep.study import Study

# One pack of four, two of which are trained at a time; what has ended is committed at every report.
QUEUED = Study(
    name="s",
    fixed={"hidden": "8", "steps": 4, "batch_size": 64},
    space={"mi_weight": uniform(0, 8)},
    seeds=range(4),
    searcher="random",
    suggestions=1,
    pruner="median",
)


class Cut(io.StringIO):
    """Ctrl-C as soon as something is said while the store has a row."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store, self.rows = store, 0

    def write(self, text: str) -> int:
        written = super().write(text)
        if not self.rows and (rows := self._store.finished()):
            self.rows = len(rows)
            signal.raise_signal(signal.SIGINT)
        return written


def test_an_interrupted_run_counts_each_row_of_the_store_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMI_CHECKPOINT_SECONDS", "0")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    noted, note = list[tuple[int, int]](), Heartbeat.note

    def noting(heartbeat: Heartbeat, seen: Mapping[str, Any]) -> None:
        noted.append((seen["finished"], seen["running"]))
        note(heartbeat, seen)

    monkeypatch.setattr(Heartbeat, "note", noting)
    said = Cut(Store(tmp_path, "s"))
    options = RunOptions(results=tmp_path, local=True, gpus_per_pack=0, pack_size=2)
    assert launch(QUEUED, options, Console(file=said, width=200)) == 130
    safe = len(Store(tmp_path, "s").finished())
    assert 0 < said.rows == safe < 4
    assert f"{safe}/4 trials, 0 failed, {4 - safe} running" in said.getvalue()
    assert f"interrupted: {safe} of 4 trials are finished in " in said.getvalue()
    assert {sum(counts) for counts in noted} == {0, 4}


def test_a_committed_trial_counts_once_whether_its_pack_ends_or_is_lost() -> None:
    ledger = ledger_of()
    first, second = taken(ledger), taken(ledger)
    one, two = first.trials[0].trial_id, second.trials[0].trial_id
    for _ in range(2):
        ledger.committed(first.pack_id, [one, two])  # two is another pack's
        ledger.committed(second.pack_id, [two])
    assert (ledger.safe, ledger.in_training) == (2, 4)
    assert display_of(ledger, lambda: 0.0).line().startswith("2/6 trials, 0 failed, 4 running")
    finish(ledger, first)
    ledger.committed(first.pack_id, [one])  # as of an update that comes after the end
    assert (ledger.safe, ledger.in_training) == (4, 2)
    ledger.lose(second.pack_id, "its worker died")
    assert (ledger.safe, ledger.in_training, ledger.without_result, len(ledger.lost)) == (4, 0, 2, 3)
