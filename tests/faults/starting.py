"""Command lines tried as a user would: a study file's own and `vmi`, in this process for speed or in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from vmi.cli.app import app
from vmi.cli.run import main
from vmi.spec.errors import InputError
from vmi.study.loading import load

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "sweeps" / "smoke.py"
SEARCH = ROOT / "sweeps" / "search.py"
STUDY = """
from vmi.cli.run import main
from vmi.study.space import *
from vmi.study.study import Study

nan, inf = float("nan"), float("inf")
given = dict(name="s", space={{"mi_weight": choice(0, 4)}}, fixed={{"steps": 2}}, seeds=range(2))
study = Study(**{{**given, **dict({fields})}})
if __name__ == "__main__":
    main(study)
"""
# What would make a command line go elsewhere than the test means.
CLEARED = ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "RAY_ADDRESS", "RAY_AUTH_MODE")


class Said(NamedTuple):
    """How a command ended, and how many seconds it took, as `waited` counts them."""

    code: int
    out: str
    err: str
    seconds: float = 0.0

    @property
    def all(self) -> str:
        return self.out + self.err


def ended(action: Callable[[], object]) -> Said:
    """What the action wrote, and the exit code of its SystemExit; any other exception is a traceback."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    began = time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            action()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int), code
    return Said(code, out.getvalue(), err.getvalue(), waited(began))


def waited(began: float) -> float:
    """Seconds since a moment of the monotonic clock, for a promise of seconds: those of a machine with a core free.

    Where several processes share each core (the load average), a wall second is less than a second's work.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (time.monotonic() - began) / max(1.0, os.getloadavg()[0] / cores)


def study(*arguments: object, script: Path = SMOKE) -> Said:
    """`python SCRIPT ARGUMENTS`, in this process."""
    try:
        declared = load(script)
    except InputError as error:  # Python itself would say it, with a traceback of the user's own file
        return Said(2, "", f"error: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        return ended(lambda: main(declared))


def vmi(*arguments: object) -> Said:
    """`vmi ARGUMENTS`, in this process."""
    return ended(lambda: _group()([str(argument) for argument in arguments], prog_name="vmi"))


@cache
def _group() -> Any:
    """What `app` builds anew at every call, which takes longer than most of the calls."""
    return get_command(app)


def in_a_process(folder: Path, *arguments: object, script: Path = SMOKE, **environ: str) -> Said:
    """`python SCRIPT ARGUMENTS`, in a process of its own; it is killed after five minutes."""
    command = [sys.executable, str(script), *map(str, arguments)]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr, waited(began))


def written(folder: Path, fields: str = "", name: str = "study.py") -> Path:
    """A study file with these arguments of Study over usual ones, as Python text: 'searcher="grid"'."""
    path = folder / name
    path.write_text(STUDY.format(fields=fields), encoding="utf-8")
    return path


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and the time it was changed; W&B goes on writing logs of its own."""
    found = [p for p in root.rglob("*") if p.is_file() and "wandb" not in p.relative_to(root).parts]
    return {str(p.relative_to(root)): (p.read_bytes(), p.stat().st_mtime_ns) for p in found}


@contextlib.contextmanager
def elsewhere(folder: Path) -> Iterator[Path]:
    """An empty working folder, a home of its own, and nothing in the environment that points at W&B or Ray."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in CLEARED:
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(folder.parent / "home"))
        patch.setenv("COLUMNS", "300")
        yield folder
