"""driver.json: the sign of life of the driver of a study, and the lock that keeps a second one out.

Whoever links the file under its name has the lock; no rename ever replaces a live one. A driver that died leaves it
behind. It is taken over under a lock of its own, named by a hash of what was left behind, so that of many that find it
one wins, and that one looks again: meanwhile another may have taken it over already.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmi.process.signals import undisturbed
from vmi.spec.errors import InputError, Problem
from vmi.storage.checksum import sealed, unsealed
from vmi.storage.durable import LOCAL, Files, put_exclusive, put_over, remove_same
from vmi.storage.paths import AnyPath, hasty

FILE = "driver.json"
BEAT_SECONDS = 3.0
# A driver of another host is held to be dead after so long without a heartbeat: its processes cannot be seen from here.
STALE_SECONDS = 60.0
_TRIES = 20

Json = dict[str, Any]


@dataclass(frozen=True)
class Driver:
    """What driver.json says, its bytes, and how old it is. `content` is empty where its checksum does not match."""

    content: Json
    raw: bytes
    age: float

    @property
    def host(self) -> str:
        return str(self.content.get("host", "unknown host"))

    @property
    def pid(self) -> int:
        pid = self.content.get("pid")
        return pid if isinstance(pid, int) and pid > 0 else 0

    @property
    def alive(self) -> bool:
        """On this host: the process is there, and is the one that wrote it. Elsewhere: it has written lately."""
        if self.pid and self.host == socket.gethostname():
            born = _born(self.pid)
            return _exists(self.pid) and (born is None or born == self.content.get("born"))
        return self.age < STALE_SECONDS

    @property
    def trains(self) -> bool:
        """Whether it runs the study; else it is a command that changes its files."""
        return self.content.get("trains") is True

    def __str__(self) -> str:
        return f"pid {self.pid or 'unknown'} on {self.host}, last heartbeat {self.age:.0f} s ago"


def read(folder: AnyPath, now: float, files: Files = LOCAL) -> Driver | None:
    """The driver of the study in a folder, None where there is none. Raises OSError other than its absence."""
    return _read(folder / FILE, now, files)


class Heartbeat:
    """The lock of one study, held from `acquire` to `release`, with a sign of life in between.

    `clock` gives seconds since the epoch: what it writes is read on other hosts. `trains`: it is held by a run of the
    study, which takes up what others ask for, and not by a command that changes its files.
    """

    def __init__(
        self,
        folder: AnyPath,
        study: str,
        clock: Callable[[], float] = time.time,
        files: Files = LOCAL,
        *,
        trains: bool = False,
    ) -> None:
        # A store that stays away shall hold up neither the next beat nor the end of the run.
        self._folder, self._clock, self._files = hasty(folder), clock, files
        self._token, self._started = uuid.uuid4().hex, clock()
        self._study, self._trains = study, trains
        self._seen: Mapping[str, Any] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.taken_over: Driver | None = None
        self.lost = False

    def __enter__(self) -> Self:
        """Acquire at once where the study has a folder: what is found finished there can then not change any more."""
        if self._folder.is_dir():
            self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with undisturbed():
            self.release()

    def acquire(self) -> None:
        """Become the driver of the study, and start to beat; twice is once. Raises InputError where another one is."""
        if self._thread is None:
            self.taken_over = self._lock(FILE)
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()

    def note(self, seen: Mapping[str, Any]) -> None:
        """What the next heartbeats say of the run: JSON values."""
        self._seen = dict(seen)

    def release(self) -> None:
        """Stop, and remove the file if it is still ours."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self._unlink(FILE)

    def _lock(self, name: str) -> Driver | None:
        """Link our file under this name; whom it was taken over from."""
        for _ in range(_TRIES):
            if put_exclusive(self._folder, name, self._encoded(), self._files):
                return None
            found = _read(self._folder / name, self._clock(), self._files)
            if found is None:
                continue
            if found.alive:
                raise InputError([busy(found)])
            if self._take_over(name, found):
                return found
        raise InputError([busy(found or Driver({}, b"", 0.0))])

    def _take_over(self, name: str, dead: Driver) -> bool:
        """Replace what a dead driver left, unless somebody was quicker."""
        ours = f".tmp-taking-{hashlib.sha256(dead.raw).hexdigest()[:16]}"
        self._lock(ours)
        try:
            return put_over(self._folder, name, self._encoded(), dead.raw, self._files)
        finally:
            self._unlink(ours)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            # A disk that is full for a while must not end the run; the next beat may succeed.
            with contextlib.suppress(OSError):
                found = _read(self._folder / FILE, self._clock(), self._files)
                if found is None:  # removed by hand; whoever else comes now is refused
                    put_exclusive(self._folder, FILE, self._encoded(), self._files)
                elif found.content.get("token") == self._token:
                    put_over(self._folder, FILE, self._encoded(), found.raw, self._files)
                else:
                    self.lost = True
                    return

    def _encoded(self) -> bytes:
        who = {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid()), "token": self._token}
        when = {"study": self._study, "started": self._started, "updated": self._clock(), "trains": self._trains}
        return sealed({**who, **when, **self._seen})

    def _unlink(self, name: str) -> None:
        with contextlib.suppress(OSError):
            found = _read(self._folder / name, self._clock(), self._files)
            if found is not None and found.content.get("token") == self._token:
                remove_same(self._folder, name, found.raw, self._files)


def _read(path: AnyPath, now: float, files: Files) -> Driver | None:
    try:
        raw = files.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        content = unsealed(raw)
    except ValueError:
        content = {}
    updated = content.get("updated")
    if not isinstance(updated, int | float) or isinstance(updated, bool):
        try:
            updated = path.stat().st_mtime
        except FileNotFoundError:
            return None
    return Driver(content, raw, max(0.0, now - updated))


def busy(found: Driver) -> Problem:
    """What to say to whoever would be a second driver."""
    study = str(found.content.get("study", "this study"))
    hint = "wait for it, watch it with `vmi watch`, or stop it"
    return Problem("study", study, f"another driver runs it: {found}", hint)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return not _is_zombie(pid)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where there is no such file."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]


def _born(pid: int) -> str | None:
    """When the process began, in ticks since the boot: a pid that was given again is another process.

    psutil gives it by the clock, which may be set between two looks.
    """
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else None
