"""Requests to the worker of a pack to part it: sealed files steer/part-<time>-<hash>.json, written by the driver.

Of several packs that a pack becomes each goes on with some of its members, on workers that had nothing to do. The
driver removes its requests once the pack is over, and those of a driver before it at its start: a request that is met
by a worker that nobody listens to leaves the pack whole.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from datetime import UTC, datetime

from vmi.in_flight.checkpoints import HASH_DIGITS
from vmi.in_flight.steering import FOLDER, put_request, whoever
from vmi.results.store import Store
from vmi.storage.checksum import unsealed
from vmi.storage.paths import AnyPath

_PART = re.compile(rf"part-\d{{8}}T\d{{12}}Z-[0-9a-f]{{{HASH_DIGITS}}}\.json")


def put_part(store: Store, pack_id: str, parts: int) -> AnyPath:
    """Ask the worker of this pack to make so many of it: the file. Raises OSError."""
    user, host = whoever()
    content = {"pack_id": pack_id, "parts": parts, "at": datetime.now(UTC).isoformat(), "user": user, "host": host}
    return put_request(store, "part", content)


class PartRequests:
    """Those to one pack, as far as `steer` is known to have them; each is read once."""

    def __init__(self, store: Store, pack_id: str) -> None:
        self._store, self._pack_id = store, pack_id
        self._read: dict[str, int] = {}

    def parts(self, names: Collection[str]) -> int:
        """Into how many packs this one is to be parted, where the folder has files of these names; 1: none of it."""
        for name in (name for name in names if _PART.fullmatch(name) and name not in self._read):
            self._read[name] = 1
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # damaged or gone: nothing is asked for
                content = unsealed(self._store.files.read(self._store.folder / FOLDER / name))
                self._read[name] = int(content["parts"]) if content["pack_id"] == self._pack_id else 1
        return max(self._read.values(), default=1)

    def refuse(self) -> None:
        """What was asked for so far can't be done."""
        self._read = dict.fromkeys(self._read, 1)


def clear_parts(store: Store) -> None:
    """Remove what a driver that is gone has asked for. What cannot be removed stays, and does no harm."""
    with contextlib.suppress(OSError):
        for name in store.files.names(store.folder / FOLDER):
            if _PART.fullmatch(name):
                store.files.unlink(store.folder / FOLDER / name)
