"""Where results lie: a folder of this machine, or `s3://`, `gs://` or `az://bucket/prefix` in an object store.

`ObjectPath` answers what a `pathlib.Path` answers, as far as a store asks: it joins, names itself, lists and reads.
What it reads and writes goes through `vmi.storage.bucket`, which is loaded when it is first needed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from vmi.spec.errors import InputError, Problem, StoreError
from vmi.spec.home import expanded

if TYPE_CHECKING:
    from vmi.storage.bucket import Bucket

ALLOWED = "a folder, or s3://, gs:// or az://BUCKET/PREFIX"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
# What a bucket's name has beside a-z and 0-9, in Azure a container's.
SIGNS = {"s3": ".-", "gs": "._-", "az": "-"}
# Requests to an object store that are under way at a time.
REQUESTS = 16
# A key has at most 1,024 bytes, of which the files of a study take some.
MAX_PREFIX = 600

T = TypeVar("T")
R = TypeVar("R")


class Stat(NamedTuple):
    """What is known of an object: its bytes, and when it was written (seconds since the epoch)."""

    st_size: int
    st_mtime: float


@dataclass(frozen=True, order=True)
class ObjectPath:
    """A key of a bucket, or the prefix of keys that a folder would be. All that asks the store may raise OSError.

    A folder is there as long as a key lies below it; making one is nothing. What is asked of a `hasty` one is given up
    after seconds, not after a minute.
    """

    bucket: str
    key: str = ""
    hasty: bool = field(default=False, compare=False)
    scheme: str = "s3"

    def __truediv__(self, name: str | PurePosixPath) -> ObjectPath:
        return replace(self, key=str(PurePosixPath(f"{self.key}/{name}")).strip("/"))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2] or self.bucket

    @property
    def parent(self) -> ObjectPath:
        return replace(self, key=self.key.rpartition("/")[0])

    def absolute(self) -> ObjectPath:
        return self

    def resolve(self) -> ObjectPath:
        return self

    def expanduser(self) -> ObjectPath:
        return self

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        return bool(self.key) and self.objects.stat(self.key) is not None

    def is_dir(self) -> bool:
        return self.objects.has_below(self.key)

    def is_symlink(self) -> bool:
        return False

    def iterdir(self) -> Iterator[ObjectPath]:
        """What lies in the folder. Raises FileNotFoundError where nothing does, NotADirectoryError on an object."""
        names = self.objects.listed(self.key)
        if not names:
            number = errno.ENOTDIR if self.is_file() else errno.ENOENT
            raise OSError(number, os.strerror(number), str(self))
        return (self / name for name in names)

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """What lies in the folder under a name that fits; the pattern has no slash."""
        return (self / name for name in self.objects.listed(self.key) if fnmatchcase(name, pattern))

    def stat(self) -> Stat:
        """Raises FileNotFoundError."""
        found = self.objects.stat(self.key)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return Stat(*found)

    def read_bytes(self) -> bytes:
        return self.objects.read(self.key).data

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes) -> int:
        """Put whole, replacing what was there."""
        self.objects.put(self.key, data)
        return len(data)

    def write_text(self, text: str, encoding: str = "utf-8") -> int:
        return self.write_bytes(text.encode(encoding))

    def unlink(self, missing_ok: bool = True) -> None:
        """Remove the object; an absent one is no error, as deleting it is none there."""
        self.objects.unlink(self.key)

    def rmdir(self) -> None:
        """Nothing: an empty folder is not there."""

    def replace(self, target: ObjectPath) -> None:
        """Put the object under another key, in place of what was there."""
        target.write_bytes(self.read_bytes())
        self.unlink()

    # What follows is `vmi.storage.durable.Storage`.

    def put_new(self, name: str, data: bytes) -> ObjectPath:
        path = self / name
        if not self.objects.put_new(path.key, data) and path.read_bytes() != data:
            raise name_taken(path)
        return path

    def put_replacing(self, name: str, data: bytes) -> ObjectPath:
        (path := self / name).write_bytes(data)
        return path

    def put_exclusive(self, name: str, data: bytes) -> bool:
        return self.objects.put_new((self / name).key, data)

    def put_over(self, name: str, data: bytes, before: bytes) -> bool:
        """Of several who try one wins."""
        key = (self / name).key
        try:
            found = self.objects.read(key)
            return found.data == before and self.objects.put_over(key, data, found.state)
        except FileNotFoundError:
            return False

    def remove_same(self, name: str, before: bytes) -> None:
        key = (self / name).key
        with contextlib.suppress(FileNotFoundError):
            found = self.objects.read(key)
            if found.data == before:
                self.objects.unlink_over(key, found.state)

    def make_folders(self) -> None:
        """Nothing: there are none."""

    def probe(self) -> None:
        """Refused as well is a store that does not keep the conditions of puts."""
        replace(self, hasty=True).objects.probe(self.key)

    def times(self) -> dict[str, float]:
        return {name: time for name, time in self.objects.listed(self.key).items() if time is not None}

    def mapped(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Several at a time."""
        with ThreadPoolExecutor(REQUESTS) as pool:
            return list(pool.map(function, items))

    @property
    def objects(self) -> Bucket:
        """What asks the store. Keys are those of the whole bucket."""
        try:
            from vmi.storage.bucket import Bucket  # loads obstore
        except ModuleNotFoundError as error:
            raise OSError(errno.ENOPKG, f"a package is missing: pip install {error.name}", str(self)) from error
        return Bucket(self.scheme, self.bucket, self.hasty)


