"""A study grows while its driver runs it: another start hands its request over, or is refused and writes nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.commands import here
from support.holding import held
from support.runs import OFF, Run, files, inside, tables, trained, until

import vmi
from vmi.results.store import Store
from vmi.spec.requests import requests_of

FIXED = {"steps": 20, "hidden": "16-8", "batch_size": 64}
GRID = "{'mi_weight': vmi.choice(0, 4, 8)}"
SCRIPT = """
import vmi
study = vmi.Study(name="s", fixed={fixed}, space={space}, seeds=range(2){more})
if __name__ == "__main__":
    vmi.main(study)
"""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return written(tmp_path, GRID)


def written(folder: Path, space: str, more: str = "") -> Path:
    (folder / "study.py").write_text(SCRIPT.format(fixed=FIXED, space=space, more=more), encoding="utf-8")
    return folder / "study.py"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as one run that asks for all of it trains it."""
    root = tmp_path_factory.mktemp("whole")
    study = vmi.Study(name="s", fixed=FIXED, space={"mi_weight": vmi.choice(0, 4, 8)}, seeds=range(3))
    trained(study, root)
    return root


def asked(script: Path, *options: str) -> Run:
    """Another start, once its request lies in the store."""
    steer = script.parent / "results" / "s" / "steer"
    before = set(steer.glob("ask-*.json"))
    start = Run(script, *options, cwd=script.parent, **OFF)
    assert until(lambda: set(steer.glob("ask-*.json")) - before or start.process.poll() is not None)
    assert start.process.poll() is None, start.wait().err
    return start


def test_through_ray_it_grows_and_a_setting_stops_and_all_rows_are_those_of_one_run(script: Path, whole: Path) -> None:
    root = script.parent / "results"
    with held(script) as driver:
        second = asked(script, "--seeds", "3")
        assert here(script.parent, "stop", root / "s", "--where", "mi_weight = 8").code == 0
    driver.wait()
    second.wait()
    assert (driver.code, driver.err, second.code, second.err) == (0, "", 0, "")
    assert "s: grows: seeds 2 → 3: 9 trials, as was asked for" in driver.out
    assert "s: 9 trials = 6 trained + 3 stopped in this run + 0 found in the store, 0 failed" in driver.out
    assert f"another driver runs it, pid {driver.process.pid} on " in second.out
    assert "it was asked for more: seeds 2 → 3" in second.out and "the driver is done" in second.out
    rows = Store(root, "s").finished()
    gone = {trial_id for trial_id, row in rows.items() if row["mi_weight"] == 8}
    assert {row["outcome"] for i, row in rows.items() if i in gone} == {"stopped"} and len(gone) == 3
    for table, expected in tables(whole, "s").items():
        found = {k: v for k, v in tables(root, "s")[table].items() if k[0] not in gone}
        assert found == {k: v for k, v in expected.items() if k[0] not in gone}
    spec = Store(root, "s").read_study() or {}
    assert (spec["seeds"], spec["planned"], len(requests_of(spec))) == ([0, 1, 2], 9, 2)
    assert not list((root / "s" / "steer").glob("ask-*"))


def test_where_the_driver_is_killed_before_it_hears_the_one_who_asked_trains(script: Path, whole: Path) -> None:
    root = script.parent / "results"
    with held(script, "--local") as driver:
        second = asked(script, "--local", "--seeds", "3")
        os.kill(driver.process.pid, signal.SIGKILL)
        driver.wait()
    second.wait()
    assert second.code == 0, second.err
    assert "the driver has ended before it took the request up: it is trained here" in second.out
    assert "note: took over the stale lock of pid" in second.out and "grows: seeds 2 → 3" in second.out
    assert tables(root, "s") == tables(whole, "s")


def test_where_both_are_killed_the_next_start_trains_what_was_asked_for(script: Path, whole: Path) -> None:
    root = script.parent / "results"
    with held(script, "--local") as driver:
        second = asked(script, "--seeds", "3")
        for killed in (second, driver):
            os.kill(killed.process.pid, signal.SIGKILL)
            killed.wait()
    done = inside(script, cwd=script.parent)
    assert done.code == 0, done.err
    assert "s: grows: seeds 2 → 3, 0 found + 9 to train, 2 were in training; results go to results/s" in done.out
    assert tables(root, "s") == tables(whole, "s") and not list((root / "s" / "steer").iterdir())


def test_who_asks_for_nothing_more_follows_and_what_can_t_be_asked_for_is_refused(script: Path) -> None:
    results = script.parent / "results"
    with held(script, "--local") as driver:
        before = {name: data for name, data in files(results).items() if not name.endswith("driver.json")}
        wrong = {
            "--only": "--only = True: not while another driver runs it",
            "--retry-failed": "--retry-failed = True: not while another driver runs it",
            "--steps=30": "fixed.steps = 30: the stored study has 20",
        }
        for option, said in wrong.items():
            refused = inside(script, option, "--seeds", "3", cwd=script.parent)
            assert refused.code == 2 and said in refused.err, refused.err
        interrupted, same = (Run(script, cwd=script.parent, **OFF) for _ in range(2))
        for one in (interrupted, same):
            assert one.process.stdout is not None
            assert "nothing more is asked for. Its own options hold." in one.process.stdout.readline()
            assert "trials finished" in one.process.stdout.readline()
        os.kill(interrupted.process.pid, signal.SIGINT)
        interrupted.wait()
        assert interrupted.code == 130 and "s is trained on by its driver" in interrupted.out, interrupted.err
        assert {name: data for name, data in files(results).items() if not name.endswith("driver.json")} == before
    driver.wait()
    same.wait()
    assert driver.code == 0 and same.code == 0 and "the driver is done" in same.out
    assert len(Store(results, "s").finished()) == 6


def test_a_search_grows_in_flight_by_as_many_suggestions(tmp_path: Path) -> None:
    script = written(tmp_path, "{'mi_weight': vmi.log_uniform(0.1, 16)}", ", searcher='tpe', suggestions=2")
    with held(script, "--local") as driver:
        written(tmp_path, "{'mi_weight': vmi.log_uniform(0.1, 16)}", ", searcher='tpe', suggestions=4")
        second = asked(script)
    driver.wait()
    second.wait()
    assert (driver.code, second.code) == (0, 0), driver.err + second.err
    rows = Store(tmp_path / "results", "s").finished().values()
    assert len(rows) == 8 and len({row["suggestion_id"] for row in rows}) == 4
    assert "suggestions 2 → 4" in driver.out and "8 trained in this run" in driver.out
