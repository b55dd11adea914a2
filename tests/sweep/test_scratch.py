"""A run's temporary folder: it goes with its owner, and what a killed owner has left goes with the next start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from vmi.errors import InputError
from vmi.sweep.scratch import LOCK, PREFIX, clear, outside, scratch

OWNER = "import sys; from vmi.sweep.scratch import scratch\nwith scratch() as f: print(f, flush=True); sys.stdin.read()"
NAMES = ("TMPDIR", "RAY_TMPDIR", "RAY_AUTH_TOKEN_PATH", "HOME", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where scratch folders are made: short, as /tmp stands in for a long one."""
    from owned import short_folder

    folder = short_folder()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr("vmi.sweep.scratch._RAY_BYTES", 200)  # the session's own folder may be long
    yield folder


@contextmanager
def owner(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a scratch folder until its input ends, and that folder."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], env={**os.environ, "RAY_TMPDIR": str(root)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()
