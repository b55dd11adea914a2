"""A sweep needs no home folder: not everybody has one, or one that can be written to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.owned import short_folder
from support.runs import SMOKE, run

from vmi.results.store import Store

# As a user whom the system does not know; what is imported is imported before, as this Python may be root's alone.
STRANGER = """
import json, os, sys
from vmi.spec.datasets import data_folder
from vmi.mirror.access import mode_from
from vmi.process.scratch import scratch
closed = sys.argv[1]
os.setgroups([])
os.setgid(54321)
os.setuid(54321)
os.environ |= {"RAY_TMPDIR": "/tmp"}
del os.environ["HOME"]
found = [str(data_folder()), mode_from({"WANDB_MODE": "online"}).mode]
found.append(mode_from({"WANDB_MODE": "online", "HOME": closed}).mode)
os.environ["HOME"] = closed
with scratch():
    names = ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
    found += [os.environ[name] == os.environ["TMPDIR"] for name in names]
print(json.dumps(found))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user whom nobody knows")
def test_a_user_without_a_home_or_with_one_that_is_closed_is_no_error(tmp_path: Path) -> None:
    (closed := tmp_path / "closed").mkdir(0o700)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "VMI_DATA"))}
    done = subprocess.run([sys.executable, "-c", STRANGER, str(closed)], env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == ["/.cache/vmi-sweeps", "offline", "offline", True, True, True]


@pytest.mark.parametrize("where", [["--local"], pytest.param([], marks=pytest.mark.faults)])
def test_with_a_file_in_place_of_the_home_a_sweep_is_done_says_no_more_and_leaves_nothing(
    where: list[str], tmp_path: Path
) -> None:
    (tmp_path / "home").touch()
    (cwd := tmp_path / "cwd").mkdir()
    kept, results = short_folder(), tmp_path / "results"
    done = run(
        SMOKE, *where, "--results", results, cwd=cwd, HOME=str(tmp_path / "home"), TMPDIR=str(kept),
        WANDB_MODE="offline",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "") and "warning" not in done.out
    assert len(Store(results, "smoke").finished()) == 4
    assert len(list((results / "smoke" / "wandb").glob("*run-*"))) == 4
    assert done.gone() and not list(kept.iterdir()) and not list(cwd.iterdir())
