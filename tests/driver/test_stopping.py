"""`vmi stop` and a driver: who is asked ends as stopped, all others as if nothing had been, whoever is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.commands import here
from support.holding import held
from support.runs import inside, tables, trained

import vmi
from analysis.data.study_results import open_study
from analysis.report import render
from vmi.in_flight.steering import LOOK_SECONDS
from vmi.monitor.status import describe, status_of
from vmi.results.store import Store

FIXED = {"steps": 20, "hidden": "16-8", "batch_size": 64}
STUDY = vmi.Study(name="s", fixed=FIXED, space={"mi_weight": vmi.choice(0, 4, 8)}, seeds=range(2))
SCRIPT = f"""
import vmi
study = vmi.Study(name="s", fixed={FIXED}, space={{"mi_weight": vmi.choice(0, 4, 8)}}, seeds=range(2))
if __name__ == "__main__":
    vmi.main(study)
"""
# One that two workers have in a pack of two by then, and both of a pack that waits.
WHERE = "mi_weight = 4 and seed = 0 or mi_weight = 8"
GONE = {(4.0, 0), (8.0, 0), (8.0, 1)}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as nobody stops it."""
    root = tmp_path_factory.mktemp("whole")
    trained(STUDY, root)
    return root


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "study.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path / "study.py"


def trials(root: Path) -> dict[tuple[float, int], dict[str, Any]]:
    return {(row["mi_weight"], row["seed"]): row for row in Store(root, "s").finished().values()}


def outcomes(root: Path) -> dict[tuple[float, int], str]:
    return {key: row["outcome"] for key, row in trials(root).items()}


def expected(outcome: str = "stopped") -> dict[tuple[float, int], str]:
    every = [(weight, seed) for weight in (0.0, 4.0, 8.0) for seed in (0, 1)]
    return {key: outcome if key in GONE else "completed" for key in every}


def same_but_for(gone: set[tuple[float, int]], root: Path, whole: Path) -> None:
    """Both have the same rows in every table, but for those of some trials; arrays are of completed ones alone."""
    ids = {trials(whole)[key]["trial_id"] for key in gone}
    for table, rows in tables(whole, "s").items():
        mine = tables(root, "s")[table]
        assert {k: v for k, v in rows.items() if k[0] not in ids} == {k: v for k, v in mine.items() if k[0] not in ids}


def test_through_ray_a_setting_stops_and_the_others_are_bitwise_what_they_were(script: Path, whole: Path) -> None:
    root = script.parent / "results"
    with held(script) as driver:
        said = here(script.parent, "stop", root / "s", "--where", WHERE)
        assert said.code == 0 and "asked to stop 3 of 6 trials without a result" in said.out, said.err
        assert "They end within seconds." in said.out
        time.sleep(LOOK_SECONDS)  # who is held now has looked before, and looks again from here on
    driver.wait()
    assert (driver.code, driver.err) == (0, "")
    assert f"stopping trials where {WHERE}, as " in driver.out
    assert "3 trained + 3 stopped in this run + 0 found in the store, 0 failed" in driver.out
    assert "2 suggestions stopped on some seed: never best" in driver.out and "at mi_weight 0" in driver.out
    assert outcomes(root) == expected()
    begun = trials(root)[4.0, 0]
    assert 0 < begun["step"] < 20 and begun["accuracy_majority"] is not None
    same_but_for(GONE, root, whole)
    shown_as_stopped(root)

    same = inside(script, cwd=script.parent)
    assert same.code == 0 and "nothing to train" in same.out
    failed = inside(script, "--retry-failed", cwd=script.parent)
    assert failed.code == 0 and "nothing to retry: no trial of this study has failed" in failed.out
    again = inside(script, "--retry-stopped", cwd=script.parent)
    assert again.code == 0 and "3 stopped before and retried" in again.out, again.err
    assert "retried: 3 trials that had been stopped: 3 completed" in again.out
    assert outcomes(root) == expected("completed") and not status_of(root / "s", 0.0).stops
    assert {i: row["outcome"] for i, (row,) in open_study(root / "s").earlier.items()} == {
        row["trial_id"]: "stopped" for key, row in trials(root).items() if key in GONE
    }
    assert "Stopped trials that were tried again" in render(open_study(root / "s"))


