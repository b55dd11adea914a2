"""A temporary folder for all that this process and its children leave there, removed at its end or by the next start.

W&B's client, Ray's session and Tune's state lie in it, as the environment's TMPDIR leads there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from vmi.errors import InputError, Problem
from vmi.sweep.signals import undisturbed

PREFIX = "vmi-run-"
# Held by the owner for as long as it lives; a folder whose lock is free is nobody's.
LOCK = "lock"
# What Ray puts below it: ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store; of 107 bytes at most.
_RAY_BYTES = 107 - 72
_NAMES = ("TMPDIR", "RAY_TMPDIR")
_RESTORED = (*_NAMES, "RAY_AUTH_TOKEN_PATH")
_outside: list[Path] = []


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Inside, TMPDIR (and RAY_TMPDIR) of this process is a folder of its own, with mode 0700.

    Raises InputError where no folder can be made. What killed owners have left is removed first.
    """
    before, python_s = {name: os.environ.get(name) for name in _RESTORED}, tempfile.tempdir
    root = _root(os.environ)
    clear(root)
    _outside.append(outside())
    folder, lock = _locked(root)
    os.environ.update(dict.fromkeys(_NAMES, str(folder)))
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        _outside.pop()
        tempfile.tempdir = python_s
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        with undisturbed():
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def outside() -> Path:
    """The temporary folder that Ray uses where there is no scratch folder."""
    return _outside[0] if _outside else Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")


def clear(root: Path) -> None:
    """Remove the folders of this user whose owner is dead, and no other."""
    for folder in root.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _root(environ: Mapping[str, str]) -> Path:
    """Where Ray would go; /tmp where that is too long for its sockets."""
    root = Path(environ.get("RAY_TMPDIR") or tempfile.gettempdir()).absolute()
    return root if len(os.fsencode(root)) + len(f"/{PREFIX}12345678") <= _RAY_BYTES else Path("/tmp")


def _locked(root: Path) -> tuple[Path, int]:
    """A new folder and its lock, which has its name only once it is held."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    except OSError as error:
        allowed = "a folder for temporary files that can be written to"
        raise InputError([Problem("TMPDIR", str(root), allowed, str(error.strerror))], "environment") from error
    lock = os.open(new := folder / f".{LOCK}", os.O_CREAT | os.O_RDWR, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks: then nobody takes it for left
        fcntl.flock(lock, fcntl.LOCK_EX)
        new.rename(folder / LOCK)
    return folder, lock
