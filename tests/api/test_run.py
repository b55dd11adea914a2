"""`vmi.run`: what a command line does, in a program: errors raised, nothing exited, any number of times."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.starting import study as on_the_command_line
from support.owned import short_folder
from support.runs import COSTS, SMOKE

import vmi
from vmi.driver.options import RunOptions, options_of
from vmi.results.store import Store
from vmi.study.loading import load

STUDY = vmi.Study(
    name="small",
    fixed={"dataset": "digits", "layout": "n4+c10*", "steps": 4, "batch_size": 32},
    space={"mi_weight": vmi.choice(0, 4)},
    seeds=range(2),
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def without_costs(store: Store) -> list[dict[str, Any]]:
    rows = store.read("trials").checked().to_pylist()
    return sorted(({k: v for k, v in row.items() if k not in COSTS} for row in rows), key=lambda r: r["trial_id"])


def test_it_trains_once_and_then_finds_it_with_the_numbers_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    smoke = load(SMOKE)
    results = vmi.run(smoke, results=tmp_path / "here", local=True, steps=4, gpus_per_pack=0)
    assert len(results.trials) == 4 and results.best is not None and results.failed.empty
    assert "4 trials = 4 trained in this run + 0 found" in capsys.readouterr().out
    again = vmi.run(smoke, results=str(tmp_path / "here"), local=True, steps=4, gpus_per_pack=0)
    assert "nothing to train" in capsys.readouterr().out and again.best == results.best
    monkeypatch.chdir(tmp_path)
    said = on_the_command_line("--local", "--steps", 4, "--results", "there", "--gpus-per-pack", 0)
    assert said.code == 0, said.all
    here, there = (without_costs(Store(tmp_path / place, "smoke")) for place in ("here", "there"))
    assert here == there


def test_seeds_are_a_count_a_list_or_a_text(tmp_path: Path) -> None:
    given: list[Any] = [2, [0, 1], range(2), "2", "0,1", (seed for seed in (0, 1)), np.int64(2), np.arange(2)]
    for seeds in given:
        results = vmi.run(STUDY, results=tmp_path, local=True, seeds=seeds)
        assert sorted(set(results.trials["seed"])) == [0, 1]


def test_trials_that_fail_are_listed_and_raise_nothing(tmp_path: Path) -> None:
    broken = {**STUDY.fixed, "learning_rate": 10.0, "steps": 20}
    bad = vmi.Study(name="bad", fixed=broken, space={"mi_weight": vmi.choice(0, 1e6)}, seeds=[0])
    results = vmi.run(bad, results=tmp_path, local=True)
    assert len(results.failed) >= 1 and results.failed["reason"].str.contains("not finite|nan|NaN").all()
    assert "failed" in repr(results)


def test_what_a_command_line_refuses_is_refused_with_the_same_problems(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bad = {"steps": "ten", "seeds": "ten", "data": "digit", "pack_size": "x", "gpus_per_pack": 2.0, "local": True,
           "scale": "big", "name": "../x", "address": "x", "results": str(tmp_path / "file")}  # fmt: skip
    flags = [part for name, value in bad.items() for part in ("--" + name.replace("_", "-"), value)]
    said = on_the_command_line(*[part for part in flags if part is not True])
    with pytest.raises(vmi.InputError) as raised:
        vmi.run(load(SMOKE), **bad)
    assert said.code == 2 and sorted(said.err.splitlines()[1:]) == sorted(str(raised.value).splitlines()[1:])
    assert not list(tmp_path.glob("*/*"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"packsize": 2}, "--packsize = 2: no such option (did you mean '--pack-size'?)"),
        ({"local": "yes"}, "--local = 'yes': True or False"),
        ({"results": 5}, "--results = 5: a folder, or s3://, gs:// or az://BUCKET/PREFIX"),
        ({"address": 3}, "--address = 3: the address of a Ray cluster"),
        ({"seeds": 1.5}, "--seeds = 1.5: a count from 1 to 10000"),
        ({"seeds": True}, "--seeds = True: a count from 1 to 10000"),
        ({"results": "x" * 5000}, "a path that there can be on this system"),
        ({"gpus_per_pack": True}, "--gpus-per-pack = True: a number from 0 to 1"),
        ({"smoke": np.zeros(2)}, "--smoke = array([0., 0.]): True or False"),
        ({"data": np.zeros(2)}, "fixed.dataset = array([0., 0.]): a string"),
        (
            {"results": "gcs://bucket/x"},
            "--results = 'gcs://bucket/x': a folder, or s3://, gs:// or az://BUCKET/PREFIX",
        ),
        ({"resume": True}, "--resume = 'small': a study that was begun in"),
    ],
)
def test_what_only_a_program_can_get_wrong_is_named(
    given: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(vmi.InputError) as raised:
        vmi.run(STUDY, **given)
    assert len(raised.value.problems) == 1 and said in str(raised.value), raised.value
    assert not list(tmp_path.iterdir())


def test_what_is_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(vmi.InputError, match=r"study = 'sweeps/lambda.py': a vmi.Study"):
        vmi.run("sweeps/lambda.py", results=tmp_path)  # type: ignore[arg-type]


def test_each_option_of_the_command_line_is_a_keyword_with_its_default() -> None:
    shown = list(inspect.signature(vmi.run).parameters.values())[1:]
    assert [p.name for p in shown] == [part.name for part in options_of(RunOptions)]
    assert all(p.kind is p.KEYWORD_ONLY for p in shown)
    assert all(p.default == part.default for p, part in zip(shown, options_of(RunOptions), strict=True))
    assert vmi.run.__doc__ is not None and all(f" {p.name}" in vmi.run.__doc__ for p in shown)


def test_a_program_may_run_a_study_in_a_thread(tmp_path: Path) -> None:
    done: list[vmi.Results] = []
    worker = threading.Thread(target=lambda: done.append(vmi.run(STUDY, results=tmp_path, local=True)))
    worker.start()
    worker.join()
    assert len(done[0].trials) == 4


def test_two_threads_run_one_after_the_other_and_leave_the_process_as_it_was(tmp_path: Path) -> None:
    before, temporary, done = dict(os.environ), tempfile.gettempdir(), []

    def run(name: str) -> None:
        done.append(vmi.run(STUDY, results=tmp_path, local=True, name=name))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results.name for results in done) == ["one", "one", "three", "two"]
    assert all(len(results.trials) == 4 for results in done)
    assert dict(os.environ) == before and tempfile.gettempdir() == temporary and Path(temporary).is_dir()


# STUDY, for programs of their own.
DECLARED = """
import vmi

