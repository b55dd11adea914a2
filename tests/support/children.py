"""Children that use an object store of their own and are killed at a request: new processes, as no fork may use one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

# What each does once it is told to go on; its arguments are those of the command line.
COMMIT = """
from support.lab import Lab
lab, store = Lab(), Store(path_of(argv[1]), argv[2])
trial = lab.trial(seed=int(argv[3]))
go()
print(*lab.record(store, {trial: lab.completed(trial)}, int(argv[4])))
"""
COMMIT_EACH = """
from support.lab import Lab
lab, store = Lab(), Store(path_of(argv[1]), argv[2])
go()
for seed in map(int, argv[3:]):
    trial = lab.trial(seed=seed)
    print(*lab.record(store, {trial: lab.completed(trial)}), flush=True)
"""
COMPACT = """
from vmi.results.compaction import compact
from vmi.results.schema import TABLES
store = Store(path_of(argv[1]), argv[2])
go()
for table in TABLES:
    compact(store.folder_of(table), table, store.files)
"""
_BEGINNING = """
from sys import argv, stdin
from vmi.results.store import Store
from vmi.storage.paths import path_of
def go():
    print("ready", flush=True)
    stdin.readline()
"""


class Child:
    """A process that runs a program up to its `go`."""

    def __init__(self, program: str, *arguments: object) -> None:
        command = [sys.executable, "-c", _BEGINNING + program, *map(str, arguments)]
        roots = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ)

    def __enter__(self) -> Self:
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def go(self) -> str:
        """What it says until it ends."""
        return self.process.communicate("\n")[0]

    def kill(self) -> None:
        """It is gone when this returns."""
        self.process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)

    @property
    def killed(self) -> bool:
        return self.process.wait() == -signal.SIGKILL
