"""Runs that a test holds: whichever of their processes comes to make a certain file or folder waits to be let go.

The moment stays for as long as the test wants it to, on any machine: the process reads a pipe that the test closes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.runs import OFF, Run

# Every Python process that is started with the environment loads it at its start, Ray's workers too.
HOOK = """
import os, sys
from fnmatch import fnmatch
from pathlib import Path

def held(event, arguments):
    path = {"os.link": 1, "os.mkdir": 0}.get(event)
    for name in [name for name in os.environ if path is not None and name.startswith("HELD_BY")]:
        at, below, after, count = (os.environ[name.replace("BY", part)] for part in ("AT", "BELOW", "AFTER", "COUNT"))
        if fnmatch(os.fspath(arguments[path]), at) and len(list(Path(below).rglob(after))) >= int(count):
            open(os.environ[name]).read()

if any(name.startswith("HELD_BY") for name in os.environ):
    sys.addaudithook(held)
"""


class Hold:
    """Holds the processes with this `environment` where they would make a file or folder whose path matches `at`.

    That is, once `folder` has `count` files or folders which match `after`. `beside` is one of the same processes.
    """

    def __init__(self, folder: Path, at: str, after: str = "*", count: int = 0, beside: Hold | None = None) -> None:
        hook = Path(tempfile.mkdtemp(prefix="held", dir=folder))
        (hook / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        self._pipe = hook / "pipe"
        os.mkfifo(self._pipe)
        self.environment: Mapping[str, str] = {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(hook), os.environ.get("PYTHONPATH")])),
            "HELD_BY": str(self._pipe), "HELD_AT": at, "HELD_BELOW": str(folder), "HELD_AFTER": after,
            "HELD_COUNT": str(count),
        }  # fmt: skip
        if beside is not None:
            second = {f"{name}_2": value for name, value in self.environment.items() if name.startswith("HELD")}
            self.environment = {**beside.environment, **second}

    @contextlib.contextmanager
    def reached(self, process: subprocess.Popen[str]) -> Iterator[None]:
        """Inside, at least one process is held, and so is each that gets there; afterwards none is, for good.

        `process` is the one that started them: where it ends before, nobody is waited for.
        """
        pipe = -1
        while pipe < 0:
            with contextlib.suppress(OSError):  # nobody reads as yet
                pipe = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
            assert pipe >= 0 or process.poll() is None, process.communicate()
            time.sleep(0.02)
        try:
            yield
        finally:
            (free := self._pipe.with_name("free")).touch()
            free.replace(self._pipe)  # who comes from now on reads nothing
            os.close(pipe)


@contextlib.contextmanager
def held(script: Path, *options: str) -> Iterator[Run]:
    """A run in packs of two, each of which is held at its second checkpoint, inside a `with`."""
    hold = Hold(script.parent, "*/checkpoints/*/00000002-*.pt")
    driver = Run(
        script, "--pack-size", "2", *options, cwd=script.parent, VMI_CHECKPOINT_SECONDS="0", **OFF, **hold.environment
    )
    with hold.reached(driver.process):
        yield driver
