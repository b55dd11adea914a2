"""Files of a folder of this machine, put in place durably; every operation of the system behind one small seam.

Durable means: the file was fsynced before it got its name, and its folder was fsynced after. A failed fsync
is an error and is never tried again: the kernel may have dropped the pages that it could not write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from vmi.storage.paths import AnyPath, local, name_taken

TEMPORARY = ".tmp-"
# Folders whose names this process has made durable: a sync of the parent at each commit was a third of its cost.
_durable: set[tuple[str, int, int]] = set()

T = TypeVar("T")
R = TypeVar("R")


class Files:
    """The operations of the operating system that a store uses, one method each. All may raise OSError.

    Those that take any path do with an object what comes nearest.
    """

    def make_folder(self, path: Path) -> None:
        """Make one folder, which may be there already."""
        path.mkdir(exist_ok=True)

    def create(self, path: Path) -> int:
        """A descriptor of a new file; FileExistsError when it is there."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)

    def write(self, descriptor: int, data: memoryview) -> int:
        """How many of the bytes were taken, which may be fewer than were given."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def link(self, source: Path, target: Path) -> None:
        """A second name for a file; FileExistsError when the name is taken."""
        os.link(source, target)

    def replace(self, source: AnyPath, target: AnyPath) -> None:
        source.replace(target)  # type: ignore[arg-type]  # both lie in one store

    def unlink(self, path: AnyPath) -> None:
        path.unlink()

    def sync_folder(self, path: AnyPath) -> None:
        """Make the names in a folder durable; in an object store they are."""
        if (folder := local(path)) is None:
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self, path: AnyPath) -> list[str]:
        return [entry.name for entry in path.iterdir()]

    def read(self, path: AnyPath) -> bytes:
        return path.read_bytes()


LOCAL = Files()


class Folder:
    """A folder as a `vmi.storage.durable.Storage`."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path, self._files = path, files

    def put_new(self, name: str, data: bytes) -> Path:
        """OSError where it could not be made durable: then neither file nor temporary is left, unless that failed."""
        final, temporary = self._path / name, self._temporary()
        undo = [temporary]
        with self._undone_and_named(final, undo):
            self._write_beside(temporary, data)
            try:
                self._files.link(temporary, final)
            except FileExistsError:
                if self._files.read(final) != data:
                    raise name_taken(final) from None
            else:
                # What is not acknowledged shall not be seen; what another writer put there is not ours to undo.
                undo.append(final)
            self._files.unlink(temporary)
            self._files.sync_folder(self._path)
        return final

    def put_replacing(self, name: str, data: bytes) -> Path:
        final, temporary = self._path / name, self._temporary()
        with self._undone_and_named(final, [temporary]):
            self._write_beside(temporary, data)
            self._files.replace(temporary, final)
            self._files.sync_folder(self._path)
        return final

    def put_exclusive(self, name: str, data: bytes) -> bool:
        final, temporary = self._path / name, self._temporary()
        with self._undone_and_named(final, [temporary]):
            self._write_beside(temporary, data)
            try:
                self._files.link(temporary, final)
                won = True
            except FileExistsError:
                won = False
            self._files.unlink(temporary)
        return won

    def put_over(self, name: str, data: bytes, before: bytes) -> bool:
        """The look and the rename are two operations: whoever may have rivals holds a lock."""
        try:
            if self._files.read(self._path / name) != before:
                return False
        except FileNotFoundError:
            return False
        self.put_replacing(name, data)
        return True

    def remove_same(self, name: str, before: bytes) -> None:
        """Of rivals as `put_over`."""
        path = self._path / name
        with contextlib.suppress(FileNotFoundError):
            if self._files.read(path) == before:
                self._files.unlink(path)

    def make_folders(self) -> None:
        """Its parent is synced once per process: others may have made the folder."""
        with contextlib.suppress(OSError):
            if _identity(self._path) in _durable:
                return
        missing = [path for path in (self._path, *self._path.parents) if not path.exists()]
        for path in reversed(missing):
            self._files.make_folder(path)
        for path in reversed(missing[1:]):
            self._files.sync_folder(path.parent)
        self._files.sync_folder(self._path.parent)
        with contextlib.suppress(OSError):  # files that are kept elsewhere have no folder here
            _durable.add(_identity(self._path))

    def probe(self) -> None:
        temporary = self._temporary()
        with self._undone_and_named(self._path, [temporary]):
            self._write(temporary, bytes(4096))
            self._files.unlink(temporary)

    def times(self) -> dict[str, float]:
        found = {}
        for path in self._path.iterdir() if self._path.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # gone since
                found[path.name] = path.stat().st_mtime
        return found

    def mapped(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """One after the other."""
        return [function(item) for item in items]

    def _temporary(self) -> Path:
        return self._path / f"{TEMPORARY}{uuid.uuid4().hex}"

    def _write_beside(self, temporary: Path, data: bytes) -> None:
        self.make_folders()
        self._write(temporary, data)

    @contextlib.contextmanager
    def _undone_and_named(self, final: Path, undo: list[Path]) -> Iterator[None]:
        """On an exception remove what was made; an OSError is raised again with the file's name."""
        try:
            yield
        except BaseException as error:
            for path in undo:
                # The first error is what counts; a temporary file that stays is ignored by every reader.
                with contextlib.suppress(OSError):
                    self._files.unlink(path)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror or str(error), str(final)) from error
            raise

    def _write(self, path: Path, data: bytes) -> None:
        descriptor = self._files.create(path)
        try:
            rest = memoryview(data)
            while rest:
                taken = self._files.write(descriptor, rest)
                if taken <= 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                rest = rest[taken:]
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)


def _identity(folder: Path) -> tuple[str, int, int]:
    """One that another process has removed and made again may be the same: then that process has synced its parent."""
    status = folder.stat()
    return str(folder.absolute()), status.st_dev, status.st_ino
