"""Whatever a test starts ends with it, and a session that leaves anything is red: tried on sessions that do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.owned import MARK, short_folder

CONFTEST = Path(__file__).with_name("conftest.py")
# Each writes the ids of what it starts into pids.txt.
COMMON = """
import os, subprocess, sys, tempfile, time
from pathlib import Path
import pytest

HERE = Path(__file__).parent
SLEEP = "import time; time.sleep(600)"

def note(*pids):
    with (HERE / "pids.txt").open("a") as file:
        file.writelines(f"{pid}\\n" for pid in pids)

def sleeping(**options):
    process = subprocess.Popen([sys.executable, "-c", SLEEP], **options)
    note(process.pid)
    return process
"""
LEAVES_PROCESSES = """
def test_one_of_its_own():
    sleeping(start_new_session=True)

def test_that_leaves_none():
    pass

def test_an_orphan():
    child = f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], stdout=subprocess.DEVNULL)"
    command = [sys.executable, "-c", f"import subprocess, sys; print({child}.pid)"]
    note(subprocess.run(command, start_new_session=True, stdout=subprocess.PIPE, text=True).stdout.strip())

def test_a_fork():
    pid = os.fork()
    if not pid:
        os.setsid()
        time.sleep(600)
    note(pid)
"""
LEAVES_RAY = """
import psutil

def test_it():
    import ray
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
    note(*(child.pid for child in psutil.Process().children(recursive=True)))
"""
LEAVES_A_FILE = """
def test_it():
    Path(tempfile.gettempdir(), "tmp1234wandb-media").mkdir()
"""
FAILS = """
@pytest.fixture(scope="module")
def process():
    return sleeping(start_new_session=True)

def test_it(process):
    sleeping()
    assert process.poll() is None
    raise AssertionError("as it should")

@pytest.mark.timeout(1)
def test_that_hangs():
    sleeping(start_new_session=True).wait()
"""
SHARES = """
@pytest.fixture(scope="module")
def process():
    shared = sleeping()
    yield shared
    shared.kill()

@pytest.fixture(scope="session")
def other():
    shared = sleeping()
    yield shared
    shared.kill()

def test_one(process, other):
    assert process.poll() is other.poll() is None

def test_two(process, other):
    assert process.poll() is other.poll() is None
"""


def session(folder: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A test session of this house over one file, with a temporary folder of its own, which is empty afterwards."""
    code = COMMON + test
    (folder / "test_it.py").write_text(code, encoding="utf-8")
    (folder / "conftest.py").write_text("from support import owned\nowned.GRACE_SECONDS = 1.0\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(owned.Owner(config))\n")  # fmt: skip
    temporary = short_folder()
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), "-p", "no:cacheprovider", *options]
    environ = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(CONFTEST.parent)}
    done = subprocess.run([*command, str(folder)], cwd=folder, env=environ, capture_output=True, text=True)
    pids = [int(pid) for pid in (folder / "pids.txt").read_text().split()] if (folder / "pids.txt").exists() else []
    assert not [pid for pid in pids if psutil.pid_exists(pid)], done.stdout
    assert not list(temporary.iterdir())
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it").mkdir()
    return tmp_path / "it"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_test_that_leaves_a_process_is_red_and_no_process_but_that_is_ended(folder: Path, workers: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name != MARK}
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environ | {MARK: "another"})
    try:
        done = session(folder, LEAVES_PROCESSES, "-n", workers)
        assert other.poll() is None, "what other runs on this machine have started is left alone"
    finally:
        other.communicate(b"\n")
    assert done.returncode == 1 and "4 passed, 3 errors" in done.stdout, done.stdout
    assert done.stdout.count("\nleft behind, and ended now: process") == 3
    for name in ("one_of_its_own", "an_orphan", "a_fork"):
        assert f"ERROR at teardown of test_{name}" in done.stdout


@pytest.mark.faults
@pytest.mark.linux
def test_a_test_session_that_leaves_ray_and_its_files_is_red_and_they_are_gone(folder: Path) -> None:
    done = session(folder, LEAVES_RAY, "-n", "1")
    assert done.returncode == 1 and "gcs_server" in done.stdout and "raylet" in done.stdout
    assert "left behind by the test session, and ended now: file " in done.stdout and "/ray" in done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_test_session_that_leaves_a_file_is_red_and_it_is_gone(folder: Path, workers: str) -> None:
    done = session(folder, LEAVES_A_FILE, "-n", workers)
    assert done.returncode == 1 and "1 passed" in done.stdout
    assert "tmp1234wandb-media" in done.stdout.split("left behind by the test session")[-1]


def test_what_a_test_that_fails_or_hangs_has_started_ends_with_it(folder: Path) -> None:
    done = session(folder, FAILS, "-n", "0")
    assert done.returncode == 1 and "2 failed" in done.stdout
    assert "as it should" in done.stdout and "Timeout (>1.0s)" in done.stdout
    assert "left behind" not in done.stdout, "the failure itself is what is said"


def test_what_a_fixture_starts_lives_as_long_as_its_scope(folder: Path) -> None:
    done = session(folder, SHARES, "-n", "0")
    assert done.returncode == 0, done.stdout
