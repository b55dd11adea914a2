"""Whatever a test starts ends with it: processes, Ray's sessions, temporary folders, also when it fails or times out.

A process bears the scope that started it in an environment variable, which its descendants inherit: the test session,
a module or a test (`RUN/WORKER/MODULE/TEST`). So those that left the process group, as Ray's do, are found, and nothing
that another run on this machine has started. The session has a temporary folder of its own, which must be empty at its
end. A scope that leaves a process, or a session that leaves a file, is an error; both are ended and removed. A test
marked `litters` kills what would have tidied up, or speaks with W&B's client itself: its files go with it, unsaid.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

MARK = "VMI_TEST_OWNER"
# How long what is on its way to its end may take, where the test that started it has passed.
GRACE_SECONDS = 30.0
# A scope in which the interpreter heard none of these needs no look at the machine's processes.
STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"})
_folders: list[tuple[str, Path]] = []


def short_folder() -> Path:
    """A new folder with a short name, as Ray's sockets need, which goes with the scope that asks for it."""
    parent = Path(tempfile.gettempdir())
    number = next(n for n in range(10**6) if not (parent / str(n)).exists())
    (parent / str(number)).mkdir()
    _folders.append((os.environ[MARK], parent / str(number)))
    return parent / str(number)


class Owner:
    """A plugin: the scopes of one pytest process, what they have started, and the folder of its own."""

    def __init__(self, config: pytest.Config) -> None:
        self._config, self._number, self._modules = config, 0, list[Path]()
        self._failed, self._started = set[str](), set[str]()
        self._before = {name: os.environ.get(name) for name in (MARK, "TMPDIR")}
        worker = getattr(config, "workerinput", {}).get("workerid")
        own = worker or secrets.token_hex(2)  # short, as Ray's sockets lie in its folder
        self._session = "/".join(filter(None, [os.environ.get(MARK), own]))
        self._test = self._module = self._session
        self.folder = Path(tempfile.gettempdir(), worker or f"v{own}")
        self.folder.mkdir(0o700)
        os.environ |= {MARK: self._session, "TMPDIR": str(self.folder)}
        tempfile.tempdir = None
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)  # Ray in this process logs until it ends
        self.left: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, _: tuple[Any, ...]) -> None:
        if event in STARTS:
            self._started.add(os.environ.get(MARK, self._session))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self._number += 1
        if self._modules[-1:] != [item.path]:
            self._modules.append(item.path)
            self._module = f"{self._session}/{self._number}"
        self._test = f"{self._module}/{self._number}"
        os.environ[MARK] = self._test
        self._files = set(self.folder.iterdir())

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """A fixture's own scope owns what it starts."""
        scopes = {"function": self._test, "class": self._module, "module": self._module}
        os.environ[MARK] = scopes.get(fixturedef.scope, self._session)
        try:
            return (yield)
        finally:
            os.environ[MARK] = self._test

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed |= {self._test, self._module, self._session}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        before = self._files
        try:
            return (yield)
        except BaseException:
            self._failed |= {self._test, self._module, self._session}
            raise
        finally:
            left = self._end(self._test)
            if item.get_closest_marker("litters"):
                kept = (f"wandb-{os.getpid()}-", "pytest-of", *(Path(each.name).name for each in _client()))
                for path in set(self.folder.iterdir()) - before:
                    if not path.name.startswith(kept):
                        shutil.rmtree(path, ignore_errors=True)
            if nextitem is None or nextitem.path != item.path:
                left += self._end(self._module)
            if left:
                pytest.fail("left behind, and ended now: " + "; ".join(left), pytrace=False)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """With xdist each worker has ended what it owns by then; the last look is for all of them."""
        if "wandb" in sys.modules:
            _end_client()
        self._started.add(self._session)
        self.left += self._end(self._session)
        for name in ("pytest-of", "torchinductor"):  # what these libraries keep there for whoever runs them
            for path in self.folder.glob(f"{name}*"):
                shutil.rmtree(path, ignore_errors=True)
        self.left += [f"file {path}" for path in sorted(self.folder.iterdir())]
        shutil.rmtree(self.folder, ignore_errors=True)
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["left"] = self.left
        elif self.left and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.left += getattr(node, "workeroutput", {}).get("left", [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for what in self.left:
            terminalreporter.write_line(f"left behind by the test session, and ended now: {what}", red=True)

    def pytest_unconfigure(self) -> None:
        for name, value in self._before.items():
            os.environ.pop(name, None)
            os.environ |= {name: value} if value is not None else {}
        tempfile.tempdir = None

    def _end(self, scope: str) -> list[str]:
        """End what a scope owns; names what a test that passed has left, if it does not end by itself."""
        left = []
        if any(_within(mark, scope) for mark in self._started):
            _, late = psutil.wait_procs(self._owned(scope), 0 if scope in self._failed else GRACE_SECONDS)
            left = [] if scope in self._failed else [f"process {_told(process)}" for process in late]
            for _ in range(10):  # what is killed may have started something
                for process in (found := self._owned(scope)):
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                if not psutil.wait_procs(found, GRACE_SECONDS)[0]:
                    break
        for entry in [entry for entry in _folders if _within(entry[0], scope)]:
            shutil.rmtree(entry[1], ignore_errors=True)
            _folders.remove(entry)
        return left

    def _owned(self, scope: str) -> list[psutil.Process]:
        """What lives and was started in a scope, or by something that was."""
        marks: dict[int, str] = {os.getpid(): self._test}  # what it forks bears no mark
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if scope != self._session and process.ppid() == os.getpid() and process.name().startswith("wandb-core"):
                    continue  # W&B's client has one service for as long as this process lives
                alive = process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid()
                if alive and _within(self._mark(process, marks), scope):
                    found.append(process)
        return found

    def _mark(self, process: psutil.Process, marks: dict[int, str]) -> str:
        """The scope that has started a process; of one that hides its environment, that of its parent."""
        if process.pid not in marks:
            marks[process.pid] = own = _environ(process).get(MARK, "")
            parent = None if _within(own, self._session) else process.parent()
            if parent is not None:
                marks[process.pid] = self._mark(parent, marks)
        return marks[process.pid]


def _client() -> list[Any]:
    """The folders that W&B's client keeps for as long as this process lives."""
    if "wandb.sdk.artifacts.artifact" not in sys.modules:
        return []
    from wandb.sdk.artifacts.artifact import Artifact
    from wandb.sdk.data_types._private import MEDIA_TMP

    return [Artifact._TMP_DIR, MEDIA_TMP]


def _end_client() -> None:
    import wandb

    wandb.teardown()
    for kept in _client():
        kept.cleanup()


def _within(mark: str, scope: str) -> bool:
    return f"{mark}/".startswith(f"{scope}/")


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _told(process: psutil.Process) -> str:
    try:
        return f"{process.pid} ({' '.join(process.cmdline())[:200]})"
    except psutil.Error:
        return str(process.pid)
