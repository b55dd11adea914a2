"""Objects of one bucket, each put whole by one conditional request: S3, Google's store, Azure's.

A request that failed on the way is made again, for a while. A put that was answered by nobody may have been done: it
carries an id of its own, and whoever then finds its name taken looks whether by that id. No upload has parts, so that
no reader ever sees half an object.

`vmi.storage.clouds` says how each cloud is reached, `vmi.storage.bucket_errors` what its refusals mean.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mimetypes
import os
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import obstore

from vmi.storage.bucket_errors import LIBRARY, NotWholeError, is_passing, named, status_of, taken
from vmi.storage.clouds import Retries, store_of

# What Azure takes in one put, the least of the three.
MAX_BYTES = 5000 * 2**20
# How long a request is made again, and how long one may be silent; the first look at a store ends within half a minute.
PATIENCE_SECONDS, READ_SECONDS = 60.0, 20.0
HASTY_SECONDS, HASTY_READ_SECONDS = 10.0, 6.0
# The library counts the bytes that are sent as silence: what a put may take in addition.
SECONDS_PER_MIB = 2
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
PROBE = ".vmi-probe-"
# What stands for a moment where an object is being removed.
GOING = b"being removed"
_JITTER = random.Random()
# Letters alone: Azure takes no hyphen in a name, proxies drop underscores. The second name is of earlier versions.
_WRITER, _SHA256, _SHA256_BEFORE = "vmiwriter", "vmisha256", "vmi-sha256"
# The process whose threads serve the requests; a fork of it has none of them.
_process: int | None = None

T = TypeVar("T")
State = Mapping[str, str]


class Found(NamedTuple):
    """An object as it was at one moment; `state` names that moment to the store."""

    data: bytes
    state: State


class Bucket:
    """The objects of a bucket by key. Every method may raise OSError that names the object and what is wrong.

    A request that failed on the way is made again for a minute, in a `hasty` one for some seconds.
    """

    def __init__(self, scheme: str, name: str, hasty: bool = False) -> None:
        self.scheme, self.name = scheme, name
        self._patience = HASTY_SECONDS if hasty else PATIENCE_SECONDS
        self._silence = HASTY_READ_SECONDS if hasty else READ_SECONDS

    def read(self, key: str) -> Found:
        """An object, whole: its length and what checksum it has are verified. Raises FileNotFoundError."""

        def get() -> Found:
            said = obstore.get(self._store(), key)
            data, marks = bytes(said.bytes()), said.attributes
            expected = marks.get(_SHA256) or marks.get(_SHA256_BEFORE)
            if len(data) != said.meta["size"] or expected not in (None, hashlib.sha256(data).hexdigest()):
                raise NotWholeError("what came is not what was put")
            state = {"e_tag": said.meta["e_tag"], "version": said.meta["version"]}
            return Found(data, {name: value for name, value in state.items() if value is not None})

        return self._asked(key, get)

    def stat(self, key: str) -> tuple[int, float] | None:
        """Bytes and time of an object; None where there is none."""
        said = self._head(key)
        return (said.meta["size"], said.meta["last_modified"].timestamp()) if said else None

    def listed(self, prefix: str) -> dict[str, float | None]:
        """The names right below a prefix, with the time of each object; None for what is a prefix itself."""
        # A page that failed is asked for again by itself, for which the library counts the tries.
        pages = Retries(self._patience, FIRST_WAIT, LONGEST_WAIT)
        said = self._asked(prefix, lambda: obstore.list_with_delimiter(self._store(retries=pages), prefix))
        start = len(f"{prefix}/" if prefix else "")
        found: dict[str, float | None] = {path[start:]: None for path in said["common_prefixes"]}
        found |= {each["path"][start:]: each["last_modified"].timestamp() for each in said["objects"]}
        found.pop("", None)  # what consoles put to show an empty folder
        return found

    def has_below(self, prefix: str) -> bool:
        """Whether any key lies below a prefix."""
        return bool(self._asked(prefix, lambda: next(iter(obstore.list(self._store(), prefix, chunk_size=1)), None)))

    def put(self, key: str, data: bytes) -> None:
        """Put an object in place of whatever was there."""
        self._put(key, data, "overwrite")

    def put_new(self, key: str, data: bytes) -> bool:
        """Put an object unless its key is taken; whether we did."""
        return self._put(key, data, "create")

    def put_over(self, key: str, data: bytes, state: State) -> bool:
        """Put an object in place of the one in that state; whether we did. A store without If-Match just takes it."""
        try:
            return self._put(key, data, state)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
        self.put(key, data)
        return True

    def unlink(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            self._asked(key, lambda: obstore.delete(self._store(), key))

    def unlink_over(self, key: str, state: State) -> None:
        """Remove an object that is still in that state.

        The library's delete has no conditions. So other bytes are put over that state first: from then on the key is
        ours to remove, until somebody holds them to be left behind (`vmi.monitor.lock`: after a minute).
        """
        if self.put_over(key, GOING, state):
            self.unlink(key)

    def probe(self, prefix: str) -> None:
        """Whether the store keeps its conditions, on a key that is gone afterwards. OSError where it does not."""
        key = f"{prefix}/{PROBE}{secrets.token_hex(8)}".strip("/")
        self.has_below(prefix)
        try:
            taken = [self.put_new(key, text) for text in (b"first", b"second")]
            if taken != [True, False] or self.read(key).data != b"first":
                reason = "this object store ignores the condition If-None-Match of a put: two writers would both win"
                raise OSError(errno.ENOTSUP, reason, self._at(prefix))
        finally:
            with contextlib.suppress(OSError):
                self.unlink(key)

    def _put(self, key: str, data: bytes, mode: str | State) -> bool:
        if len(data) > MAX_BYTES:
            raise OSError(errno.EFBIG, f"{len(data)} bytes: a single put takes at most {MAX_BYTES}", self._at(key))
        writer = uuid.uuid4().hex
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        marks = {"Content-Type": kind, _WRITER: writer, _SHA256: hashlib.sha256(data).hexdigest()}

        def put() -> bool:
            try:
                store = self._store(len(data))
                obstore.put(store, key, data, attributes=marks, mode=mode, use_multipart=False)  # type: ignore[arg-type]
            except LIBRARY as error:
                if not taken(error):
                    raise
                # Ours already, where an earlier try was done and its answer lost.
                said = self._head(key)
                return said is not None and said.attributes.get(_WRITER) == writer
            return True

        return self._asked(key, put)

    def _head(self, key: str) -> Any:
        def head() -> Any:
            try:
                return obstore.get(self._store(), key, options={"head": True})
            except FileNotFoundError as error:
                if status_of(error) == 404:
                    return None
                raise

        return self._asked(key, head)

    def _asked(self, key: str, request: Callable[[], T]) -> T:
        """The answer to a request, made again while it fails on the way. Raises OSError."""
        end, wait = time.monotonic() + self._patience, FIRST_WAIT
        while True:
            try:
                return _interruptible(request)
            except OSError as error:
                if error.filename:  # named already, by a request within this one
                    raise
                last: Exception = error
            except LIBRARY as error:
                last = error
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # of the library's own language
                    raise
                last = ValueError(str(error))
            if not is_passing(last) or time.monotonic() + wait > end:
                raise named(last, self.scheme, self._at(key)) from last
            # Of many that were refused together, not all come back together.
            time.sleep(wait * _JITTER.uniform(0.5, 1.0))
            wait = min(2 * wait, LONGEST_WAIT)

    def _at(self, key: str) -> str:
        return f"{self.scheme}://{self.name}/{key}".rstrip("/")

    def _store(self, size: int = 0, retries: Retries | None = None) -> Any:
        """The library's store, which threads share. `size`: the bytes that a request sends."""
        global _process
        _process = _process or os.getpid()
        if _process != os.getpid():
            said = "a process that was forked after its parent had used an object store cannot: spawn it instead"
            raise OSError(errno.ENOTSUP, said, self._at(""))
        # Rounded to a power of two: few stores, each with its connections.
        more = SECONDS_PER_MIB * (1 << (size >> 20).bit_length()) if size >> 20 else 0
        return store_of(self.scheme, self.name, self._silence + more, retries)


def _interruptible(request: Callable[[], T]) -> T:
    """The answer to a request; a signal is handled meanwhile, which the library would hold up until the answer."""
    if threading.current_thread() is not threading.main_thread():
        return request()
    answer: Future[T] = Future()

    def ask() -> None:
        try:
            answer.set_result(request())
        except BaseException as error:  # handed on to the main thread
            answer.set_exception(error)

    threading.Thread(target=ask, name="object store", daemon=True).start()
    return answer.result()
