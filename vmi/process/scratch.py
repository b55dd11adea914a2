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

from vmi.process.signals import undisturbed
from vmi.spec.errors import InputError, Problem
from vmi.spec.home import home

PREFIX = "vmi-run-"
# Held by the owner for as long as it lives; a folder whose lock is free is nobody's.
LOCK = "lock"
# What Ray puts below it: ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store; of 107 bytes at most.
_RAY_BYTES = 107 - 72
# What W&B keeps, and complains of where it cannot: its own variable, the desktop's, what is in the home folder.
_OF_WANDB = (("WANDB_CACHE_DIR", "XDG_CACHE_HOME", ".cache"), ("WANDB_DATA_DIR", "XDG_DATA_HOME", ".local/share"))
_RESTORED = (
    "TMPDIR", "RAY_TMPDIR", "RAY_AUTH_TOKEN_PATH", "HOME", "WANDB_CONFIG_DIR", *(own for own, _, _ in _OF_WANDB)
)  # fmt: skip
_outside: list[Path] = []


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Inside, TMPDIR (and RAY_TMPDIR) of this process is a folder of its own, with mode 0700.

    There W&B's client keeps what no home folder can keep. HOME, which some libraries insist on, is set.

    Raises InputError where no folder can be made. What killed owners have left is removed first.
    """
    before, python_s = {name: os.environ.get(name) for name in _RESTORED}, tempfile.tempdir
    folder, lock = _begun(os.environ)
    _outside.append(outside())
    os.environ.setdefault("HOME", str(home()))
    os.environ.update(dict.fromkeys(("TMPDIR", "RAY_TMPDIR", *_homeless(os.environ)), str(folder)))
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
            if not (folder / LOCK).exists():
                folder.rmdir()  # of one that died, or is about to lock it, and then makes another
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _begun(environ: Mapping[str, str]) -> tuple[Path, int]:
    """A new folder where Ray would go, in /tmp where that is too long for its sockets, and its lock, which is held."""
    given = environ.get("RAY_TMPDIR")
    try:
        root = Path(given or tempfile.gettempdir()).absolute()
        if len(os.fsencode(root)) + len(f"/{PREFIX}12345678") > _RAY_BYTES:
            root = Path("/tmp")
        root.mkdir(parents=True, exist_ok=True)
        clear(root)
        return _locked(root)
    except OSError as error:
        field, value = ("RAY_TMPDIR", given) if given else ("TMPDIR", environ.get("TMPDIR"))
        allowed = "a folder for temporary files that can be written to"
        raise InputError([Problem(field, value, allowed, str(error.strerror))], "environment") from error


def _homeless(environ: Mapping[str, str]) -> Iterator[str]:
    """The variables of W&B whose folder can neither be written to nor made; of its settings, which cannot be read."""
    for own, desktop, below in _OF_WANDB:
        if not _can_be_made(Path(environ.get(own) or environ.get(desktop) or home() / below)):
            yield own
    try:
        Path(environ.get("WANDB_CONFIG_DIR") or home() / ".config" / "wandb", "settings").open().close()
    except PermissionError:
        yield "WANDB_CONFIG_DIR"
    except OSError:
        return


def _can_be_made(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return os.access(f"{there}/.", os.W_OK | os.X_OK)


def _locked(root: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        with contextlib.suppress(FileNotFoundError):  # another start took it for left
            lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            with contextlib.suppress(OSError):  # a file system without locks: then nobody takes it for left
                fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / LOCK).exists():
                return folder, lock
            os.close(lock)
