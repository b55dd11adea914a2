"""A file system that keeps only what it must: what a crash may leave of a log of operations.

Every operation goes to the real files and into a log. At a crash, of what was not fsynced any part may be there:
of a file's data nothing, half or all; of the names made, removed or replaced in a folder since it was synced any
subset. A folder whose own name is not durable is gone with all that is in it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vmi.storage.durable import Files

State = dict[Path, bytes]  # a crash's files; folders are those that the files are in
MOST = 10  # pending names of which every subset is tried; of more a sample


class Op(NamedTuple):
    """One operation, or an acknowledgement ("acknowledge", what)."""

    name: str
    path: Any
    more: Any = None


class Logged(Files):
    """The real operations, each kept in `log` once it is done."""

    def __init__(self) -> None:
        self.log: list[Op] = []
        self._open: dict[int, Path] = {}

    def acknowledge(self, what: Any) -> None:
        self.log.append(Op("acknowledge", what))

    def make_folder(self, path: Path) -> None:
        there = path.exists()
        super().make_folder(path)
        if not there:
            self.log.append(Op("make_folder", path))

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self._open[descriptor] = path
        self.log.append(Op("create", path))
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        taken = super().write(descriptor, data)
        self.log.append(Op("write", self._open[descriptor], bytes(data[:taken])))
        return taken

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self.log.append(Op("sync", self._open[descriptor]))

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self.log.append(Op("link", source, target))

    def replace(self, source: Path, target: Path) -> None:
        super().replace(source, target)
        self.log.append(Op("replace", source, target))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.log.append(Op("unlink", path))

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.log.append(Op("sync_folder", path))


class WithoutFileSync(Logged):
    """Mutation (a): the fsync of a file is taken out."""

    def sync(self, descriptor: int) -> None:
        return


class WithoutFolderSync(Logged):
    """Mutation (b): the fsync of a folder is taken out."""

    def sync_folder(self, path: Path) -> None:
        return


class Replacing(Logged):
    """Mutation (c): what must not replace a file replaces it."""

    def link(self, source: Path, target: Path) -> None:
        target.unlink(missing_ok=True)
        super().link(source, target)


class Inode:
    """A file's data: what was written, and whether it is durable."""

    def __init__(self) -> None:
        self.data, self.durable = b"", b""

    def left(self, chance: random.Random) -> bytes:
        """What a crash leaves of it: nothing beyond what is durable, half of the rest, or all."""
        rest = self.data[len(self.durable) :]
        return self.durable + chance.choice([b"", rest[: len(rest) // 2], bytes(len(rest)), rest])


Change = tuple[str, Path, Inode | None]  # set or remove a name; two of a rename go together


class Model:
    """What is durable and what is pending after some operations."""

    def __init__(self, initial: State) -> None:
        self.now: dict[Path, Inode] = {}
        self.kept: dict[Path, Inode] = {}
        self.pending: dict[Path, list[list[Change]]] = {}
        self.folders: set[Path] = set()  # made, and not yet durable
        self.acknowledged: list[Any] = []
        for path, data in initial.items():
            self.now[path] = self.kept[path] = inode = Inode()
            inode.data = inode.durable = data

    def _change(self, *changes: Change) -> None:
        self.pending.setdefault(changes[0][1].parent, []).append(list(changes))
        for kind, path, inode in changes:
            if kind == "set" and inode is not None:
                self.now[path] = inode
            else:
                self.now.pop(path, None)

    def apply(self, op: Op) -> None:
        if op.name == "acknowledge":
            self.acknowledged.append(op.path)
        elif op.name == "make_folder":
            self.folders.add(op.path)
        elif op.name == "create":
            self._change(("set", op.path, Inode()))
        elif op.name == "write":
            self.now[op.path].data += op.more
        elif op.name == "sync":
            self.now[op.path].durable = self.now[op.path].data
        elif op.name == "link":
            self._change(("set", op.more, self.now[op.path]))
        elif op.name == "replace":
            self._change(("set", op.more, self.now[op.path]), ("remove", op.path, None))
        elif op.name == "unlink":
            self._change(("remove", op.path, None))
        elif op.name == "sync_folder":
            for change in self.pending.pop(op.path, []):
                _done(change, self.kept)
            self.folders -= {folder for folder in self.folders if folder.parent == op.path}

    def crashes(self, chance: random.Random, most: int) -> Iterator[State]:
        """States that a crash may leave now: of the pending names every subset where these are few, else a sample."""
        pending = [change for changes in self.pending.values() for change in changes]
        if 2 ** len(pending) <= min(most, 2**MOST):
            choices = itertools.product((False, True), repeat=len(pending))
        else:
            none, every = (False,) * len(pending), (True,) * len(pending)
            choices = iter([none, every, *(tuple(chance.random() < 0.5 for _ in pending) for _ in range(most - 2))])
        for chosen in choices:
            names = dict(self.kept)
            for change, there in zip(pending, chosen, strict=True):
                if there:
                    _done(change, names)
            lost = {folder for folder in sorted(self.folders) if chance.random() < 0.5}
            left: dict[int, bytes] = {}
            yield {
                path: left.setdefault(id(inode), inode.left(chance))
                for path, inode in names.items()
                if not lost & set(path.parents)
            }


def _done(change: list[Change], names: dict[Path, Inode]) -> None:
    for kind, path, inode in change:
        if kind == "set" and inode is not None:
            names[path] = inode
        else:
            names.pop(path, None)


def after_crashes(log: list[Op], initial: State, most: int, seed: int) -> Iterator[tuple[int, list[Any], State]]:
    """(operations done, what was acknowledged by then, a state), over every prefix of the log; no state twice."""
    chance, model = random.Random(seed), Model(initial)
    seen: set[int] = set()
    for count, op in enumerate([Op("acknowledge", None), *log]):
        if op.path is not None:
            model.apply(op)
        for state in model.crashes(chance, most):
            key = hash((frozenset(state.items()), len(model.acknowledged)))
            if key not in seen:
                seen.add(key)
                yield count, list(model.acknowledged), state
