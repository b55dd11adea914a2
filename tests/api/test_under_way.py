"""A study is seen while it trains, in status, page and face; what is unfinished is never a result. Real runs, held."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.holding import Hold
from support.runs import ROOT, Run, inside, until

import vmi
from vmi.in_flight.live import read_live
from vmi.results.store import Store

STUDY = """
import functools
import vmi
from vmi.driver import tasks

fixed = {"hidden": "24-12", "steps": 20, "batch_size": 64}
study = vmi.Study(name="s", fixed=fixed, space={"mi_weight": vmi.choice(0, 4)}, seeds=range(2))
if __name__ == "__main__":
    tasks.Task = functools.partial(tasks.Task, update_seconds=0)  # these trainings end before an update is due
    vmi.main(study)
"""
OFTEN = {"VMI_CHECKPOINT_SECONDS": "0", "WANDB_MODE": "disabled"}
# The eighth report of a pack, after at least seven of its 20 steps, waits to become durable.
EIGHTH = "*/checkpoints/*/live-00000008-*"
REFRESH = '<meta http-equiv="refresh" content="10">'
LEADING = re.compile(r"leading \(unfinished, elbo_nats at step (\d+) of 20\): -\d+(\.\d+)? at mi_weight [04]\b")


class Seen:
    """What is to be seen of the study at one moment: the frames are read then, as all of it goes on."""

    def __init__(self, folder: Path) -> None:
        self.results = results = vmi.open(folder)
        self.status, self.page = results.status(), results.report().read_text(encoding="utf-8")
        self.under_way, self.trials, self.settings = results.under_way, results.trials, results.settings
        self.best, self.findings, self.shown, self.figures = (
            results.best,
            results.findings,
            repr(results),
            results.figures,
        )
        ids = [*self.under_way["trial_id"], *self.trials["trial_id"]]
        self.curves = {trial_id: results.curves(trial_id) for trial_id in ids}
        self.drawn = json.loads(results.figure("training-elbo").to_json())["data"] if len(self.under_way) else []


class Story:
    """A study whose second pack is held, watched with a page; its driver is killed; it is run to its end."""

    def __init__(self, home: Path) -> None:
        script, self.folder = home / "study.py", home / "results" / "s"
        script.write_text(STUDY, encoding="utf-8")
        hold = Hold(home, EIGHTH, after="trials/part-*", count=1)
        options = ("--pack-size", "2")
        first = Run(script, "--local", *options, cwd=home, **OFTEN, **hold.environment)
        with hold.reached(first.process):
            assert until(lambda: has_beaten(self.folder))
            self.running = Seen(self.folder)
            page = self.folder / "report.html"
            self.interrupted, self.stays = interrupted(self.folder), page.read_text(encoding="utf-8")
            page.unlink()
            watching = watcher(self.folder)
            assert until(page.exists)
            self.watched = page.read_text(encoding="utf-8")
            first.process.kill()
            first.wait()
            self.out, _ = watching.communicate()
            self.code, self.last_page = watching.returncode, page.read_text(encoding="utf-8")
            self.left = Seen(self.folder)
        self.last = inside(script, *options, cwd=home, **OFTEN)
        self.ended = Seen(self.folder)


def has_beaten(folder: Path) -> bool:
    """Whether the driver's file says what the pack that is held has told last: as much as its newest live report."""
    packs: list[dict[str, Any]] = json.loads((folder / "driver.json").read_text()).get("packs", [])
    (live,) = read_live(Store(folder.parent, folder.name), ())
    return [pack["step"] for pack in packs if pack["pack"] == live.pack_id] == [live.trials[0]["step"]]


def watcher(folder: Path) -> subprocess.Popen[str]:
    # A test session in the background ignores SIGINT, and so would what it starts.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", f"{heeds}from vmi.cli.app import main; main()", "watch", str(folder), "--page"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def interrupted(folder: Path) -> int:
    """The exit code of a watch that is interrupted once it has written the page."""
    process = watcher(folder)
    assert process.stdout and process.stdout.readline().startswith("page: ")
    process.send_signal(signal.SIGINT)
    process.communicate()
    return process.returncode


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"))


def safe_steps(seen: Seen) -> int:
    return 40 + int(seen.under_way["step"].sum())


def test_status_says_steps_and_who_leads_and_that_it_is_unfinished(story: Story) -> None:
    lines = story.running.status.splitlines()
    assert re.match(r"s: 2 of 4 trials finished, 0 failed, 2 running; (\d\d) of 80 steps", lines[0]), lines
    assert lines[1].startswith("  best accuracy_majority 0.") and LEADING.fullmatch(lines[2].strip()), lines
    assert "GPU" not in story.running.status


