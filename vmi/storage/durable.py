"""The ways in which a store puts a file in place, and takes one away, durably, whatever kind of place it lies in.

`Storage` is what every kind of place can do: a folder (`vmi.storage.folder`), or a prefix of an object store
(`vmi.storage.paths.ObjectPath`), where each way is one conditional put.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from vmi.spec.errors import InputError, Problem
from vmi.storage.folder import LOCAL as LOCAL
from vmi.storage.folder import TEMPORARY as TEMPORARY
from vmi.storage.folder import Files as Files
from vmi.storage.folder import Folder
from vmi.storage.paths import AnyPath

T = TypeVar("T")
R = TypeVar("R")


class Storage(Protocol):
    """One folder, or what stands for it. Every method may raise OSError naming the file."""

    def put_new(self, name: str, data: bytes) -> AnyPath:
        """Put a file whose name is its content in place, durably and without replacing; twice is once.

        Raises StoreError when the name is taken by other bytes. After an OSError the file is not there.
        """

    def put_replacing(self, name: str, data: bytes) -> AnyPath:
        """Put a file in place durably; readers see the old or the new one, whole."""

    def put_exclusive(self, name: str, data: bytes) -> bool:
        """Put a file in place whole unless its name is taken; whether we did."""

    def put_over(self, name: str, data: bytes, before: bytes) -> bool:
        """Put a file in place of one with these bytes; whether it was there so, and we did."""

    def remove_same(self, name: str, before: bytes) -> None:
        """Remove a file if it still has these bytes; an absent one is no error."""

    def make_folders(self) -> None:
        """Make the folder and its parents durably, where there are folders."""

    def probe(self) -> None:
        """Write and remove a small file; OSError where that fails, or the place does not keep what it promises."""

    def times(self) -> Mapping[str, float]:
        """When each file was written (seconds since the epoch), by name; nothing where there is no folder."""

    def mapped(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The function's value for each item in turn, of which several are asked for at a time where that helps."""


def storage(folder: AnyPath, files: Files = LOCAL) -> Storage:
    """What puts files there. `files`: the operations of the system, for a folder."""
    return Folder(folder, files) if isinstance(folder, Path) else folder


def put_new(folder: AnyPath, name: str, data: bytes, files: Files = LOCAL) -> AnyPath:
    """`Storage.put_new` of this folder."""
    return storage(folder, files).put_new(name, data)


def put_replacing(folder: AnyPath, name: str, data: bytes, files: Files = LOCAL) -> AnyPath:
    """`Storage.put_replacing` of this folder."""
    return storage(folder, files).put_replacing(name, data)


def put_exclusive(folder: AnyPath, name: str, data: bytes, files: Files = LOCAL) -> bool:
    """`Storage.put_exclusive` of this folder."""
    return storage(folder, files).put_exclusive(name, data)


def put_over(folder: AnyPath, name: str, data: bytes, before: bytes, files: Files = LOCAL) -> bool:
    """`Storage.put_over` of this folder."""
    return storage(folder, files).put_over(name, data, before)


def remove_same(folder: AnyPath, name: str, before: bytes, files: Files = LOCAL) -> None:
    """`Storage.remove_same` of this folder."""
    storage(folder, files).remove_same(name, before)


def make_folders(folder: AnyPath, files: Files = LOCAL) -> None:
    """`Storage.make_folders` of this folder."""
    storage(folder, files).make_folders()


def probe(folder: AnyPath, files: Files = LOCAL) -> None:
    """`Storage.probe` of this folder."""
    storage(folder, files).probe()


def mapped(function: Callable[[T], R], items: Iterable[T], folder: AnyPath) -> list[R]:
    """`Storage.mapped` of this folder."""
    return storage(folder).mapped(function, items)


def hand_out(file: AnyPath, data: bytes, field: str) -> None:
    """Write a file that somebody asked for, whole. Raises InputError where it exists or cannot be written."""
    try:
        written = put_exclusive(file.parent, file.name, data)
    except OSError as error:
        raise InputError([Problem(field, str(file), "a file that can be written", error.strerror or "")]) from error
    if not written:
        raise InputError([Problem(field, str(file), "a file that does not exist yet")])


@contextlib.contextmanager
def named(path: AnyPath) -> Iterator[None]:
    """An OSError is raised again with this file's name."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
