"""WANDB_MODE=online: one run per trial, live and whole, whatever kills a run, and twice in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.holding import Hold
from support.runs import Run, run, until

from tests.mirror.online import comes_to_have, durable, environment, is_mirrored, seen
from tests.mirror.test_mirror import following
from tests.support.wandb_server import serving
from vmi.results.store import Store

STUDY = """
import vmi
study = vmi.Study(name="s", fixed={"steps": 20}, space={"mi_weight": vmi.choice(0, 4)}, seeds=range(2))
if __name__ == "__main__":
    vmi.main(study)
"""
TWICE = """
import vmi
for number in (0, 1):
    space = {"mi_weight": vmi.choice(0, 4)}
    study = vmi.Study(name=f"s{number}", fixed={"steps": 4 + number}, space=space, seeds=range(1))
    results = vmi.run(study, results="results", local=True)
    assert len(results.trials) == 2
"""
# A checkpoint a report.
OFTEN = {"VMI_CHECKPOINT_SECONDS": "0"}


@pytest.mark.litters
@pytest.mark.parametrize(
    ("at", "after", "count"),
    [
        ("*/live-00000004-*", "*", 0),  # four reports are durable; what was sent of them W&B has or not
        ("*/trials/part-*", "*", 0),  # all curves of a pack are durable, its rows are not
        ("*/pack-*.json", "*/trials/part-*", 1),  # rows of a pack are durable, its runs may not have ended
    ],
    ids=["in mid-pack", "in the commit", "between packs"],
)
def test_the_start_after_a_killed_driver_resumes_its_runs(tmp_path: Path, at: str, after: str, count: int) -> None:
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    store, options = Store(tmp_path / "results", "s"), ("--local", "--pack-size", "2")
    with serving() as backend:
        online = environment(backend, tmp_path) | OFTEN
        hold = Hold(tmp_path, at, after.rpartition("/")[2], count)
        driver = Run(tmp_path / "study.py", *options, cwd=tmp_path, **online | hold.environment)
        with hold.reached(driver.process):
            steps = durable(store)
            assert len(steps) == (0 if count else 2) and comes_to_have(backend, steps)
            driver.process.send_signal(signal.SIGKILL)
            driver.wait()
            assert until(lambda: not list(following(store)))
        cut = seen(backend)
        done = run(tmp_path / "study.py", *options, cwd=tmp_path, **online)
        assert (done.code, done.err) == (0, "") and "4 trials" in done.out
        assert is_mirrored(backend, store) and len(backend.runs) == 4
        assert all(seen(backend)[trial_id][: len(lines)] == lines for trial_id, lines in cut.items())


def test_two_studies_in_one_process_have_their_runs_whole_when_each_returns(tmp_path: Path) -> None:
    with serving() as backend:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        done = subprocess.run(
            [sys.executable, "-c", TWICE], cwd=tmp_path, env=clean | environment(backend, tmp_path) | OFTEN,
            capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert {run["project"] for run in backend.runs.values()} == {"s0", "s1"} and len(backend.runs) == 4
        assert {run["summary"]["outcome"] for run in backend.runs.values()} == {"completed"}