study = vmi.Study(
    name="small",
    fixed={"dataset": "digits", "layout": "n4+c10*", "steps": 4, "batch_size": 32},
    space={"mi_weight": vmi.choice(0, 4)},
    seeds=range(2),
)
"""
IN_A_LOOP = f"""{DECLARED}
import asyncio


async def cell():
    return vmi.run(study, local=True)


print(len(asyncio.run(cell()).trials))
"""


def test_a_loop_of_asyncio_may_run_around_it(tmp_path: Path) -> None:
    """In a process of its own: where a browser's tests ran before, another loop is running."""
    done = subprocess.run([sys.executable, "-c", IN_A_LOOP], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["4"], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "scaled"),
        ({"scale": "small"}, "scaled"),
        ({"scale": "large"}, "scaled-large"),
        ({"scale": "large", "smoke": True}, "scaled-large-smoke"),
        ({"scale": "large", "name": "mine"}, "mine"),
        ({"data": "digits"}, "scaled"),
    ],
)
def test_the_results_are_those_of_the_folder_that_was_written(
    given: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = {**STUDY.fixed}
    del fixed["steps"]
    scales = {"small": {"steps": 2}, "large": {"steps": 3}}
    study = vmi.Study(name="scaled", fixed=fixed, space=STUDY.space, seeds=[0], scales=scales)
    monkeypatch.chdir(tmp_path)
    results = vmi.run(study, local=True, **given)
    assert results.folder == tmp_path / "results" / name and results.name == name
    assert [path.name for path in (tmp_path / "results").iterdir()] == [name]


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    \"\"\"Ctrl-C in the middle of an import.\"\"\"

    def __init__(self, *modules):
        self.modules = set(modules)

    def find_spec(self, name, path=None, target=None):
        if name in self.modules:
            self.modules.remove(name)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt("numpy.lib", "pandas.core", "torch.nn"))
import vmi

study = vmi.Study(
    name="small",
    fixed={"dataset": "digits", "layout": "n4+c10*", "steps": 4, "batch_size": 32},
    space={"mi_weight": vmi.choice(0, 4)},
    seeds=range(2),
)
for time in (1, 2, 3):
    try:
        vmi.run(study, results="results", local=True)
    except KeyboardInterrupt:
        print("interrupted", time)
print(len(vmi.run(study, results="results", local=True).trials))
"""


def test_an_import_that_is_interrupted_is_made_whole_so_that_the_next_run_works(tmp_path: Path) -> None:
    """In a notebook, which lives on: half of pandas or torch cannot be imported again."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    done = subprocess.run([sys.executable, "interrupted.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert {"interrupted 1", "interrupted 2", "interrupted 3"} <= set(said) and said[-1] == "4"


TWICE = f"""{DECLARED}
import ray

if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    first = vmi.run(study, results="results")
    assert ray.is_initialized(), "a session that was there before stays"
    ray.shutdown()
    second = vmi.run(study, results="results", seeds=3, name="more", address="local")
    assert not ray.is_initialized(), "a session of the run's own ends with it"
    print(len(first.trials), len(second.trials), sorted(set(second.trials["attempt"])))
"""


@pytest.mark.linux
def test_through_ray_twice_in_a_process_and_in_a_session_of_the_callers_own(tmp_path: Path) -> None:
    (tmp_path / "twice.py").write_text(TWICE)
    done = subprocess.run(
        [sys.executable, "twice.py"], cwd=tmp_path, env=os.environ | {"TMPDIR": str(short_folder())},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("4 6 "), done.stdout
    assert "4 found in other studies" in done.stdout, done.stdout
