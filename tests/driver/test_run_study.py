"""Whole runs through Ray and without it: what they leave, what they say, and what no signal can take from them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.holding import Hold
from support.runs import SMOKE, Run, files, inside, parts, run, tables

from vmi.mirror import run_folders
from vmi.results.store import Store

STUDY = """
from vmi.cli.run import main
from vmi.study.space import choice
from vmi.study.study import Study

study = Study(name="s", fixed={fixed}, space={{"mi_weight": choice{values}}}, seeds=range({seeds}))
if __name__ == "__main__":
    main(study)
"""
# Ten packs of two, each of which reports, and here keeps a checkpoint, ten times. Of two workers both may commit
# before they are held: what is cut short takes two packs, and two more where it is let go before it ends.
LONG: dict[str, Any] = {"fixed": {"steps": 20}, "values": (0, 0.25, 0.5, 1, 2, 3, 4, 8, 12, 16), "seeds": 2}
ALL = 20
IN_TRAINING, IN_A_COMMIT = "*/checkpoints/*.pt", "*/curves/part-*.parquet"
OFTEN = {"VMI_CHECKPOINT_SECONDS": "0"}


def written(folder: Path, **fields: Any) -> Path:
    path = folder / "study.py"
    path.write_text(STUDY.format(**fields), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


class Smoke(NamedTuple):
    """The smoke study through Ray, twice, from another working folder."""

    root: Path
    first: Run
    while_training: list[str]
    before: dict[str, bytes]
    second: Run
    after: dict[str, bytes]


@pytest.fixture(scope="module")
def smoke(home: Path) -> Smoke:
    hold = Hold(home, IN_A_COMMIT)
    first = Run(SMOKE, "--results", "out", cwd=home, **hold.environment)
    with hold.reached(first.process):
        commands = [command for _, command in first.processes()]
    first.wait()
    before = files(home / "out")
    second = run(SMOKE, "--results", "out", cwd=home)
    return Smoke(home / "out", first, commands, before, second, files(home / "out"))


def test_a_run_through_ray_completes_and_says_what_came_out(smoke: Smoke) -> None:
    assert smoke.first.code == 0, smoke.first.err
    lines = smoke.first.out.splitlines()
    assert lines[0] == "smoke: 4 trials; results go to out/smoke"
    assert "smoke: 4 trials = 4 trained in this run + 0 found in the store, 0 failed" in lines
    assert any(line.startswith("best accuracy_majority: 0.") and "(n = 2)" in line for line in lines)
    assert lines[-1] == "report: vmi report out/smoke"


def test_a_normal_run_is_silent_on_standard_error_and_leaves_no_process(smoke: Smoke) -> None:
    assert (smoke.first.err, smoke.second.err) == ("", "")
    assert smoke.first.gone()


def test_ray_starts_no_process_that_a_run_on_one_machine_does_not_need(smoke: Smoke) -> None:
    assert not [command for command in smoke.while_training if "monitor.py " in command], "nobody asks them here"
    idle = sum("ray::IDLE" in command for command in smoke.while_training)
    assert idle < (os.cpu_count() or 1), "a worker was started anew"


def test_ray_s_token_is_the_user_s_alone(smoke: Smoke) -> None:
    token = Path.home() / ".ray" / "auth_token"
    assert not token.exists() or token.stat().st_mode & 0o777 == 0o600


def test_a_run_leaves_its_study_and_one_row_per_trial(smoke: Smoke) -> None:
    spec = json.loads((smoke.root / "smoke" / "study.json").read_text())
    assert (spec["name"], spec["planned"], spec["seeds"]) == ("smoke", 4, [0, 1])
    found = tables(smoke.root, "smoke")
    assert len(found["trials"]) == len(found["arrays"]) == 4
    assert {row["outcome"] for row in found["trials"].values()} == {"completed"}
    assert len(list((smoke.root / "smoke" / "wandb").glob("offline-run-*"))) == 4


def test_a_second_run_trains_nothing_says_so_and_touches_no_file(smoke: Smoke) -> None:
    assert smoke.second.code == 0
    assert smoke.second.out.splitlines()[:2] == [
        "nothing to train: every trial of this study is finished",
        "smoke: 4 trials = 0 trained in this run + 4 found in the store, 0 failed",
    ]
    assert smoke.after == smoke.before


def test_a_local_run_with_other_packs_gives_the_same_rows(smoke: Smoke, home: Path) -> None:
    local = inside(SMOKE, "--pack-size", "1", "--results", home / "local", cwd=home)
    assert (local.code, local.err) == (0, "")
    assert parts(home / "local", "smoke") == 4 and parts(home / "out", "smoke") < 4
    assert tables(home / "local", "smoke") == tables(smoke.root, "smoke")


def test_trials_of_another_study_are_found_and_not_trained_again(smoke: Smoke, home: Path) -> None:
    again = run(SMOKE, "--results", "out", "--name", "again", cwd=home)
    assert again.code == 0
    assert "again: 4 trials = 0 trained in this run + 4 found in the store, 0 failed" in again.out
    ours, theirs = tables(home / "out", "again")["trials"], tables(home / "out", "smoke")["trials"]
    assert {k: v | {"study": ""} for k, v in ours.items()} == {k: v | {"study": ""} for k, v in theirs.items()}


@pytest.mark.slow
def test_another_data_set_is_another_study_by_name(data_folder: Path, home: Path) -> None:
    done = run(SMOKE, "--local", "--data", "mnist", "--steps", "2", "--seeds", "1", "--results", "m", cwd=home)
    assert done.code == 0, done.err
    assert "smoke-mnist: 2 trials" in done.out and (home / "m" / "smoke-mnist" / "study.json").exists()


def test_failed_trials_are_named_with_their_cause_and_make_the_exit_code_1(home: Path) -> None:
    folder = home / "failing"
    folder.mkdir()
    fixed = {"steps": 20, "learning_rate": 10.0}
    done = inside(written(folder, fixed=fixed, values=(1e6,), seeds=2), cwd=folder)
    assert done.code == 1
    assert "s: 2 trials = 2 trained in this run + 0 found in the store, 2 failed" in done.out
    trial_ids = {key[0] for key in tables(folder / "results", "s")["trials"]}
    assert "2 failed: " in done.out and "was not finite at step" in done.out
    assert all(trial_id in done.out for trial_id in trial_ids)
    again = inside(folder / "study.py", cwd=folder)
    assert again.code == 1 and "nothing to train" in again.out


@pytest.mark.faults
def test_a_pack_that_cannot_be_stored_is_lost_with_its_reason_and_trained_at_the_next_start(home: Path) -> None:
    folder = home / "full"
    folder.mkdir()
    script = written(folder, fixed={"steps": 200}, values=(0, 4), seeds=2)
    hold = Hold(folder, IN_TRAINING)
    running = Run(script, cwd=folder, **OFTEN, **hold.environment)
    with hold.reached(running.process):
        (folder / "results" / "s" / "curves").write_text("in the way")
    running.wait()
    assert running.code == 1 and "Traceback" not in running.out + running.err, running.err
    assert "curves" in running.out and "4 of the failed trials have no result" in running.out
    (folder / "results" / "s" / "curves").unlink()
    again = run(script, "--local", cwd=folder)
    assert again.code == 0, again.err
    assert "s: 4 trials = 4 trained in this run + 0 found in the store, 0 failed" in again.out


class Stage(NamedTuple):
    """One run that was cut short: how it ended, and what was finished then."""

    run: Run
    finished: frozenset[str]


class History(NamedTuple):
    """One study: Ctrl-C, SIGTERM, SIGKILL of the driver, then to its end with a worker killed in mid-training.

    All through Ray but for the second, which trains in the driver itself.
    """

    root: Path
    sigint: Stage
    sigterm: Stage
    sigkill: Stage
    last: Run
    undisturbed: Path


def cut_short(script: Path, how: Callable[[Run], object], *local: str) -> Stage:
    """Run until one more pack is committed and another is in training, and is held there while the signal is sent."""
    hold = Hold(script.parent, IN_TRAINING, "trials/part-*", parts(script.parent / "results", "s") + 1)
    running = Run(script, *local, "--pack-size", "2", cwd=script.parent, **OFTEN, **hold.environment)
    with hold.reached(running.process):
        how(running)
    running.wait()
    assert running.gone(), list(running.processes())
    return Stage(running, frozenset(key[0] for key in tables(script.parent / "results", "s")["trials"]))


@pytest.fixture(scope="module")
def history(home: Path) -> History:
    folder = home / "history"
    folder.mkdir()
    script = written(folder, **LONG)
    stages = [
        cut_short(script, lambda run: os.killpg(run.process.pid, signal.SIGINT)),  # as a terminal sends it: to all
        cut_short(script, lambda run: run.process.terminate(), "--local"),
        cut_short(script, lambda run: run.process.kill()),  # what it had started ends by itself
    ]
    hold = Hold(folder, IN_TRAINING)
    running = Run(script, "--pack-size", "2", cwd=folder, **OFTEN, **hold.environment)
    with hold.reached(running.process):
        os.kill(running.trained_by()[0], signal.SIGKILL)
    running.wait()
    (folder / "whole").mkdir()
    whole = inside(script, "--results", folder / "whole", cwd=folder)
    assert whole.code == 0, whole.err
    return History(folder / "results", *stages, running, folder / "whole")


@pytest.mark.parametrize(("name", "code", "local"), [("sigint", 130, ""), ("sigterm", 143, "--local ")])
def test_a_signal_ends_a_run_before_its_study_is_done_with_the_command_to_resume(
    history: History, name: str, code: int, local: str
) -> None:
    stage: Stage = getattr(history, name)
    assert stage.run.code == code, stage.run.err
    assert 0 < len(stage.finished) < ALL
    assert stage.run.out.splitlines()[-1].startswith("resume with: python ")
    assert stage.run.out.splitlines()[-1].endswith(f"study.py {local}--pack-size 2")
    assert "trials are finished in results/s" in stage.run.out
    assert "Traceback" not in stage.run.out + stage.run.err


def test_no_process_of_a_run_outlives_it(history: History) -> None:
    """Of those that were cut short it was seen when they ended."""
    assert history.sigkill.run.code == -signal.SIGKILL
    assert history.last.gone(), list(history.last.processes())


def test_nothing_that_was_finished_is_lost_or_trained_again(history: History) -> None:
    found = tables(history.root, "s")  # asserts that each row is there once
    finished = [history.sigint.finished, history.sigterm.finished, history.sigkill.finished]
    assert finished[0] and finished[0] < finished[1] < finished[2]
    assert finished[2] <= {key[0] for key in found["trials"]}
    assert f"{len(finished[2])} found in the store, 0 failed" in history.last.out


def test_a_study_survives_the_death_of_a_worker_in_mid_training(history: History) -> None:
    assert history.last.code == 0, history.last.out + history.last.err
    assert "0 failed" in history.last.out.splitlines()[-3]


def test_after_all_of_it_the_rows_are_those_of_an_undisturbed_local_run(history: History) -> None:
    assert tables(history.root, "s") == tables(history.undisturbed, "s")
    assert not (history.root / "s" / "checkpoints").exists()


def test_after_all_of_it_each_trial_has_one_run_of_wandb_and_that_is_whole(history: History) -> None:
    written_runs = list((history.root / "s" / "wandb").glob("offline-run-*/run-*.wandb"))
    finished = Store(history.root, "s").finished()
    ids = sorted(path.stem.removeprefix("run-") for path in written_runs)
    assert ids == sorted(finished), history.last.out + history.last.err
    assert all(run_folders._is_whole(path, 0.0) for path in written_runs)


def test_a_search_confirms_its_winner_and_one_that_was_cut_short_there_goes_on(home: Path) -> None:
    """Without the last part, that of the confirmation, the store is what a kill in the confirmation leaves."""
    script, folder = SMOKE.with_name("tune.py"), home / "tune"
    first = inside(script, "--smoke", "--results", folder, cwd=home)
    assert (first.code, first.err) == (0, "")
    assert "best accuracy_majority: 0." in first.out and "(n = 2, fresh seeds)" in first.out
    assert "; search (selected, optimistic): 0." in first.out
    whole, spec = tables(folder, "tune-smoke"), (folder / "tune-smoke" / "study.json").read_text()
    assert [row["seed"] for row in whole["trials"].values()].count(100) == 1 and len(whole["trials"]) == 12
    fresh = {i for i, row in Store(folder, "tune-smoke").finished().items() if row["seed"] >= 100}
    newest = max((folder / "tune-smoke" / "trials").glob("part-*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    newest.unlink()
    assert not fresh & set(Store(folder, "tune-smoke").finished())
    second = inside(script, "--smoke", "--results", folder, cwd=home)
    assert second.code == 0 and "12 trials = 2 trained in this run + 10 found in the store, 0 failed" in second.out
    assert tables(folder, "tune-smoke") == whole and (folder / "tune-smoke" / "study.json").read_text() == spec
    third = inside(script, "--smoke", "--results", folder, cwd=home)
    assert third.out.startswith("nothing to train") and "(n = 2, fresh seeds)" in third.out


def test_a_search_of_which_nothing_keeps_the_constraint_says_so(home: Path) -> None:
    done = inside(SMOKE.with_name("search.py"), "--smoke", "--results", home / "search", cwd=home)
    assert (done.code, done.err) == (0, "")
    assert "nothing to confirm: no suggestion of the search can be compared, none keeps every constraint" in done.out
    assert "front (maximize accuracy_majority, minimize distortion_nats): 0 suggestions" in done.out


PRUNED = """
from vmi.cli.run import main
from vmi.study.space import log_uniform
from vmi.study.study import Study

