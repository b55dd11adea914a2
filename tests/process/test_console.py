"""Nothing that happens to a command's output ends its work, and its exit code says how the work ended."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.runs import ROOT, SMOKE

from vmi.process.console import ASCII, sayable
from vmi.results.store import Store

pytestmark = pytest.mark.linux  # /dev/full, Ray

VMI = [sys.executable, "-c", "from vmi.cli.app import main; main()"]
FULL, CLOSED, GONE = ">/dev/full", ">&- 2>&-", "2>&1 | true"


def shell(command: list[str], end: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in bash with this end of its line; the exit code is the command's own. It ends with the test."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONUTF8", "PYTHONIOENCODING", "LC_ALL", "COLUMNS")}
    line = f"{shlex.join(command)} {end}; exit ${{PIPESTATUS[0]}}"
    with subprocess.Popen(
        ["bash", "-c", line], env=clean | {"WANDB_MODE": "disabled"} | environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        try:
            out, err = running.communicate()
        finally:
            if running.returncode is None:
                os.killpg(running.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(line, running.returncode, out, err)


def smoke(results: Path) -> list[str]:
    return [sys.executable, str(SMOKE), "--local", "--results", str(results)]


def on(name: str, study: Path) -> list[str]:
    """A command on the results of the smoke study."""
    results = ["--results", str(study.parent), str(SMOKE)] if name == "plan" else [str(study)]
    return [*VMI, name, *results, *([str(study)] if name == "compare" else [])]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke study, trained with an encoding that cannot say "±"."""
    results = tmp_path_factory.mktemp("results")
    done = shell(smoke(results), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"") and b" +/- " in done.stdout
    assert len(Store(results, "smoke").finished()) == 4
    return results / "smoke"


def test_a_sweep_whose_output_cannot_be_written_stores_every_trial_and_ends_with_0(tmp_path: Path) -> None:
    done = shell(smoke(tmp_path), f"{FULL} 2>&1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(Store(tmp_path, "smoke").finished()) == 4


@pytest.mark.parametrize(
    ("name", "end"),
    [("report", FULL), ("report", CLOSED), ("fsck", f"{FULL} 2>&1"), ("fsck", GONE), ("status", CLOSED),
     ("status", "2>/dev/full"), ("status", "| head -1"), ("plan", GONE), ("compare", "| true")],
)  # fmt: skip
def test_a_command_ends_with_0_and_without_a_complaint(name: str, end: str, study: Path) -> None:
    done = shell(on(name, study), end)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["plan", "status", "compare"])
def test_a_command_that_only_says_something_ends_with_1_where_a_full_disk_has_lost_it(name: str, study: Path) -> None:
    done = shell(on(name, study), FULL)
    assert (done.returncode, done.stderr) == (1, b"error: standard output: No space left on device\n")


def said_alone(name: str, folder: Path) -> list[str]:
    """A command that needs no results, and whose output is all that it makes but for a picture of `data`."""
    if name != "data":
        dry = [str(ROOT / "cluster" / "slurm.sh"), str(SMOKE), "--dry-run"]
        return [*VMI, *({"submit": ["submit", *dry]}.get(name) or [name])]
    np.save(folder / "own.npy", np.random.default_rng(0).integers(0, 256, (50, 4, 4), dtype=np.uint8))
    return [*VMI, "data", str(folder / "own.npy"), "--preview", str(folder / "own.png")]


@pytest.mark.parametrize("name", ["data", "version", "--version", "submit"])
def test_so_does_one_that_needs_no_results(name: str, tmp_path: Path) -> None:
    command = said_alone(name, tmp_path)
    done = shell(command, FULL)
    assert (done.returncode, done.stderr) == (1, b"error: standard output: No space left on device\n")
    for end in ("", "| true"):
        assert shell(command, end).returncode == 0


@pytest.mark.parametrize("end", [f"{FULL} 2>&1", "2>&-", GONE])
def test_a_bad_input_ends_with_2_where_it_cannot_be_said(end: str, tmp_path: Path) -> None:
    assert shell([*smoke(tmp_path), "--seeds", "-1", "--debug"], end).returncode == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "environment"),
    [("report", {"PYTHONIOENCODING": "latin-1"}), ("report", {"LC_ALL": "C", "PYTHONUTF8": "0", "COLUMNS": "20"}),
     ("compare", {"PYTHONIOENCODING": "ascii", "TERM": "dumb"})],
)  # fmt: skip
def test_what_an_encoding_lacks_stands_there_in_ascii(name: str, environment: dict[str, str], study: Path) -> None:
    done = shell(on(name, study), **environment)
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout
    assert b"\\u" not in done.stdout and b"?" not in done.stdout


def test_an_error_is_said_in_ascii_where_the_encoding_has_no_more(tmp_path: Path) -> None:
    done = shell([*VMI, "fsck", str(tmp_path / "λ"), "--debug"], PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert done.returncode == 2 and b"lambda" in done.stderr and b"Traceback" in done.stderr


def test_on_a_narrow_dumb_terminal_that_closes_a_sweep_goes_on(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    environment = {"TERM": "dumb", "COLUMNS": "20", "PYTHONIOENCODING": "ascii", "WANDB_MODE": "disabled"}
    with (
        open(ours, "rb", buffering=0) as terminal,  # noqa: PTH123
        subprocess.Popen(
            smoke(tmp_path),
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            env=dict(os.environ) | environment,
        ) as running,
    ):
        try:
            os.close(its)
            assert terminal.read(1)  # it has begun to speak; from now on each write is EIO
            terminal.close()
            assert running.wait() == 0
        finally:
            running.kill()
    assert len(Store(tmp_path, "smoke").finished()) == 4


def test_a_stand_in_is_ascii_that_says_the_same() -> None:
    assert sayable("λ=4 η≤1 ± “é” … β² 中", "ascii") == 'lambda=4 eta<=1 +/- "e" ... beta2 \\u4e2d'
    assert sayable("± λ", "latin-1") == "± lambda" and sayable("± λ", "utf-8") == "± λ"
    assert "\udcff".encode("utf-8", ASCII) == b"\\udcff"
