"""What is asked of Ray's cluster: its settings hold whoever loads it first, and no process but its workers is ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmi.runners.ray_cluster import TITLE, is_worker

# Ends, with what lacks, when Ray's first module is about to be loaded.
FIRST = """
import os, sys

WANTED = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_DISABLE_SIGINT_HANDLER": "1", "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_NUM_REDIS_GET_RETRIES": "7",
}

class First:
    def find_spec(self, name, path=None, target=None):
        if name == "ray":
            print([f"{key}={os.environ.get(key)}" for key in WANTED if os.environ.get(key) != WANTED[key]], flush=True)
            os._exit(0)

sys.meta_path.insert(0, First())
"""


@pytest.mark.parametrize("module", ["tune", "ray_cluster"])
def test_the_settings_are_made_before_ray_is_loaded_whichever_file_is_first_and_a_users_own_stay(module: str) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
    program = f"{FIRST}\nimport vmi.runners.{module}"
    environment = {**clean, "RAY_NUM_REDIS_GET_RETRIES": "7"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def processes(root: Path, **titles: bytes) -> Path:
    """A /proc with these processes and its reader's own."""
    for pid, title in {"self": b"python", **titles}.items():
        folder = root / "proc" / pid.removeprefix("_")
        folder.mkdir(parents=True)
        (folder / "cmdline").write_bytes(title)
    return root


def test_a_number_that_another_process_has_now_is_no_worker(tmp_path: Path) -> None:
    root = processes(tmp_path, _7=b"ray::ImplicitFunc.train", _8=b"vim\0notes-on-ray::IDLE", _9=b"")
    assert [pid for pid in (7, 8, 9, 10) if is_worker(pid, root)] == [7]
    if Path("/proc/self").exists():
        assert not is_worker(os.getpid()), "the process of this test"


def test_where_the_system_shows_no_titles_a_worker_is_taken_for_one(tmp_path: Path) -> None:
    assert is_worker(7, tmp_path)


def test_the_title_is_that_of_any_worker_whatever_it_does() -> None:
    assert TITLE == b"ray::"
