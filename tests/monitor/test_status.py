"""Status and watch over real runs: a driver at work, one that was killed, none, no store, a damaged store."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console
from support.holding import Hold
from support.runs import OFF, ROOT, Ended, Run, inside, until
from typer.testing import CliRunner

from vmi.cli.app import app
from vmi.monitor import status as status_module
from vmi.monitor.status import Status, describe, status_lines, status_of
from vmi.monitor.watch import watch
from vmi.spec.errors import InputError
from vmi.storage.checksum import sealed

STUDY = """
from vmi.cli.run import main
from vmi.study.space import choice
from vmi.study.study import Study

study = Study(name="s", fixed={"steps": 20}, space={"mi_weight": choice(0, 4)}, seeds=range(2))
if __name__ == "__main__":
    main(study)
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


def vmi(*arguments: object) -> Said:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return Said(result.exit_code, result.stdout, result.stderr)


class Story(NamedTuple):
    """One study: watched while it runs, a second driver beside it, SIGKILL, then to its end under a second watch."""

    folder: Path
    pid: int
    while_running: Said
    root_while_running: Said
    heartbeat: dict[str, object]
    second: Ended
    after_kill: Said
    first_watch: Said
    last: Run
    last_watch: Said
    after: Said


def beaten(folder: Path) -> dict[str, object]:
    path = folder / "driver.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def watcher(folder: Path) -> subprocess.Popen[str]:
    # A test session in the background ignores SIGINT, and so would what it starts.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from vmi.cli.app import main; main()"
    )
    command = [sys.executable, "-c", program, "watch", str(folder)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def ended(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate()
    return Said(process.returncode, out, err)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("status")
    script, folder = home / "study.py", home / "results" / "s"
    script.write_text(STUDY)
    # Each commit but the first waits, while the driver goes on beating.
    hold = Hold(home, "*/curves/part-*", after="trials/part-*", count=1)
    first = Run(script, "--local", "--pack-size", "2", cwd=home, **OFF, **hold.environment)
    with hold.reached(first.process):
        assert until(lambda: [beaten(folder).get(name) for name in ("finished", "running")] == [2, 2])
        watching = watcher(folder)
        assert watching.stdout and "2 of 4 trials finished" in watching.stdout.readline()
        while_running, root = vmi("status", folder), vmi("status", home / "results")
        heartbeat = beaten(folder)
        second = inside(script, "--pack-size", "2", "--only", cwd=home)
        first.process.kill()
        first.wait()
    killed, after_kill = ended(watching), vmi("status", folder)
    hold = Hold(home, "*/curves/part-*")
    last = Run(script, "--local", "--pack-size", "1", cwd=home, **OFF, **hold.environment)
    with hold.reached(last.process):
        watching = watcher(folder)
        assert watching.stdout and watching.stdout.readline()
    last_watch = ended(watching)
    last.wait()
    yield Story(
        folder, first.process.pid, while_running, root, heartbeat, second, after_kill, killed, last, last_watch,
        vmi("status", folder),
    )  # fmt: skip


def test_a_running_study_says_counts_best_part_and_driver(story: Story) -> None:
    assert story.while_running.code == 0, story.while_running.err
    # Whether who trains has reported by then is nobody's promise.
    lines = [line for line in story.while_running.out.splitlines() if not line.startswith("  leading (unfinished")]
    assert lines[0].startswith("s: 2 of 4 trials finished, 0 failed, 2 running")
    assert "best accuracy_majority 0." in lines[1] and "±" in lines[1] and "at mi_weight 0" in lines[1]
    assert lines[2].startswith("  last part: ") and lines[2].endswith(" ago")
    assert lines[3].startswith(f"  driver: alive, pid {story.pid} on ") and "last heartbeat" in lines[3]
    assert story.root_while_running.out.splitlines()[0].startswith("s: 2 of 4 trials finished")


def test_the_heartbeat_has_host_pid_counts_and_packs(story: Story) -> None:
    assert story.heartbeat["pid"] == story.pid and story.heartbeat["study"] == "s"
    assert {"host", "started", "updated", "planned", "finished", "failed", "running", "packs"} <= set(story.heartbeat)


def test_a_second_driver_of_a_view_is_refused_and_named(story: Story) -> None:
    assert story.second.code == 2 and story.second.out == ""
    assert f"another driver runs it: pid {story.pid} on " in story.second.err
    assert "last heartbeat" in story.second.err and "Traceback" not in story.second.err


def test_a_driver_that_was_killed_is_said_to_be_dead(story: Story) -> None:
    assert story.after_kill.code == 0
    assert f"  driver: dead, pid {story.pid} on " in story.after_kill.out
    assert "best accuracy_majority 0." in story.after_kill.out and "(n = 2)" in story.after_kill.out
    assert story.first_watch.code == 1
    assert "the driver has died" in story.first_watch.out.splitlines()[-1]


def test_the_next_start_takes_over_and_says_so(story: Story) -> None:
    assert story.last.code == 0, story.last.err
    assert story.last.out.startswith(f"note: took over the stale lock of pid {story.pid} on ")
    assert "2 trained in this run + 2 found in the store" in story.last.out
    assert not (story.folder / "driver.json").exists()


def test_a_watch_ends_with_the_study(story: Story) -> None:
    assert story.last_watch.code == 0, story.last_watch.err
    assert story.last_watch.out.splitlines()[-1].startswith("s: 4 of 4 trials finished, 0 failed")
    assert "driver: none" in story.after.out and story.after.out.startswith("s: 4 of 4 trials finished")
    again = vmi("watch", story.folder)
    assert again.code == 0 and again.out.count("\n") == 1


def test_what_it_took_is_kept_beside_what_was_predicted(story: Story) -> None:
    kept = json.loads((story.folder / "prediction.json").read_text())
    assert kept["predicted"] is None and kept["trials"] == 2
    actual = kept["actual"]
    # The pack of two that was under way is handed out as it was, if it had been begun.
    assert actual["trials"] == 2 and actual["packs"] in (1, 2)
    assert actual["wall_seconds"] > actual["worker_seconds"] > 0 and actual["cpu_seconds"] > 0


def test_a_watch_on_a_terminal_redraws_and_ends_with_the_lines(story: Story) -> None:
    out = io.StringIO()
    seen = iter([alive(story.folder), alive(story.folder), status_of(story.folder, time.time())])
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    assert watch(story.folder, console, lambda: next(seen)) == 0
    assert out.getvalue().rstrip().endswith("driver: none")


def alive(folder: Path, **content: object) -> Status:
    """The study as if this process drove it, on another host."""
    status = status_of(folder, time.time())
    (folder / "driver.json").write_bytes(sealed({"host": "\x1b[2Jfar", "pid": 7, "updated": time.time(), **content}))
    try:
        return status_of(folder, time.time())
    finally:
        (folder / "driver.json").unlink()
        assert not status.alive


def test_a_watch_off_a_terminal_has_a_line_where_steps_were_taken(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial may train for hours: not only its end is a line."""
    monkeypatch.setattr("vmi.monitor.watch.PLAIN_SECONDS", 0.0)
    monkeypatch.setattr("vmi.monitor.watch.SECONDS", 0.0)
    seen = iter([*(alive(story.folder, steps=[done, 80, None]) for done in (8, 8, 9)), alive(story.folder)])
    out = io.StringIO()
    last = status_of(story.folder, time.time())
    assert watch(story.folder, Console(file=out, width=120), lambda: next(seen, last)) == 0
    assert re.findall(r"; (\d) of 80 steps", out.getvalue()) == ["8", "9"]


def test_a_packs_gpu_memory_is_said_where_it_has_any(story: Story) -> None:
    packs = [{"pack": "a", "trials": 3, "step": 1, "steps": 9, "gpu_bytes": 3_140_000_000}, {"pack": "b"}]
    lines = list(describe(alive(story.folder, packs=packs)))
    assert "  running: pack a at step 1 of 9, 3 trials, up to 3.1 GB of GPU memory" in lines
    assert not any("GPU" in line for line in lines if "pack b" in line)


def test_hostile_names_are_inert(story: Story, tmp_path: Path) -> None:
    content = {
        "host": "\x1b[2Jfar",
        "pid": 7,
        "updated": time.time(),
        "best": "x\x1b]0;owned\x07",
        "packs": [{"pack": "\x1b", "gpu_bytes": "\x1b"}],
        "leading": "leading\x1b",
        "steps": ["\x1b", 1, None],
    }
    folder = tmp_path / "a\x1b[31m"
    folder.mkdir()
    (folder / "driver.json").write_bytes(sealed(content))
    said = "\n".join(status_lines(folder)) + "\n".join(status_lines(tmp_path))
    assert "\x1b" not in said and "\x07" not in said and "\\x1b" in said
    assert vmi("status", folder).code == 0


def test_interrupting_a_watch_is_130(tmp_path: Path) -> None:
    (tmp_path / "driver.json").write_bytes(sealed({"host": "far", "pid": 7, "updated": time.time() + 3600}))
    process = watcher(tmp_path)
    assert process.stdout and process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said = ended(process)
    assert said.code == 130 and "Traceback" not in said.err


def test_no_store_yet_is_said(tmp_path: Path) -> None:
    assert vmi("status", tmp_path).out == f"no store yet: no study in {tmp_path}\n"
    (tmp_path / "lambda").mkdir()
    (tmp_path / "lambda" / "study.json").write_bytes(sealed({"name": "lambda", "planned": 3}))
    said = vmi("status", tmp_path / "lamda")
    assert said.code == 0 and "no store yet" in said.out and "did you mean 'lambda'?" in said.out
    assert vmi("watch", tmp_path / "lamda").code == 2
    with pytest.raises(InputError, match="no store yet"):
        watch(tmp_path / "lamda", Console(file=io.StringIO()))
    lines = list(describe(status_of(tmp_path / "lambda", time.time())))
    assert lines == [
        "lambda: 0 of 3 trials finished, 0 failed",
        "  no part yet: no pack has been committed",
        "  driver: none; start the study again to train what is missing",
    ]


@pytest.mark.parametrize("file", ["study.json", "trials/part-00.parquet"])
def test_a_damaged_store_is_named_with_exit_code_3(tmp_path: Path, file: str) -> None:
    path = tmp_path / "s" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("nonsense")
    for command in (("status", tmp_path / "s"), ("status", tmp_path), ("watch", tmp_path / "s")):
        said = vmi(*command)
        assert said.code == 3 and str(path) in said.err and path.read_text() == "nonsense"


def test_beside_a_damaged_study_the_others_are_said_and_none_is_left_out_unsaid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("broken", "sound", "trials"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.json").write_bytes(sealed({"name": name, "planned": 3}))
    (tmp_path / "broken" / "study.json").write_text("nonsense")
    said = vmi("status", tmp_path)
    assert said.code == 3 and "broken" in said.err
    assert "sound: 0 of 3 trials" in said.out and "trials: 0 of 3 trials" in said.out
    monkeypatch.setattr(status_module, "MAX_STUDIES", 0)
    assert list(status_module.status_lines(tmp_path)) == ["and 3 studies more"]


@pytest.mark.parametrize("own", ["study.json", "driver.json", "trials"])
def test_a_study_that_is_named_as_a_table_does_not_make_a_study_of_the_results(tmp_path: Path, own: str) -> None:
    (tmp_path / "trials").mkdir()
    assert status_module.studies_in(tmp_path) == [tmp_path]  # rows alone are a study, too
    (tmp_path / "trials" / own).mkdir()
    assert status_module.studies_in(tmp_path) == [tmp_path / "trials"]