AnyPath = Path | ObjectPath


def local(path: AnyPath) -> Path | None:
    """The path of this machine that it is; None for what lies in an object store."""
    return path if isinstance(path, Path) else None


def file_on(path: AnyPath) -> Path | None:
    """The file that this path is or leads through, where no folder can be; None where there is none of this machine."""
    own = local(path)
    there = next((each for each in (own, *own.parents) if each.exists()), None) if own else None
    return there if there and not there.is_dir() else None


def hasty(path: AnyPath) -> AnyPath:
    """The same place, for what must not wait long for an object store."""
    return path if isinstance(path, Path) else replace(path, hasty=True)


def name_taken(path: AnyPath) -> StoreError:
    """For a file whose name is its content."""
    return StoreError(f"{path}: damaged, kept as it is: its name is the hash of other bytes")


def path_of(text: str | AnyPath, name: str = "--results") -> AnyPath:
    """The place that a user named. Raises InputError for an unknown scheme, or no valid bucket and prefix."""
    given = str(text)
    found = _SCHEME.match(given)
    if not isinstance(text, str):
        return text
    if not found:
        return expanded(text, name)
    scheme = found[1].lower()
    if scheme not in SIGNS:
        raise InputError([Problem(name, given, ALLOWED, f"no store of scheme {found[1]}:// is known")])
    bucket, _, prefix = given[len(found[0]) :].removeprefix("/").partition("/")
    parts = [part for part in prefix.split("/") if part]
    valid = re.fullmatch(rf"[a-z0-9][a-z0-9{SIGNS[scheme]}]{{1,61}}[a-z0-9]", bucket)
    if not given[len(found[0]) :].startswith("/") or not valid:
        signs = " and ".join(f"'{sign}'" for sign in SIGNS[scheme])
        allowed = f"{scheme}://BUCKET/PREFIX; a bucket's name is 3 to 63 of a-z, 0-9, {signs}"
        raise InputError([Problem(name, given, allowed)])
    if any(part in (".", "..") for part in parts) or not prefix.isprintable() or len(prefix.encode()) > MAX_PREFIX:
        rule = f"a prefix has no '.' or '..', and at most {MAX_PREFIX} bytes that can be printed"
        raise InputError([Problem(name, given, f"{scheme}://BUCKET/PREFIX; {rule}")])
    return ObjectPath(bucket, "/".join(parts), scheme=scheme)


def opened(text: str | AnyPath, name: str = "folder") -> AnyPath:
    """As `path_of`, once an object store has answered. Raises InputError with what is wrong with it, within 30 s."""
    path = path_of(text, name)
    if local(path) is None:
        try:
            hasty(path).is_dir()
        except OSError as error:
            allowed = "an object store that this machine reaches, with credentials that may read it"
            raise InputError([Problem(name, str(path), allowed, error.strerror or str(error))]) from error
    return path


def below(folder: AnyPath, path: AnyPath) -> str:
    """What leads from the folder to what lies in it: "trials/part-...", "." for itself."""
    return str(PurePosixPath(str(path).removeprefix(str(folder)).lstrip("/")))
