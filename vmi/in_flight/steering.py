"""Requests to a study that runs, or will: small sealed files in its folder steer/, which whoever trains looks for.

`stop-<time>-<hash>.json` asks that trials which meet a condition on their configuration are trained no further. It is
in force for every trial of the study without a row, also for those that are asked for later, until it is lifted: so it
does not matter who is killed when. Each worker looks by itself: nothing has to be passed on to it, on whatever host.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from vmi.in_flight.checkpoints import HASH_DIGITS
from vmi.results.schema import trials_schema
from vmi.results.store import Store
from vmi.results.where import where
from vmi.spec.config import FIELD_TYPES
from vmi.spec.errors import StoreError
from vmi.spec.trial import Trial, row_of
from vmi.storage.checksum import sealed, unsealed
from vmi.storage.durable import put_new
from vmi.storage.paths import AnyPath, hasty, local

FOLDER = "steer"
# Between two looks; every look at an object store is paid for by the request.
LOOK_SECONDS, REMOTE_LOOK_SECONDS = 2.0, 15.0
# What is known of a trial before it has a row.
COLUMNS = ("trial_id", "suggestion_id", *FIELD_TYPES)
_STOP = re.compile(rf"stop-\d{{8}}T\d{{12}}Z-[0-9a-f]{{{HASH_DIGITS}}}\.json")


@dataclass(frozen=True, kw_only=True)
class StopRequest:
    """A request to stop trials.

    Attributes:
        where: the condition, on COLUMNS
        at: when it was made, in UTC, as ISO 8601 has it
        user: who made it
        host: where
    """

    where: str
    at: str
    user: str
    host: str

    def __str__(self) -> str:
        return f"stopped by {self.user} on {self.host} at {self.at[:19].replace('T', ' ')} UTC"

    def met_by(self, trials: Sequence[Trial]) -> list[str]:
        """The ids of those of the trials that meet the condition. Raises InputError where it is none."""
        rows = [row_of(trial) for trial in trials]
        table = pa.Table.from_pylist(rows, schema=schema())
        found: list[str] = table.filter(where(self.where, table.schema, allowed=ALLOWED))["trial_id"].to_pylist()
        return found


ALLOWED = "a field of the configuration, trial_id or suggestion_id: a trial without a row has nothing else"


def schema() -> pa.Schema:
    """The columns of `trials` that a condition may name."""
    every = trials_schema(())
    return pa.schema([every.field(name) for name in COLUMNS])


def whoever() -> tuple[str, str]:
    """The user who runs this process, and on which host."""
    try:
        return getpass.getuser(), socket.gethostname()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}", socket.gethostname()


def stop_request(condition: str, at: datetime) -> StopRequest:
    """The request of whoever runs this process."""
    user, host = whoever()
    return StopRequest(where=condition, at=at.astimezone(UTC).isoformat(), user=user, host=host)


def put_stop(store: Store, request: StopRequest) -> AnyPath:
    """Make a request durable; it is in force from then on. Raises OSError."""
    return put_request(store, "stop", asdict(request))


def put_request(store: Store, kind: str, content: Mapping[str, Any]) -> AnyPath:
    """Make a request durable that was made `at` some time: the file. Raises OSError."""
    data = sealed(content)
    moment = datetime.fromisoformat(content["at"]).strftime("%Y%m%dT%H%M%S%fZ")
    name = f"{kind}-{moment}-{hashlib.sha256(data).hexdigest()[:HASH_DIGITS]}.json"
    return put_new(store.folder / FOLDER, name, data, store.files)


def look_seconds(store: Store) -> float:
    """Between two looks at the requests of a store."""
    return LOOK_SECONDS if local(store.folder) else REMOTE_LOOK_SECONDS


class StopRequests:
    """The requests to stop trials of a study, looked for at most every few seconds. `clock` gives seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        # A store that stays away holds up no training.
        self._folder = hasty(store.folder / FOLDER)
        self._seconds = look_seconds(store)
        self._next = clock()
        self.names: tuple[str, ...] = ()  # all that lay there at the last look
        self._read: dict[str, StopRequest | None] = {}  # None: not readable

    @property
    def all(self) -> list[StopRequest]:
        """Those that were found, the oldest first."""
        return [request for _, request in sorted(self._read.items()) if request]

    @property
    def damaged(self) -> list[AnyPath]:
        return [self._folder / name for name, request in sorted(self._read.items()) if request is None]

    def look(self) -> list[StopRequest]:
        """Those that are there since the last look; a store that cannot be reached now is asked again later."""
        if self._clock() < self._next:
            return []
        self._next = self._clock() + self._seconds
        try:
            return self._found()
        except OSError:
            return []

    def checked(self) -> list[StopRequest]:
        """All that are there now. Raises StoreError naming a damaged one, OSError where the store cannot be reached."""
        self._found()
        if self.damaged:
            raise StoreError(f"{self.damaged[0]}: damaged, kept as it is: `vmi fsck --quarantine` moves it away")
        return self.all

    def met_by(self, trials: Iterable[Trial]) -> dict[str, str]:
        """Why each of these trials that meets a request is stopped, by its id: by the oldest request that it meets."""
        left, found = list(trials), dict[str, str]()
        for request in self.all if left else ():
            found |= dict.fromkeys(request.met_by(left), str(request))
            left = [trial for trial in left if trial.trial_id not in found]
        return found

    def lift(self) -> None:
        """Remove all that were found: from now on they ask for nothing. Raises OSError."""
        for name in list(self._read):
            self._store.files.unlink(self._folder / name)
            del self._read[name]

    def _found(self) -> list[StopRequest]:
        try:
            names = self._store.files.names(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        self.names = tuple(names)
        fresh = sorted(name for name in names if _STOP.fullmatch(name) and name not in self._read)
        for name in fresh:
            self._read[name] = self._decoded(name)
        return [request for name in fresh if (request := self._read[name])]

    def _decoded(self, name: str) -> StopRequest | None:
        try:
            request = StopRequest(**unsealed(self._store.files.read(self._folder / name)))
            request.met_by(())
        except (ValueError, TypeError):
            return None
        return request