study = Study(
    name="s", fixed={"steps": 60}, space={"mi_weight": log_uniform(0.01, 32)}, seeds=range(2), searcher="random",
    suggestions=12, pruner="median", baseline={"mi_weight": 0}, confirm=1, confirm_seeds=(7, 8),
)
if __name__ == "__main__":
    main(study)
"""


def test_a_pruner_stops_members_whose_places_go_on_and_no_stopped_suggestion_is_best(home: Path) -> None:
    path = home / "pruned.py"
    path.write_text(PRUNED, encoding="utf-8")
    done = inside(path, "--results", "pruned", "--pack-size", "4", cwd=home)
    assert done.code == 0, done.err
    found = tables(home / "pruned", "s")
    trials, curves, arrays = (list(found[name].values()) for name in ("trials", "curves", "arrays"))
    assert len(trials) == 13 * 2 + 2
    stopped = [row for row in trials if row["outcome"] == "pruned"]
    assert stopped and all("stopped at step" in row["reason"] and row["step"] < 60 for row in stopped)
    assert {row["seed"] for row in trials if row["mi_weight"] == 0} == {0, 1} and not any(
        row["mi_weight"] == 0 for row in stopped
    ), "the baseline is trained to its end"
    told = [row for row in curves if row["judged"] is not None]
    assert {row["step"] for row in told} == {12, 24, 36}
    assert {row["trial_id"] for row in arrays} == {row["trial_id"] for row in trials} - {r["trial_id"] for r in stopped}
    (fresh,) = {row["suggestion_id"] for row in trials if row["seed"] in (7, 8)}
    assert fresh not in {row["suggestion_id"] for row in stopped}, "what was stopped is not confirmed"
    again = inside(path, "--results", "pruned", "--pack-size", "4", cwd=home)
    assert again.code == 0 and "nothing to train" in again.out
