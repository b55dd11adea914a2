"""Objects of one bucket, each put whole by one conditional request. The only file that knows boto3.

A request that failed on the way is made again, for a while. A put that was answered by nobody may have been done: it
carries an id of its own, and whoever then finds its name taken looks whether by that id. No upload has parts, so that
no reader ever sees half an object.

Endpoint, region and credentials are those that boto3 finds (AWS_ENDPOINT_URL, AWS_PROFILE, a machine's role, ...).
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
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from vmi.storage.s3_errors import code_of, is_passing, named, status_of

MAX_BYTES = 5 * 2**30
# How long a request is made again, and how long one may be silent; the first look at a store ends within half a minute.
PATIENCE_SECONDS, READ_SECONDS = 60.0, 20.0
HASTY_SECONDS, HASTY_READ_SECONDS = 10.0, 6.0
CONNECT_SECONDS = 4.0
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
# Names in one answer of a listing, at most.
PAGE = 1000
PROBE = ".vmi-probe-"
_JITTER, _MAKING = random.Random(), threading.Lock()
_WRITER, _SHA256 = "vmi-writer", "vmi-sha256"

T = TypeVar("T")
Conditions = dict[str, str]


class Found(NamedTuple):
    """An object as it was at one moment; `etag` names that state to the store."""

    data: bytes
    etag: str


class Bucket:
    """The objects of a bucket by key. Every method may raise OSError that names the object and what is wrong.

    A request that failed on the way is made again for a minute, in a `hasty` one for some seconds.
    """

    def __init__(self, name: str, hasty: bool = False) -> None:
        self.name = name
        self._patience = HASTY_SECONDS if hasty else PATIENCE_SECONDS
        self._silence = HASTY_READ_SECONDS if hasty else READ_SECONDS

    def read(self, key: str) -> Found:
        """An object, whole: its length and what checksums it has are verified. Raises FileNotFoundError."""

        def get() -> Found:
            said = self._client.get_object(Bucket=self.name, Key=key)
            data: bytes = said["Body"].read()
            expected = said.get("Metadata", {}).get(_SHA256)
            if len(data) != said["ContentLength"] or expected not in (None, hashlib.sha256(data).hexdigest()):
                raise ResponseParserError("what came is not what was put")
            return Found(data, said["ETag"])

        return self._asked(key, get)

    def stat(self, key: str) -> tuple[int, float] | None:
        """Bytes and time of an object; None where there is none."""
        said = self._head(key)
        return (said["ContentLength"], said["LastModified"].timestamp()) if said else None

    def listed(self, prefix: str) -> dict[str, float | None]:
        """The names right below a prefix, with the time of each object; None for what is a prefix itself."""
        below = f"{prefix}/" if prefix else ""
        found: dict[str, float | None] = {}
        for page in self._pages(prefix, Prefix=below, Delimiter="/"):
            found |= {p["Prefix"][len(below) :].rstrip("/"): None for p in page.get("CommonPrefixes", ())}
            found |= {o["Key"][len(below) :]: o["LastModified"].timestamp() for o in page.get("Contents", ())}
        found.pop("", None)  # what consoles put to show an empty folder
        return found

    def has_below(self, prefix: str) -> bool:
        """Whether any key lies below a prefix."""
        ask = {"Prefix": f"{prefix}/" if prefix else "", "MaxKeys": 1}
        return bool(self._asked(prefix, partial(self._list, **ask)).get("Contents"))

    def put(self, key: str, data: bytes) -> None:
        """Put an object in place of whatever was there."""
        self._put(key, data, {})

    def put_new(self, key: str, data: bytes) -> bool:
        """Put an object unless its key is taken; whether we did."""
        return self._put(key, data, {"IfNoneMatch": "*"})

    def put_over(self, key: str, data: bytes, etag: str) -> bool:
        """Put an object in place of the one in that state; whether we did. A store without If-Match just takes it."""
        try:
            return self._put(key, data, {"IfMatch": etag})
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
        self.put(key, data)
        return True

    def unlink(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""
        self._asked(key, lambda: self._client.delete_object(Bucket=self.name, Key=key))

    def unlink_over(self, key: str, etag: str) -> None:
        """Remove an object that is still in that state; where deleting has no conditions, in whatever state it is."""

        def delete() -> None:
            try:
                self._client.delete_object(Bucket=self.name, Key=key, IfMatch=etag)
            except ClientError as error:
                if status_of(error) == 501:
                    self._client.delete_object(Bucket=self.name, Key=key)
                elif status_of(error) not in (404, 412):  # gone, or another's by now
                    raise

        self._asked(key, delete)

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

    def _put(self, key: str, data: bytes, conditions: Conditions) -> bool:
        if len(data) > MAX_BYTES:
            raise OSError(errno.EFBIG, f"{len(data)} bytes: a single put takes at most {MAX_BYTES}", self._at(key))
        writer = uuid.uuid4().hex
        request = {
            "Bucket": self.name,
            "Key": key,
            "Body": data,
            "ContentType": mimetypes.guess_type(key)[0] or "application/octet-stream",
            "Metadata": {_WRITER: writer, _SHA256: hashlib.sha256(data).hexdigest()},
        }

        def put() -> bool:
            try:
                self._client.put_object(**request, **conditions)
            except ClientError as error:
                # The condition does not hold; for an object of a state, a key without object is another state.
                if status_of(error) != 412 and not ("IfMatch" in conditions and code_of(error) == "NoSuchKey"):
                    raise
                # Ours already, where an earlier try was done and its answer lost.
                return bool((self._head(key) or {}).get("Metadata", {}).get(_WRITER) == writer)
            return True

        return self._asked(key, put)

    def _head(self, key: str) -> Any:
        def head() -> Any:
            try:
                return self._client.head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise

        return self._asked(key, head)

    def _pages(self, prefix: str, **ask: str) -> Iterator[Any]:
        """The pages of a listing; each is asked for again by itself."""
        more: dict[str, str] = {}
        while True:
            page = self._asked(prefix, partial(self._list, **ask, **more))
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _list(self, **ask: Any) -> Any:
        return self._client.list_objects_v2(Bucket=self.name, **{"MaxKeys": PAGE, **ask})

    def _asked(self, key: str, request: Callable[[], T]) -> T:
        """The answer to a request, made again while it fails on the way. Raises OSError."""
        end, wait = time.monotonic() + self._patience, FIRST_WAIT
        while True:
            try:
                return request()
            except OSError as error:
                if error.filename or not is_passing(error):  # named already, by a request within this one
                    raise
                last: Exception = error
            except (BotoCoreError, ClientError, ResponseParserError, ValueError) as error:
                last = error
            if not is_passing(last) or time.monotonic() + wait > end:
                raise named(last, self._at(key)) from last
            # Of many that were refused together, not all come back together.
            time.sleep(wait * _JITTER.uniform(0.5, 1.0))
            wait = min(2 * wait, LONGEST_WAIT)

    def _at(self, key: str) -> str:
        return f"s3://{self.name}/{key}".rstrip("/")

    @property
    def _client(self) -> Any:
        with _MAKING:
            return client_of(self._silence, os.getpid())


@cache
def client_of(silence: float, process: int) -> Any:
    """boto3's client, which threads may share; connections are not shared with a forked child."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=silence,
        max_pool_connections=32,
        # Tries are counted above, where it is known what a lost answer means.
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    return boto3.session.Session().client("s3", config=config)
