"""Whole runs with a budget: what ends them, what they leave, and that the next start resumes to the same rows."""

from __future__ import annotations

import io
import re
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cost.test_measurements import entry
from rich.console import Console
from support.worker_runs import same_rows
from worker.test_interrupted import PLAIN, CutAt

import vmi
from vmi.cost.hardware import cpu_name
from vmi.cost.measurements import FILE, kind_of, write
from vmi.driver import run as driving
from vmi.driver.launch import drive, launch
from vmi.driver.options import RunOptions
from vmi.monitor import progress
from vmi.results.store import Store
from vmi.spec.resolving import resolve
from vmi.study.space import choice
from vmi.study.study import Study
from vmi.training import checkpoint

TEN = Study(
    name="s",
    fixed={"hidden": "8", "steps": 20, "batch_size": 64},
    space={"mi_weight": choice(0, 1, 2, 4, 8)},
    seeds=range(2),
)


class Late:
    """The driver's clocks, which jump as the test wants it to."""

    def __init__(self) -> None:
        self.by = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.by

    def time(self) -> float:
        return time.time() + self.by


class Hears(io.StringIO):
    """Calls `act` once, when a text that matches was said so many times."""

    def __init__(self, text: str, act: Callable[[], object], times: int = 1) -> None:
        super().__init__()
        self._text, self._act, self._times = text, act, times

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._times and self._text in text:
            self._times -= 1
            if not self._times:
                self._act()
        return written


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Late:
    """No checkpoint is due by the clock, and every update is said."""
    monkeypatch.setenv("VMI_CHECKPOINT_SECONDS", "1000000")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    clock = Late()
    monkeypatch.setattr(driving, "time", clock)
    return clock


def options(root: Path, **given: Any) -> RunOptions:
    return RunOptions(**{"results": root, "local": True, "gpus_per_pack": 0, "pack_size": 4, **given})


def run(study: Study, root: Path, said: io.StringIO | None = None, **given: Any) -> tuple[int, str]:
    said = said or io.StringIO()
    code = launch(study, options(root, **given), Console(file=said, width=200))
    return code, said.getvalue()


def kept(root: Path) -> set[int]:
    """The steps at which the checkpoints of a study stand."""
    files = (root / "s" / "checkpoints").rglob("*.pt")
    return {step for path in files for step in checkpoint.Saved(path.read_bytes()).steps.values()}


def test_at_the_deadline_a_checkpoint_is_written_and_the_next_start_ends_in_the_same_rows(
    tmp_path: Path, late: Late
) -> None:
    def pass_on() -> None:
        late.by = 3600

    code, said = run(PLAIN, tmp_path / "cut", Hears("/4 trials", pass_on, times=8), hours=1)
    spent = r"budget spent \(--hours 1\): 0 of 4 trials are finished in .*; 4 more resume from (\d+) % of their steps\n"
    (share,) = re.findall(spent, said)
    assert code == 4 and 0 < int(share) < 100, said
    assert {round(100 * step / 40) for step in kept(tmp_path / "cut")} == {int(share)}
    assert said.splitlines()[-1].startswith("resume with: python ")
    assert run(PLAIN, tmp_path / "cut", hours=1)[0] == 0
    assert run(PLAIN, tmp_path / "whole")[0] == 0
    same_rows(tmp_path / "cut", tmp_path / "whole")


