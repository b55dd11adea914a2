"""What a driver says that is safe is what the store holds, also of packs that were cut short."""

from __future__ import annotations

import io
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from monitor.test_progress import display_of, finish, ledger_of, taken
from rich.console import Console
from support.worker_runs import same_rows

from vmi.driver.launch import launch
from vmi.driver.options import RunOptions
from vmi.driver.summary import interrupted_lines
from vmi.monitor import progress
from vmi.monitor.lock import Heartbeat
from vmi.results.store import Store
from vmi.runners.ledger import Ledger
from vmi.runners.local import LocalRunner
from vmi.spec.trial import PackSpec
from vmi.study.space import choice, uniform
from vmi.study.study import Study
from vmi.training import checkpoint
from vmi.worker.messages import Ended, Task, Update
from vmi.worker.takeover import stored_of
from vmi.worker.work import work

TaskOf = Callable[[PackSpec], Task]

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


# One pack of four without a queue, which reports ten times.
PLAIN = Study(
    name="s",
    fixed={"hidden": "8", "steps": 40, "batch_size": 64},
    space={"mi_weight": choice(0, 4)},
    seeds=range(2),
)


class CutAt(io.StringIO):
    """A signal as soon as so many lines were said."""

    def __init__(self, lines: int, number: signal.Signals) -> None:
        super().__init__()
        self._left, self._number = lines, number

    def write(self, text: str) -> int:
        written = super().write(text)
        self._left -= text.count("\n")
        if self._left <= 0:
            self._left = 10**9
            signal.raise_signal(self._number)
        return written


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_trained_when_a_run_was_interrupted_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    """No checkpoint is due by the clock; the one that the signal brings says how far the trials are."""
    monkeypatch.setenv("VMI_CHECKPOINT_SECONDS", "1000000")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    options = RunOptions(results=tmp_path / "cut", local=True, gpus_per_pack=0, pack_size=4)
    said = CutAt(9, number)
    assert launch(PLAIN, options, Console(file=said, width=200)) == code
    (share,) = re.findall(r"interrupted: 0 of 4 trials are finished in .*; 4 more resume from (\d+) %", said.getvalue())
    (saved,) = (tmp_path / "cut" / "s" / "checkpoints").rglob("*.pt")
    steps = set(checkpoint.Saved(saved.read_bytes()).steps.values())
    assert {round(100 * step / 40) for step in steps} == {int(share)} and 0 < int(share) < 100
    again = io.StringIO()
    assert launch(PLAIN, options, Console(file=again, width=200)) == 0
    whole = RunOptions(results=tmp_path / "whole", local=True, gpus_per_pack=0, pack_size=4)
    assert launch(PLAIN, whole, Console(file=io.StringIO())) == 0
    same_rows(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.0, 0.0), "interrupted: 0 of 6 trials are finished in s"),
        ((0.9, 0.0), "interrupted: 0 of 6 trials are finished in s; 3 more resume from 90 % of their steps"),
        ((0.9, 0.9), "interrupted: 0 of 6 trials are finished in s; 6 more resume from 90 % of their steps"),
        ((0.9, 0.051), "interrupted: 0 of 6 trials are finished in s; 6 more resume from 5 to 90 % of their steps"),
    ],
)
def test_an_interrupted_run_says_from_where_its_trials_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: tuple[float, float], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = ledger_of()
    for share in shares:
        ledger.take(Update(taken(ledger).pack_id, 0, 1000, saved=round(1000 * share)))
    assert interrupted_lines(ledger, {"planned": 6}, Store(tmp_path, "s"), "again")[0] == said


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


class Breaking(LocalRunner):
    """Its worker dies as soon as the store has a row, before the driver has heard of it."""

    def run(self, ledger: Ledger, task_of: TaskOf, show: Callable[[Update], None], spent: Callable[[], bool]) -> None:
        while (spec := ledger.next_pack()) is not None:
            for update in work(task := task_of(spec)):
                if stored_of(spec, Store(Path(task.root), task.study)):
                    break
                ledger.take(update)
                show(update)
            ledger.lose(spec.pack_id, "its worker died")


def test_what_a_pack_has_stored_before_it_broke_is_trained_and_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMI_CHECKPOINT_SECONDS", "0")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(LocalRunner, "run", Breaking.run)
    options = RunOptions(results=tmp_path, local=True, gpus_per_pack=0, pack_size=2)
    assert launch(QUEUED, options, Console(file=(said := io.StringIO()), width=200)) == 1
    rows = len(Store(tmp_path, "s").finished())
    assert 0 < rows < 4
    assert f"s: 4 trials = {rows} trained in this run + 0 found in the store, {4 - rows} failed" in said.getvalue()
    assert f"{4 - rows} of the failed trials have no result: the next start trains them again" in said.getvalue()


def test_a_pack_that_broke_beside_a_store_that_cannot_be_read_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(spec: PackSpec, store: Store) -> dict[str, Ended]:
        raise TimeoutError("the bucket does not answer")

    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr("vmi.driver.run.stored_of", away)
    monkeypatch.setattr(LocalRunner, "run", lambda self, ledger, *_: ledger.lose(taken(ledger).pack_id, "it went"))
    options = RunOptions(results=tmp_path, local=True, gpus_per_pack=0, pack_size=4)
    assert launch(PLAIN, options, Console(file=(said := io.StringIO()), width=200)) == 1
    assert "4 of the failed trials have no result" in said.getvalue()


def test_a_committed_trial_counts_once_whether_its_pack_ends_or_is_lost() -> None:
    rows: dict[str, Ended] = {}
    ledger = ledger_of(rows=rows)
    first, second = taken(ledger), taken(ledger)
    one, two = first.trials[0].trial_id, second.trials[0].trial_id
    for _ in range(2):
        ledger.take(Update(first.pack_id, 3, 9, stored=(one, two)))  # two is another pack's
        ledger.take(Update(second.pack_id, 3, 9, stored=(two,)))
    assert (ledger.outcomes.safe, ledger.in_training) == (2, 4)
    assert display_of(ledger, lambda: 0.0).line().startswith("2/6 trials, 0 failed, 4 running")
    finish(ledger, first)
    ledger.take(Update(first.pack_id, 9, 9, stored=(one,)))  # comes after the end
    assert (ledger.outcomes.safe, ledger.in_training) == (4, 2)
    rows[two] = Ended(two, "completed", 9, {"accuracy_majority": 0.5})
    ledger.lose(second.pack_id, "its worker died")
    outcomes = ledger.outcomes
    assert (outcomes.safe, ledger.in_training, outcomes.without_result, len(outcomes.lost)) == (4, 0, 2, 2)
    assert two in outcomes.finished and two not in outcomes.failures and ledger.done