def shown_as_stopped(root: Path) -> None:
    """Stopped trials are counted, and are no result, wherever a study is looked at."""
    results = vmi.open(root / "s")
    assert "3 of 6 trials completed, 3 stopped" in repr(results) and results.failed.empty
    assert len(results.settings) == 1
    assert results.best is not None and results.best.params == {"mi_weight": 0.0}
    status = status_of(root / "s", 0.0)
    assert (len(status.rows), status.stopped, status.failed, status.complete) == (6, 3, 0, True)
    assert f"in force: trials where {WHERE} are stopped by " in "".join(describe(status))
    page = render(open_study(root / "s"))
    assert "Trials that were stopped" in page and "3 trials stopped by " in page and "pruned" not in page


@pytest.mark.parametrize("first", ["asked", "killed"])
def test_a_driver_that_is_killed_beside_the_request_has_a_successor_that_heeds_it(
    script: Path, whole: Path, first: str
) -> None:
    root = script.parent / "results"
    with held(script, "--local") as driver:
        if first == "asked":
            here(script.parent, "stop", root / "s", "--where", WHERE)
        os.kill(driver.process.pid, signal.SIGKILL)
        driver.wait()
    if first == "killed":
        said = here(script.parent, "stop", root / "s", "--where", WHERE)
        assert said.code == 0 and "its next start stops them" in said.out, said.err
    done = inside(script, "--pack-size", "2", cwd=script.parent)
    assert done.code == 0 and "3 trials not begun: stopped by " in done.out, done.err
    assert outcomes(root) == expected()
    same_but_for(GONE, root, whole)


def test_requests_that_overlap_and_one_about_all_that_is_left(script: Path) -> None:
    root = script.parent / "results"
    with held(script, "--local") as driver:
        for where in ("seed = 1", "mi_weight >= 4"):
            assert here(script.parent, "stop", root / "s", "--where", where).code == 0
        refused = here(script.parent, "stop", root / "s", "--where", "seed < 9")
        assert refused.code == 2 and "--yes: needed without a terminal, to stop 6 of 6 trials" in refused.err
        assert here(script.parent, "stop", root / "s", "--where", "seed < 9", "--yes").code == 0
        time.sleep(LOOK_SECONDS)
    driver.wait()
    assert driver.code == 0 and "0 trained + 6 stopped in this run" in driver.out, driver.err
    assert set(outcomes(root).values()) == {"stopped"} and vmi.open(root / "s").best is None
    late = here(script.parent, "stop", root / "s", "--where", "seed = 1")
    assert late.code == 2 and "each of the 6 has a row" in late.err
    more = inside(script, "--seeds", "3", cwd=script.parent)  # a request is in force for what comes later
    not_begun = [int(count) for count in re.findall(r"(\d+) trials? not begun", more.out)]  # a line for each request
    assert more.code == 0 and sum(not_begun) == 3 and len(trials(root)) == 9


def test_what_can_not_be_stopped_is_refused_and_nothing_is_written(script: Path) -> None:
    root = script.parent / "results"
    wrong = {
        "nmi > 0.5": "nmi': a field of the configuration, trial_id or suggestion_id",
        "mi_weight =": "a number or a 'text' is expected at the end",
        "mi_weight = 5": "met by none of the 6 trials that have no row; 0 have one",
    }
    with held(script, "--local") as driver:
        for where, said in wrong.items():
            refused = here(script.parent, "stop", root / "s", "--where", where)
            assert refused.code == 2 and said in refused.err and not (root / "s" / "steer").exists()
        os.kill(driver.process.pid, signal.SIGKILL)
        driver.wait()


def test_a_search_s_suggestions_stop_and_others_take_their_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"mi_weight": vmi.log_uniform(0.1, 16)}
    study = vmi.Study(name="s", fixed=FIXED, space=space, searcher="tpe", suggestions=2, seeds=range(2))
    first = vmi.run(study, results=tmp_path, local=True).trials
    known = ", ".join(f"'{i}'" for i in first["suggestion_id"].unique())
    grown = vmi.Study(name="s", fixed=FIXED, space=space, searcher="tpe", suggestions=4, seeds=range(3))
    store = Store(tmp_path, "s")
    store.write_study({**(store.read_study() or {}), "seeds": [0, 1, 2]})
    said = here(tmp_path, "stop", tmp_path / "s", "--where", f"suggestion_id in ({known})", "--yes")
    assert said.code == 0 and "2 of 2 trials" in said.out, said.err
    results = vmi.run(grown, results=tmp_path, local=True)
    assert dict(results.trials["outcome"].value_counts()) == {"completed": 10, "stopped": 2}
    assert "2 suggestions stopped on some seed: never best" in capsys.readouterr().out
