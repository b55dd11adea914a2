"""Every file operation of a store, behind one small seam, and the ways in which it puts a file in place.

Durable means: the file was fsynced before it got its name, and its folder was fsynced after. A failed fsync
is an error and is never tried again: the kernel may have dropped the pages that it could not write.

On an object store (`vmi.storage.paths.ObjectPath`) each of these ways is one conditional put, without `Files`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vmi.spec.errors import StoreError
from vmi.storage.paths import AnyPath, ObjectPath

TEMPORARY = ".tmp-"
# Folders whose names this process has made durable: a sync of the parent at each commit was a third of its cost.
_durable: set[tuple[str, int, int]] = set()


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
        if isinstance(source, Path) and isinstance(target, Path):
            source.replace(target)
        else:
            target.write_bytes(source.read_bytes())
            source.unlink()

    def unlink(self, path: AnyPath) -> None:
        path.unlink()

    def sync_folder(self, path: AnyPath) -> None:
        """Make the names in a folder durable; in an object store they are."""
        if isinstance(path, ObjectPath):
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self, path: AnyPath) -> list[str]:
        return [entry.name for entry in path.iterdir()]

    def read(self, path: AnyPath) -> bytes:
        return path.read_bytes()


LOCAL = Files()


def put_new(folder: AnyPath, name: str, data: bytes, files: Files = LOCAL) -> AnyPath:
    """Put a file whose name is its content in place, durably and without replacing; twice is once.

    Raises StoreError when the name is taken by other bytes, OSError naming the file when it could not be made
    durable; then neither the file nor its temporary is left (unless removing failed as well).
    """
    if isinstance(folder, ObjectPath):
        if not folder.objects.put_new((path := folder / name).key, data) and path.read_bytes() != data:
            raise _taken(path)
        return path
    final, temporary = folder / name, folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    undo = [temporary]
    with _undone_and_named(final, undo, files):
        make_folders(folder, files)
        _write(temporary, data, files)
        if _linked(temporary, final, data, files):
            # What is not acknowledged shall not be seen; what another writer put there is not ours to undo.
            undo.append(final)
        files.unlink(temporary)
        files.sync_folder(folder)
    return final


def put_replacing(folder: AnyPath, name: str, data: bytes, files: Files = LOCAL) -> AnyPath:
    """Put a file in place durably; readers see the old or the new one, whole. Raises OSError naming it."""
    if isinstance(folder, ObjectPath):
        folder.objects.put((path := folder / name).key, data)
        return path
    final, temporary = folder / name, folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    with _undone_and_named(final, [temporary], files):
        make_folders(folder, files)
        _write(temporary, data, files)
        files.replace(temporary, final)
        files.sync_folder(folder)
    return final


def put_exclusive(folder: AnyPath, name: str, data: bytes, files: Files = LOCAL) -> bool:
    """Put a file in place whole unless its name is taken; whether we did. Raises OSError naming it."""
    if isinstance(folder, ObjectPath):
        return folder.objects.put_new((folder / name).key, data)
    final, temporary = folder / name, folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    with _undone_and_named(final, [temporary], files):
        make_folders(folder, files)
        _write(temporary, data, files)
        try:
            files.link(temporary, final)
            won = True
        except FileExistsError:
            won = False
        files.unlink(temporary)
    return won


def put_over(folder: AnyPath, name: str, data: bytes, before: bytes, files: Files = LOCAL) -> bool:
    """Put a file in place of one with these bytes; whether it was there so, and we did. Raises OSError naming it.

    On an object store of several who try one wins. In a folder the look and the rename are two operations: whoever may
    have rivals holds a lock.
    """
    path = folder / name
    try:
        if isinstance(path, ObjectPath):
            found = path.objects.read(path.key)
            return found.data == before and path.objects.put_over(path.key, data, found.etag)
        if files.read(path) != before:
            return False
    except FileNotFoundError:
        return False
    put_replacing(folder, name, data, files)
    return True


def remove_same(folder: AnyPath, name: str, before: bytes, files: Files = LOCAL) -> None:
    """Remove a file if it still has these bytes; an absent one is no error. Raises OSError. Of rivals as `put_over`."""
    path = folder / name
    with contextlib.suppress(FileNotFoundError):
        if isinstance(path, ObjectPath):
            found = path.objects.read(path.key)
            if found.data == before:
                path.objects.unlink_over(path.key, found.etag)
        elif files.read(path) == before:
            files.unlink(path)


def make_folders(folder: AnyPath, files: Files = LOCAL) -> None:
    """Make a folder and its parents durably; its parent is synced once per process: others may have made the folder."""
    if isinstance(folder, ObjectPath):
        return
    with contextlib.suppress(OSError):
        if _identity(folder) in _durable:
            return
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        files.make_folder(path)
    for path in reversed(missing[1:]):
        files.sync_folder(path.parent)
    files.sync_folder(folder.parent)
    with contextlib.suppress(OSError):  # files that are kept elsewhere have no folder here
        _durable.add(_identity(folder))


def _identity(folder: Path) -> tuple[str, int, int]:
    """A folder that was removed and made again is another one."""
    status = folder.stat()
    return str(folder.absolute()), status.st_dev, status.st_ino


def probe(folder: AnyPath, files: Files = LOCAL) -> None:
    """Write, sync and remove a small file in a folder that exists; raises OSError when that fails.

    An object store is refused as well where it does not keep the conditions of puts.
    """
    if isinstance(folder, ObjectPath):
        replace(folder, hasty=True).objects.probe(folder.key)
        return
    temporary = folder / f"{TEMPORARY}{uuid.uuid4().hex}"
    with _undone_and_named(folder, [temporary], files):
        _write(temporary, bytes(4096), files)
        files.unlink(temporary)


@contextlib.contextmanager
def named(path: AnyPath) -> Iterator[None]:
    """An OSError is raised again with this file's name."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextlib.contextmanager
def _undone_and_named(final: Path, undo: list[Path], files: Files) -> Iterator[None]:
    """On an exception remove what was made; an OSError is raised again with the file's name."""
    try:
        yield
    except BaseException as error:
        for path in undo:
            # The first error is what counts; a temporary file that stays is ignored by every reader.
            with contextlib.suppress(OSError):
                files.unlink(path)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(final)) from error
        raise


def _write(path: Path, data: bytes, files: Files) -> None:
    descriptor = files.create(path)
    try:
        rest = memoryview(data)
        while rest:
            taken = files.write(descriptor, rest)
            if taken <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[taken:]
        files.sync(descriptor)
    finally:
        files.close(descriptor)


def _linked(temporary: Path, final: Path, data: bytes, files: Files) -> bool:
    """Whether we gave the file its name; False when it was there with the same bytes."""
    try:
        files.link(temporary, final)
    except FileExistsError:
        if files.read(final) != data:
            raise _taken(final) from None
        return False
    return True


def _taken(path: AnyPath) -> StoreError:
    return StoreError(f"{path}: damaged, kept as it is: its name is the hash of other bytes")
