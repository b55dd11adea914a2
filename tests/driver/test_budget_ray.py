"""Budgets of runs through Ray: what its workers train at the end is kept, with signals and where there are none."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from support.runs import OFF, Run, inside, tables, until

from vmi.training.checkpoint import Saved

STUDY = """
import os, sys, threading, time
from pathlib import Path

import vmi

study = vmi.Study(name="s", fixed={"steps": 250}, space={"mi_weight": vmi.choice(0, 2, 4)}, seeds=range(2))
PLACE = Path(os.environ.get("HELD", "."))

def held(config):
    import ray
    from unittest.mock import patch
    from vmi.runners.tune import train_pack
    from vmi.training import train
    from vmi.worker.halting import question_of

    question, run_steps = question_of(ray.get_runtime_context().get_worker_id()), train.run_steps

    def held_steps(pack, data, count):
        run_steps(pack, data, count)
        if min(pack.steps) >= 5:
            (PLACE / f"held-{os.getpid()}").touch()
            while not question.exists():
                time.sleep(0.02)

    with patch.object(train, "run_steps", held_steps):
        train_pack(config)

class Clock:
    time = staticmethod(time.time)

    def monotonic():
        return time.monotonic() + 3600 * (PLACE / "late").exists()

if "HELD" in os.environ:
    from vmi.driver import run
    from vmi.runners import tune
    tune.train_pack, run.time = held, Clock

def train():
    print(len(vmi.run(study, results=sys.argv[2], pack_size=2, hours=1).trials), "rows")

if __name__ == "__main__":
    if sys.argv[1] == "thread":
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
    else:
        vmi.main(study)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("budget")
    (folder / "study.py").write_text(STUDY, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    """The rows of a run that nothing has ended."""
    done = inside(home / "study.py", "--results", home / "whole", cwd=home)
    assert done.code == 0, done.err
    return home / "whole"


def all_held(place: Path, study: Path) -> bool:
    """Whether every pack that the driver says is out waits between two steps."""
    beat = study / "driver.json"
    packs = json.loads(beat.read_text()).get("packs", []) if beat.exists() else []
    return len(list(place.glob("held-*"))) == len(packs) > 0


@pytest.mark.linux
@pytest.mark.parametrize("ended_by", ["SIGUSR1", "--hours 1"])
def test_what_trains_at_the_end_writes_a_checkpoint_and_resumes_to_the_same_rows(
    home: Path, whole: Path, tmp_path: Path, ended_by: str
) -> None:
    """SIGUSR1 comes to the main thread; the deadline ends a run in another one, which hears no signal."""
    is_thread, results = ended_by != "SIGUSR1", tmp_path / "results"
    arguments = ("thread", results) if is_thread else ("--results", results, "--pack-size", "2")
    running = Run(home / "study.py", *arguments, cwd=home, HELD=str(tmp_path), **OFF)
    assert until(lambda: all_held(tmp_path, results / "s")), running.process.poll()
    if is_thread:
        (tmp_path / "late").touch()
    else:
        os.kill(running.process.pid, signal.SIGUSR1)
    running.wait()
    assert running.code == (0 if is_thread else 4) and "Traceback" not in running.out + running.err, running.err
    spent = rf"budget spent \({ended_by}\): 0 of 6 trials are finished in .*; (\d) more resume from .* of their steps"
    (resuming,) = re.findall(spent, running.out)
    kept = [Saved(path.read_bytes()) for path in (results / "s" / "checkpoints").rglob("*.pt")]
    steps = {trial_id: step for one in kept for trial_id, step in one.steps.items()}
    assert len(steps) == int(resuming) >= 2 and 5 <= max(steps.values()) < 250
    assert not is_thread or "0 rows" in running.out
    assert running.gone(), list(running.processes())
    last = inside(home / "study.py", "--results", results, cwd=home)
    assert last.code == 0 and tables(results, "s") == tables(whole, "s"), last.err