def test_in_a_thread_the_deadline_holds_and_the_results_come_back(
    tmp_path: Path, late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no signal is heard. `vmi.run` raises nothing."""
    found: list[vmi.Results] = []
    note = driving.Driving.update

    def late_at_the_fifth(driver: driving.Driving, update: Any) -> None:
        note(driver, update)
        late.by = 3600 if update.step >= 4 else 0

    monkeypatch.setattr(driving.Driving, "update", late_at_the_fifth)

    def train() -> None:
        found.append(vmi.run(PLAIN, results=tmp_path / "cut", local=True, gpus_per_pack=0, pack_size=4, hours=1))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert len(found[0].trials) == 0 and 0 < min(kept(tmp_path / "cut")) < 40
    monkeypatch.undo()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert run(PLAIN, tmp_path / "cut")[0] == run(PLAIN, tmp_path / "whole")[0] == 0
    same_rows(tmp_path / "cut", tmp_path / "whole")


def test_sigusr1_ends_a_run_as_its_deadline_does(tmp_path: Path, late: Late) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    code, said = run(PLAIN, tmp_path / "cut", CutAt(9, signal.SIGUSR1))
    assert code == 4 and "budget spent (SIGUSR1): 0 of 4 trials are finished in " in said, said
    assert 0 < min(kept(tmp_path / "cut")) < 40 and signal.getsignal(signal.SIGUSR1) == before
    assert run(PLAIN, tmp_path / "cut")[0] == run(PLAIN, tmp_path / "whole")[0] == 0
    same_rows(tmp_path / "cut", tmp_path / "whole")


def test_seven_of_ten_trials_and_then_the_rest(tmp_path: Path, late: Late) -> None:
    code, said = run(TEN, tmp_path / "cut", trials=7)
    assert code == 4 and "s: 7 trials = 7 trained in this run + 0 found in the store, 0 failed" in said
    assert re.search(r"budget spent \(--trials 7\): 7 of 10 trials are finished in .*; left: 3\n", said), said
    assert len(Store(tmp_path / "cut", "s").finished()) == 7
    code, said = run(TEN, tmp_path / "cut", trials=3)
    assert code == 0 and "s: 10 trials = 3 trained in this run + 7 found in the store, 0 failed" in said
    assert "budget spent" not in said and not (tmp_path / "cut" / "s" / "checkpoints").exists()
    assert run(TEN, tmp_path / "whole")[0] == 0
    same_rows(tmp_path / "cut", tmp_path / "whole")


def test_a_complete_study_with_failures_is_exit_1_and_an_incomplete_one_4(tmp_path: Path, late: Late) -> None:
    fixed = {**PLAIN.fixed, "learning_rate": 10.0, "mi_weight_normal": 1e6, "layout": "n2*"}
    bad = Study(name="s", fixed=fixed, space={"mi_weight": choice(1e6)}, seeds=range(2), metric="elbo_nats")
    code, said = run(bad, tmp_path, trials=1)
    assert code == 4 and "1 failed: " in said, said
    assert run(bad, tmp_path, trials=1)[0] == 1


def calibrated(root: Path, seconds: float) -> None:
    """Packs of TEN are measured to take so long."""
    config = resolve(TEN.fixed)
    kind = kind_of(config.architecture, [config])
    given = {"kind": kind, "hardware": cpu_name(), "rest": seconds}
    write(root / FILE, [entry(size, 0.0, **given) for size in (1, 16)])


def test_a_pack_that_is_predicted_to_end_after_the_deadline_waits_for_the_next_run(tmp_path: Path, late: Late) -> None:
    calibrated(tmp_path / "cut", 2400)

    def pass_on() -> None:
        late.by = 2400

    code, said = run(TEN, tmp_path / "cut", Hears("4/10 trials, 0 failed, 0 running", pass_on), hours=1)
    assert code == 4 and "(--hours 1: nothing that is left is predicted to end in time): 4 of 10" in said, said
    assert said.splitlines()[-2].endswith("; left: 6") and not kept(tmp_path / "cut")
    assert run(TEN, tmp_path / "cut")[0] == run(TEN, tmp_path / "whole")[0] == 0
    same_rows(tmp_path / "cut", tmp_path / "whole")


def test_a_pack_that_needs_more_than_the_whole_budget_goes_on_in_each_run(tmp_path: Path, late: Late) -> None:
    calibrated(tmp_path, 7200)

    def pass_on() -> None:
        late.by += 3600

    reached = []
    for times in (6, 4):
        code, said = run(TEN, tmp_path, Hears("/10 trials", pass_on, times), hours=1)
        assert code == 4 and "budget spent (--hours 1): 0 of 10 trials" in said, said
        reached.append(max(kept(tmp_path)))
    assert 0 < reached[0] < reached[1] < 20


def test_a_slurm_job_that_is_about_to_end_begins_nothing(
    tmp_path: Path, late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 30))
    code, said = run(PLAIN, tmp_path)
    assert code == 4 and re.search(r"note: this run ends at 20[0-9T:-]{14}, a minute before its Slurm job\n", said)
    assert "budget spent (the end of the Slurm job): 0 of 4 trials are finished in " in said, said


def test_the_command_that_resumes_names_no_time_that_has_passed(
    tmp_path: Path, late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pass_on() -> None:
        late.by = 7200

    until = f"{datetime.fromtimestamp(time.time() + 3600, UTC):%Y-%m-%dT%H:%M}Z"
    monkeypatch.setattr("sys.argv", ["study.py", "--until", until, "--local", f"--until={until}"])
    code, said = run(PLAIN, tmp_path, Hears("/4 trials", pass_on, times=3), until=until)
    assert code == 4 and f"budget spent (--until {until}): " in said
    assert said.splitlines()[-1] == "resume with: python study.py --local"
    late.by, heard = 0, Hears("/4 trials", pass_on, times=3)
    with pytest.raises(driving.BudgetSpentError):
        again = "the same call of vmi.run"
        drive(PLAIN, options(tmp_path, until=until), Console(file=heard, width=200), again)
    assert heard.getvalue().endswith(f"resume with: {again}, with a later until\n")
