"""Nothing that happens to a command's output ends its work, and its exit code says how the work ended."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from sweep.runs import SMOKE

from vmi.console import ASCII, sayable
from vmi.record.store import Store

VMI = [sys.executable, "-c", "from vmi.cli import main; main()"]
ENCODINGS = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "latin-1"},
             {"PYTHONIOENCODING": "cp1252"}]  # fmt: skip
ENDS = [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", ">&-", "2>&-", ">&- 2>&-", "| true", "| head -1", "2>&1 | true"]


def shell(command: list[str], end: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in bash with this end of its line; the exit code is the command's own. It ends with the test."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONUTF8", "PYTHONIOENCODING", "LC_ALL", "COLUMNS")}
    line = f"{shlex.join(command)} {end}; exit ${{PIPESTATUS[0]}}"
    with subprocess.Popen(
        ["bash", "-c", line], env=clean | {"WANDB_MODE": "disabled"} | environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        try:
            out, err = running.communicate(timeout=240)
        finally:
            if running.returncode is None:
                os.killpg(running.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(line, running.returncode, out, err)


def smoke(results: Path) -> list[str]:
    return [sys.executable, str(SMOKE), "--local", "--results", str(results)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke study, trained with an encoding that cannot say "±"."""
    results = tmp_path_factory.mktemp("results")
    done = shell(smoke(results), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"") and b" +/- " in done.stdout
    assert len(Store(results, "smoke").finished()) == 4
    return results / "smoke"


@pytest.mark.parametrize("end", [">/dev/full 2>&1", ">&- 2>&-", "| true"])
def test_a_sweep_whose_output_cannot_be_written_stores_every_trial_and_ends_with_0(end: str, tmp_path: Path) -> None:
    done = shell(smoke(tmp_path), end)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(Store(tmp_path, "smoke").finished()) == 4


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", ["report", "status", "fsck"])
def test_a_command_on_results_ends_with_0_and_without_a_complaint(name: str, end: str, study: Path) -> None:
    done = shell([*VMI, name, str(study)], end)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("end", ENDS)
def test_a_bad_input_ends_with_2_where_it_cannot_be_said(end: str, tmp_path: Path) -> None:
    assert shell([*smoke(tmp_path), "--seeds", "-1"], end).returncode == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("environment", ENCODINGS)
def test_what_an_encoding_lacks_stands_there_in_ascii(environment: Mapping[str, str], study: Path) -> None:
    done = shell([*VMI, "report", str(study)], **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"lambda" in done.stdout and b"\\u" not in done.stdout and b"?" not in done.stdout


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"COLUMNS": "20"}, {"PYTHONIOENCODING": "ascii"}])
def test_on_a_terminal_that_closes_a_sweep_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    ours, its = pty.openpty()
    try:
        with subprocess.Popen(
            smoke(tmp_path), stdin=its, stdout=its, stderr=its, start_new_session=True,
            env=dict(os.environ) | {"WANDB_MODE": "disabled"} | environment,
        ) as running:  # fmt: skip
            try:
                os.close(its)
                assert os.read(ours, 1)  # it has begun to speak; from now on each write is EIO
                os.close(ours)
                assert running.wait(240) == 0
            finally:
                running.kill()
    finally:
        for number in (ours, its):
            try:
                os.close(number)
            except OSError:
                continue
    assert len(Store(tmp_path, "smoke").finished()) == 4


def test_a_stand_in_is_ascii_that_says_the_same() -> None:
    assert sayable("λ=4 η≤1 ± “é” … β² 中", "ascii") == 'lambda=4 eta<=1 +/- "e" ... beta2 \\u4e2d'
    assert sayable("± λ", "latin-1") == "± lambda" and sayable("± λ", "utf-8") == "± λ"
    assert "\udcff".encode("utf-8", ASCII) == b"\\udcff"
