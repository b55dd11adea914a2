"""The checkpoints of packs under way: checkpoints/<pack_id>/, written like parts, the last two whole ones kept.

A file's name is its number and the hash of its bytes, so a bit that has flipped is always found. Beside them lies which
trials the pack has (`pack-<hash>.json`): a driver that starts again hands out the same pack, which goes on from there.
All of it only saves time: a trial is finished when the store has its row.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import uuid
from collections.abc import Callable, Collection, Iterator

from vmi.results.store import Store
from vmi.storage.durable import TEMPORARY, Files, put_new
from vmi.storage.paths import AnyPath

KEPT = 2
HASH_DIGITS = 32
_CHECKPOINT = re.compile(rf"(\d{{8}})-([0-9a-f]{{{HASH_DIGITS}}})\.pt")
_CLAIM = re.compile(r"claim-(\d{8})-[0-9a-f]{32}")
_LIVE = re.compile(rf"live-(\d{{8}})-([0-9a-f]{{{HASH_DIGITS}}})\.parquet")
_PLAN = re.compile(rf"pack-([0-9a-f]{{{HASH_DIGITS}}})\.json")


class Checkpoints:
    """The checkpoints of one pack of a store's study."""

    def __init__(self, store: Store, pack_id: str) -> None:
        self.folder, self._files = store.checkpoints / pack_id, store.files
        self._whole: list[str] = []  # names that were written or found whole, oldest first
        self._claim = ""

    def plan(self) -> bytes | None:
        """What was said of the pack, None where nothing (whole) was. Raises OSError."""
        for name in self._names():
            if (match := _PLAN.fullmatch(name)) and (data := self._read(name, match[1])) is not None:
                return data
        return None

    def write_plan(self, data: bytes) -> None:
        """Say which trials the pack has. Raises OSError naming the file."""
        for name in self._names():
            if _PLAN.fullmatch(name):
                self._remove(name)  # damaged, or an older one
        put_new(self.folder, f"pack-{_digest(data)}.json", data, self._files)

    def claim(self) -> None:
        """Take the pack over: a worker that was given it before, and is still alive somewhere, shall store nothing."""
        claims = [match for name in self._names() if (match := _CLAIM.fullmatch(name))]
        number, token = 1 + max((int(match[1]) for match in claims), default=0), uuid.uuid4().hex
        self._claim = put_new(self.folder, f"claim-{number:08d}-{token}", token.encode(), self._files).name
        for match in claims:
            self._remove(match[0])

    @property
    def is_ours(self) -> bool:
        """Nobody has taken the pack over since `claim`."""
        return max((name for name in self._names() if _CLAIM.fullmatch(name)), default="") == self._claim

    def write(self, data: bytes, needed: Collection[str] = ()) -> str:
        """Make a checkpoint durable and let go of older ones, but for those `needed`; its name. Raises OSError."""
        names = self._numbered()
        number = 1 + max((int(name[:8]) for name in names), default=0)
        name = put_new(self.folder, f"{number:08d}-{_digest(data)}.pt", data, self._files).name
        self._whole.append(name)
        keep = {*self._whole[-KEPT:], *needed}
        for old in names:
            if old not in keep:
                self._remove(old)
        return name

    def write_live(self, data: bytes) -> None:
        """Make what the pack has reported durable (`vmi.in_flight.live`), in place of what it had. Raises OSError."""
        names = [name for name in self._names() if _LIVE.fullmatch(name)]
        number = 1 + max((int(match[1]) for name in names if (match := _LIVE.fullmatch(name))), default=0)
        put_new(self.folder, f"live-{number:08d}-{_digest(data)}.parquet", data, self._files)
        for name in names:
            self._remove(name)

    def live(self) -> bytes | None:
        """What the pack has reported, as its newest whole file has it; None where there is none."""
        for name in sorted(self._names(), reverse=True):
            if (match := _LIVE.fullmatch(name)) and (data := self._read(name, match[2])) is not None:
                return data
        return None

    def newest_first(self) -> Iterator[tuple[AnyPath, bytes | None]]:
        """Each checkpoint with its bytes, None where these are not what its name says. Raises OSError."""
        self._whole = []
        for name in reversed(self._numbered()):
            data = self.read(name)
            if data is not None:
                self._whole.insert(0, name)
            yield self.folder / name, data

    def read(self, name: str) -> bytes | None:
        """The bytes of a checkpoint; None where it is gone or damaged, or the name is not one's."""
        match = _CHECKPOINT.fullmatch(name)
        return self._read(name, match[2]) if match else None

    def clear(self) -> None:
        """Remove everything; what cannot be removed stays, and may be removed another time."""
        self._remove_all(lambda name: True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def retire(self) -> None:
        """Other packs go on with its members: remove everything, its plan first. Raises OSError, and all is there."""
        for name in self._names():
            if _PLAN.fullmatch(name):
                self._files.unlink(self.folder / name)
        self.clear()

    def clear_checkpoints(self) -> None:
        """Remove them: the pack is stored. Its plan stays, as whoever is given it again has to know that it began."""
        self._remove_all(lambda name: not (_PLAN.fullmatch(name) or _CLAIM.fullmatch(name)))

    def clear_torn(self) -> None:
        """Remove what a worker that was killed has left half written."""
        self._remove_all(lambda name: name.startswith(TEMPORARY))

    def _numbered(self) -> list[str]:
        return sorted(name for name in self._names() if _CHECKPOINT.fullmatch(name))

    def _names(self) -> list[str]:
        return _listed(self._files, self.folder)

    def _read(self, name: str, digest: str) -> bytes | None:
        try:
            data = self._files.read(self.folder / name)
        except OSError:
            return None
        return data if _digest(data) == digest else None

    def _remove_all(self, chosen: Callable[[str], bool]) -> None:
        with contextlib.suppress(OSError):
            for name in self._names():
                if chosen(name):
                    self._remove(name)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._files.unlink(self.folder / name)


def packs_begun(store: Store) -> list[str]:
    """The packs that something is kept of, by id."""
    return sorted(_listed(store.files, store.checkpoints))


def _listed(files: Files, folder: AnyPath) -> list[str]:
    try:
        return files.names(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def live_names(store: Store) -> frozenset[str]:
    """The files with reports of what is under way, each by its pack and name: others once there is more to see."""
    found = ((pack_id, _listed(store.files, store.checkpoints / pack_id)) for pack_id in packs_begun(store))
    return frozenset(f"{pack_id}/{name}" for pack_id, names in found for name in names if _LIVE.fullmatch(name))


def clear_all(store: Store) -> None:
    """Remove everything kept of any pack."""
    for name in packs_begun(store):
        Checkpoints(store, name).clear()
        with contextlib.suppress(OSError):  # a file of an earlier version
            store.files.unlink(store.checkpoints / name)
    with contextlib.suppress(OSError):
        store.checkpoints.rmdir()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
