"""The `vmi` command: in this process, or in one of its own where W&B goes online.

W&B keeps the server and the key of a process's first login.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from vmi.cli.app import app

KEY = "0123456789abcdef" * 2 + "canary00"
PROGRAM = "from vmi.cli.app import main; main()"


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def vmi(home: Path, *arguments: object, url: str = "", key: str = KEY) -> Said:
    """Run `vmi ARGUMENTS` with this home, this W&B server, and this key in the environment ("" for none)."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environ |= {"HOME": str(home), "COLUMNS": "300", "WANDB_BASE_URL": url} if url else {"HOME": str(home)}
    environ |= {"WANDB_API_KEY": key} if key else {}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert "Traceback" not in done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def here(home: Path, *arguments: object, key: str = KEY) -> Said:
    """Run `vmi ARGUMENTS` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC", "WANDB_CONFIG_DIR"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(home))
        patch.setenv("COLUMNS", "300")
        if key:
            patch.setenv("WANDB_API_KEY", key)
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output and KEY not in done.output
    return Said(done.exit_code, done.stdout, done.stderr)


def holds_key(folder: Path) -> list[Path]:
    """The files below a folder that hold the canary."""
    return [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
