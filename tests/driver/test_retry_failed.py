"""`--retry-failed`: what has failed is trained again and counts once everywhere, whatever is killed meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from support.failures import REASON, store_failed, trial_of
from support.holding import Hold
from support.runs import Run, inside, run

import vmi
from analysis.data.study_results import open_study
from analysis.report import render
from vmi.monitor.status import status_of
from vmi.results.store import Store
from vmi.spec.trial import Trial

STUDY = """
import vmi
study = vmi.Study(name="s", fixed={"steps": 20}, space={"mi_weight": vmi.choice(0, 4)}, seeds=range(2))
if __name__ == "__main__":
    vmi.main(study)
"""
AGAIN = [trial_of(steps=20, mi_weight=4.0, seed=seed) for seed in (0, 1)]
NAN = {"steps": 20, "learning_rate": 10.0}
FAILS = trial_of(**NAN, mi_weight=1e6, seed=0)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study two of whose trials have failed, each with its run of W&B's; made once, to be copied."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "study.py").write_text(STUDY, encoding="utf-8")
    (folder / "results" / "s" / "wandb").mkdir(parents=True)
    store_failed(folder / "results", "s", AGAIN)
    done = run(folder / "study.py", "--local", "--pack-size", "1", cwd=folder)
    assert done.code == 1 and "2 trained in this run + 2 found in the store, 2 failed" in done.out, done.err
    return folder


@pytest.fixture
def home(failing: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(failing, tmp_path / "home"))


def counted(home: Path) -> dict[str, dict[str, Any]]:
    return dict(Store(home / "results", "s").finished())


def wandb_runs(home: Path) -> list[str]:
    """The trial of each run in W&B's folder."""
    return sorted(path.name.rpartition("-")[2] for path in (home / "results" / "s" / "wandb").glob("offline-run-*"))


def run_of(home: Path, trial: Trial) -> str:
    (folder,) = (home / "results" / "s" / "wandb").glob(f"offline-run-*-{trial.trial_id}")
    return folder.name


def test_failed_trials_complete_through_ray_and_count_once_everywhere(home: Path) -> None:
    before = [run_of(home, trial) for trial in AGAIN]
    done = run(home / "study.py", "--retry-failed", cwd=home)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "s: resuming: 2 of 4 trials are finished, 2 failed before and retried; results go to results/s"
    assert "s: 4 trials = 2 trained in this run + 2 found in the store, 0 failed" in lines
    assert "retried: 2 trials that had failed: 2 completed" in lines
    rows = counted(home)
    assert {row["outcome"] for row in rows.values()} == {"completed"}
    status = status_of(home / "results" / "s", 0.0)
    assert (len(status.rows), status.planned, status.failed) == (4, 4, 0)
    assert wandb_runs(home) == sorted(rows) and not {run_of(home, trial) for trial in AGAIN} & set(before)
    results = vmi.open(home / "results" / "s")
    assert len(results.trials) == 4 and results.failed.empty
    first = results.curves(AGAIN[0].trial_id)
    assert list(first["step"]) == sorted(set(first["step"])), "no report of the failed attempt is among them"
    read = open_study(home / "results" / "s")
    assert read.duplicates == 0 and {i: len(rows) for i, rows in read.earlier.items()} == {
        trial.trial_id: 1 for trial in AGAIN
    }
    page = render(read)
    assert "Failed trials that were tried again" in page and f"1: {REASON}" in page
    assert "repeated a trial" not in page


def test_what_fails_again_stays_failed_for_its_newest_reason(tmp_path: Path) -> None:
    study = vmi.Study(name="s", fixed=NAN, space={"mi_weight": vmi.choice(1e6)}, seeds=(0,))
    store_failed(tmp_path, "s", [FAILS])
    same = vmi.run(study, local=True, results=tmp_path)
    assert list(same.failed["reason"]) == [REASON] and list(same.failed["attempts"]) == [1]
    again = vmi.run(study, local=True, results=tmp_path, retry_failed=True)
    (failed,) = again.failed.to_dict("records")
    assert failed["attempts"] == 2 and "was not finite at step" in failed["reason"]
    third = vmi.run(study, local=True, results=tmp_path, retry_failed=True)
    assert list(third.failed["attempts"]) == [3] and list(third.trials["outcome"]) == ["failed"]
    page = render(open_study(tmp_path / "s"))
    assert f"1: {REASON}; 2: {failed['reason']}; 3: {failed['reason']}" in page.replace("&#x27;", "'")


def test_where_nothing_has_failed_there_is_nothing_to_do_and_it_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = vmi.Study(name="s", fixed={"steps": 20}, space={"mi_weight": vmi.choice(0)}, seeds=(0,))
    vmi.run(study, local=True, results=tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*.parquet")}
    capfd.readouterr()
    vmi.run(study, results=tmp_path, retry_failed=True)
    assert capfd.readouterr().out.splitlines()[:2] == [
        "note: nothing to retry: no trial of this study has failed",
        "nothing to train: every trial of this study is finished",
    ]
    assert {path: path.read_bytes() for path in (tmp_path / "s").rglob("*.parquet")} == before


def test_failed_rows_of_another_study_are_not_adopted(failing: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(failing, tmp_path / "home"))
    done = inside(home / "study.py", "--retry-failed", "--name", "other", cwd=home)
    assert done.code == 0 and "note: nothing to retry" in done.out
    assert "other: 4 trials = 2 trained in this run + 2 found in the store, 0 failed" in done.out
    assert {row["outcome"] for row in counted(home).values()} == {"completed", "failed"}


@pytest.fixture(scope="module")
def killed(failing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One trial was retried, and the driver killed while it trained the second one, which has a checkpoint."""
    home = Path(shutil.copytree(failing, tmp_path_factory.mktemp("killed") / "home"))
    parts = len(list(home.rglob("part-*.parquet")))
    hold = Hold(home, "*/checkpoints/*/00000002-*.pt", "part-*.parquet", parts + 3)
    given = ("--local", "--retry-failed", "--pack-size", "1")
    driver = Run(home / "study.py", *given, cwd=home, VMI_CHECKPOINT_SECONDS="0", **hold.environment)
    with hold.reached(driver.process):
        os.kill(driver.process.pid, signal.SIGKILL)
        driver.wait()
    rows = counted(home)
    assert driver.gone() and sorted(row["outcome"] for row in rows.values()) == ["completed"] * 3 + ["failed"]
    assert wandb_runs(home) == sorted(i for i, row in rows.items() if row["outcome"] == "completed")
    return home


@pytest.mark.parametrize("flag", [True, False])
def test_a_kill_in_the_middle_of_a_retry_loses_nothing(killed: Path, tmp_path: Path, flag: bool) -> None:
    home = Path(shutil.copytree(killed, tmp_path / "home"))
    before = counted(home)
    done = run(home / "study.py", "--local", *(["--retry-failed"] if flag else []), cwd=home)
    rows = counted(home)
    if flag:
        assert done.code == 0 and "retried: 1 trial that had failed: 1 completed" in done.out.splitlines()
        assert {row["outcome"] for row in rows.values()} == {"completed"}
    else:
        assert done.code == 1 and rows == before and f"1 failed: {REASON}" in done.out
    assert {i: row for i, row in before.items() if row["outcome"] == "completed"}.items() <= rows.items()
    assert wandb_runs(home) == sorted(rows), "each trial has one run, of the row that counts"
    assert not (home / "results" / "s" / "checkpoints").exists()
