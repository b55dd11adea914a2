"""Runs of study files as a user starts them: real processes in sessions of their own, real Ray, real files."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.owned import short_folder

import vmi
from vmi.results.store import Store

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "sweeps" / "smoke.py"
# What a wait is given up after, so that it says what it waited for: a little before the limit of each test.
PATIENCE = 1500
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
# For a run that is not about W&B, whose client takes a second to load.
OFF = {"WANDB_MODE": "disabled"}
# What a row says about where and when it was trained, and not about what came out.
COSTS = {"train_seconds", "pack_id", "pack_size", "attempt", "finished_at"}


class Run:
    """A study file in a process of its own, which leads a session; whatever it starts belongs to that session."""

    def __init__(self, script: Path, *arguments: str | Path, cwd: Path, **environment: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "RAY_", "PYTHONDONTWRITE"))}
        self._temporary = short_folder()
        self.process = subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            cwd=cwd, env=clean | {"TMPDIR": str(self._temporary)} | environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.out = self.err = ""
        self.code: int | None = None

    def wait(self) -> Run:
        """Until it ends, which leaves no temporary file, unless it was killed; torch's cache is the user's."""
        try:
            self.out, self.err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self.code = self.process.returncode
        left = [path for path in self._temporary.iterdir() if not path.name.startswith("torchinductor")]
        assert self.code == -signal.SIGKILL or not left, left
        return self

    def processes(self) -> Iterator[tuple[int, str]]:
        """(id, command) of everything that this run has started and that is still alive."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes()  # empty for what has ended and is not waited for
                if command and os.getsid(int(folder.name)) == self.process.pid:
                    yield int(folder.name), command.replace(b"\0", b" ").decode()

    def trained_by(self) -> list[int]:
        """Ids of the Ray workers that train a pack now."""
        return [number for number, command in self.processes() if "ImplicitFunc.train" in command]

    def gone(self) -> bool:
        """Wait until nothing of the run is left; whether it came to that.

        Where the driver was killed, two agents of Ray try for a minute to tell the head of it, which is gone with the
        driver (`publish_error_to_driver` waits 60 s), and do nothing else: once they are all that is left, they go.
        """

        def left() -> list[int]:
            alive = dict(self.processes())
            if self.code == -signal.SIGKILL and all(command.startswith(AGENTS) for command in alive.values()):
                for number in alive:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
            return list(alive)

        return until(lambda: not left())


def until(true: Callable[[], Any]) -> bool:
    """Wait for something to become true and stay so; whether it did before so long that nobody believes in it."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def run(script: Path, *arguments: str | Path, cwd: Path, **environment: str) -> Run:
    return Run(script, *arguments, cwd=cwd, **environment).wait()


class Ended(NamedTuple):
    """How a run in this process ended."""

    code: int
    out: str
    err: str


def inside(script: Path, *arguments: str | Path, cwd: Path, **environment: str) -> Ended:
    """Run a study file `--local` in this process, without W&B: where a start of Python and torch would add nothing."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in [name for name in os.environ if name.startswith(("WANDB", "RAY_"))]:
            patch.delenv(name)
        for name, value in {**OFF, **environment}.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [str(script), "--local", *map(str, arguments)])
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        ended = stack.enter_context(pytest.raises(SystemExit))
        runpy.run_path(str(script), run_name="__main__")
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def trained(study: vmi.Study, root: Path, **options: Any) -> vmi.Results:
    """Train a study in this process, without Ray and W&B."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        return vmi.run(study, results=root, local=True, **options)


def parts(root: Path, study: str) -> int:
    """How many packs have been committed."""
    return len(list((root / study / "trials").glob("part-*.parquet")))


def tables(root: Path, study: str) -> Mapping[str, dict[tuple[Any, ...], dict[str, Any]]]:
    """All rows of a study without what they cost, by table; every trial and every report is there once.

    Rows of a commit that was cut short, which join no row of trials, are left out, as every reader does.
    """
    found = {}
    attempts = {i: row["attempt"] for i, row in Store(root, study).finished().items()}
    for table in ("trials", "curves", "arrays"):
        everything = Store(root, study).read(table).checked().to_pylist()
        rows = [row for row in everything if table == "trials" or attempts.get(row["trial_id"]) == row["attempt"]]
        keys = [(row["trial_id"], row.get("step") if table == "curves" else None) for row in rows]
        twice = {key: count for key, count in Counter(keys).items() if count > 1}
        assert not twice, f"{table}: there more than once (trial, step): {twice}"
        found[table] = {key: {k: v for k, v in r.items() if k not in COSTS} for key, r in zip(keys, rows, strict=True)}
    return found


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, but for the log that W&B's service ends when it likes."""
    found = (path for path in root.rglob("*") if path.is_file() and path.name != "debug-core.log")
    return {str(path.relative_to(root)): path.read_bytes() for path in found}