def test_without_a_driver_what_packs_left_is_said(story: Story) -> None:
    lines, (step,) = story.left.status.splitlines(), set(story.left.under_way["step"])
    assert lines[0] == f"s: 2 of 4 trials finished, 0 failed; {safe_steps(story.left)} of 80 steps"
    assert LEADING.fullmatch(lines[2].strip())
    assert re.search(rf"  left under way: pack \w+ at step {step} of 20, 2 trials", story.left.status)
    assert "dead" in story.left.status


def test_the_frame_has_configuration_step_and_last_report(story: Story) -> None:
    frame = story.running.under_way
    assert len(frame) == 2 and not set(frame["trial_id"]) & set(story.running.trials["trial_id"])
    assert set(frame["steps"]) == {20} and frame["step"].between(7, 19).all()
    assert (frame["last_step"] <= frame["step"]).all() and (frame["last_elbo_nats"] < 0).all()
    assert {"mi_weight", "seed", "last_rate_c10_nats"} <= set(frame.columns)
    assert "2 of 4 trials completed, 2 under way" in story.running.shown


def test_the_curve_so_far_is_the_beginning_of_the_one_to_come(story: Story) -> None:
    for trial_id in story.running.under_way["trial_id"]:
        early, whole = story.running.curves[trial_id], story.ended.curves[trial_id]
        assert early["unfinished"].all() and not whole["unfinished"].any() and 0 < len(early) < len(whole)
        apart = ["attempt", "unfinished"]
        pd.testing.assert_frame_equal(early.drop(columns=apart), whole.drop(columns=apart)[: len(early)])


def test_what_is_under_way_is_in_no_result(story: Story) -> None:
    """Settings, best, findings: as if the study had its finished trials alone."""
    assert len(story.running.trials) == story.running.settings["seeds"].sum() == 2
    assert all("under way" not in said for said in story.running.findings)
    assert "all 2 completed trials" in " ".join(story.running.findings)


def test_the_page_draws_it_as_unfinished(story: Story) -> None:
    assert "2 trials under way at the last checkpoint" in story.running.page
    done, running = story.running.drawn
    assert re.fullmatch(r"λ = \d, <br>under way, step \d+ of 20", running["name"]), running["name"]
    assert re.fullmatch(r"λ = \d", done["name"]) and done["name"] not in running["name"]
    assert (running["line"]["dash"], done["line"]["dash"]) == ("dot", "solid")
    assert running["line"]["color"] != done["line"]["color"] and running["opacity"] < 1
    assert max(running["x"]) < 20 == max(done["x"])


def test_watch_writes_a_page_that_loads_itself_again_and_a_last_one_that_stays(story: Story) -> None:
    assert REFRESH in story.watched and "loads itself again every 10 s" in story.watched
    assert 'http-equiv="refresh"' not in story.last_page and "loads itself" not in story.last_page
    assert story.last_page == story.left.page
    assert story.out.splitlines()[0] == f"page: {story.folder / 'report.html'}"
    assert story.code == 1 and "the driver has died" in story.out.splitlines()[-1]
    assert not list(story.folder.glob(".tmp-*"))


def test_a_watch_that_is_interrupted_leaves_a_page_that_stays(story: Story) -> None:
    assert story.interrupted == 130
    assert "2 trials under way" in story.stays and 'http-equiv="refresh"' not in story.stays


def test_once_it_has_ended_nothing_is_under_way(story: Story) -> None:
    assert story.last.code == 0, story.last.err
    assert story.ended.under_way.empty and {"trial_id", "step", "mi_weight"} <= set(story.ended.under_way.columns)
    assert "under way" not in story.ended.page + story.ended.status and "training-elbo" not in story.ended.figures
    assert "unfinished" not in story.ended.status and "steps" not in story.ended.status


def test_through_ray_and_with_nothing_finished(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    folder, hold = tmp_path / "results" / "s", Hold(tmp_path, EIGHTH)
    training = Run(tmp_path / "study.py", "--pack-size", "4", cwd=tmp_path, **OFTEN, **hold.environment)
    with hold.reached(training.process):
        assert until(lambda: has_beaten(folder))
        seen = Seen(folder)
    training.wait()
    assert training.code == 0, training.err
    assert re.match(r"s: 0 of 4 trials finished, 0 failed, 4 running; \d\d of 80 steps", seen.status)
    assert "No trial has finished yet (4 planned), so there is nothing to conclude." in seen.page
    assert [line["name"].partition(", step")[0] for line in seen.drawn] == [
        "λ = 0, <br>under way",
        "λ = 4, <br>under way",
    ]
    assert seen.trials.empty and seen.settings.empty and seen.best is None and len(seen.under_way) == 4
