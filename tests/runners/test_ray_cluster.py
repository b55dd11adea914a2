"""What is asked of Ray's cluster: its settings hold whoever loads it first, and no process but its workers is ended."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from vmi.runners.ray_cluster import is_worker

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


@pytest.mark.parametrize("module", ["tune", "ray_cluster", "ray_private"])
def test_the_settings_are_made_before_ray_is_loaded_whichever_file_is_first_and_a_users_own_stay(module: str) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
    program = f"{FIRST}\nimport vmi.runners.{module}"
    environment = {**clean, "RAY_NUM_REDIS_GET_RETRIES": "7"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_number_that_another_process_has_now_is_no_worker() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    wait = "import sys; print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    for title, is_one in (("ray::ImplicitFunc.train", True), ("notes-on-ray::IDLE", False)):
        with subprocess.Popen([title, "-c", wait], executable=sys.executable, **pipes) as process:
            assert process.stdout and process.stdout.readline()  # before it runs it has no title
            assert is_worker(process.pid) == is_one
            process.communicate()
    assert not is_worker(gone.pid) and not is_worker(os.getpid())


def test_where_the_system_shows_no_title_a_worker_is_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(process: psutil.Process) -> list[str]:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "cmdline", denied)
    assert is_worker(os.getpid())
