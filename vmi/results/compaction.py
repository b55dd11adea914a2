"""Merging the small parts of a table into few large ones, beside live readers and writers, and without a lock.

A compacted part is made durable first, and says which parts it holds; only then are their files removed. Between the
two, and after a crash in between, rows are in two files: our readers count them once (`vmi.results.lineage`), other
tools see them twice until the next compaction, fsck or start of a driver has removed the old files.

Rows that join nothing (of a commit that was cut short) are kept: a live writer may be about to commit their trials.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vmi.results.lineage import Held, owners, shares, strength
from vmi.results.parts import Found, Part, decode, encode, load, part_name, read_part, taken_of
from vmi.results.schema import SCHEMA_VERSION, misfits_of, schema_of, united
from vmi.spec.errors import StoreError
from vmi.storage.durable import LOCAL, Files, named, put_exclusive, put_replacing
from vmi.storage.paths import AnyPath

# Uncompressed bytes of a compacted part: what bounds the memory of a compaction, to a few times this.
LIMIT = 256 << 20


class Compacted(NamedTuple):
    """What a compaction did to one table: files before and after."""

    table: str
    before: int
    after: int


def compact(folder: AnyPath, table: str, files: Files = LOCAL, limit: int = LIMIT) -> Compacted:
    """Merge the parts of a table's folder that are below half of `limit` uncompressed bytes, into parts below it.

    The rows of the table are what they were. Raises OSError, after which nothing is lost and it may be called again,
    and StoreError naming what is damaged or newer: then nothing is merged.
    """
    before = finish(folder, table, files)
    for names in _groups(before.parts, limit):
        _merge(folder, table, names, files)
    after = sound(folder, table, files) if len(before.parts) > 1 else before
    return Compacted(table, len(before.parts), len(after.parts))


def finish(folder: AnyPath, table: str, files: Files = LOCAL) -> Found:
    """Remove the files that a compaction has replaced and did not come to remove; twice is once. What is left.

    Raises OSError, and StoreError naming what is damaged or newer: then nothing is removed.
    """
    found = sound(folder, table, files)
    owner = owners({part.name: part.held for part in found.parts})
    owning = set(owner.values())
    left = [part for part in found.parts if part.name in owning]
    spare = [part for part in found.parts if part.name not in owning]
    if not spare:
        return found
    needed = {owner[name] for part in spare for name, _ in part.held}
    if not all(_assert_durable(folder / name, files) for name in sorted(needed)):
        return found  # another compaction has replaced what was relied on, and removes what it replaced
    remove(folder, [part.name for part in spare], files)
    return found._replace(parts=tuple(left))


def sound(folder: AnyPath, table: str, files: Files = LOCAL, columns: Sequence[str] = ()) -> Found:
    """What is in the folder, with these columns of its rows. Raises StoreError where it is not all sound."""
    found = load(folder, table, files, columns)
    lines = [f"{folder / name}: {why}" for name, why in found.damaged.items()]
    newer = f"needs a program that reads a newer schema version than {SCHEMA_VERSION}"
    lines += [f"{folder / name}: {newer}: {why.version}" for name, why in found.newer.items()]
    if lines:
        raise StoreError("damaged or newer, kept as they are:\n" + "\n".join(f"  {line}" for line in lines))
    return found


def _groups(parts: Sequence[Part], limit: int) -> Iterator[list[str]]:
    """Names of small parts that fit into one, two at least."""
    group: list[str] = []
    total = 0
    for part in (part for part in parts if part.size < limit / 2):
        if total + part.size > limit:
            yield group
            group, total = [], 0
        group.append(part.name)
        total += part.size
    if len(group) > 1:
        yield group


def _merge(folder: AnyPath, table: str, names: Sequence[str], files: Files) -> None:
    """Make one part of several: durable before the first of them goes."""
    parts = read_all(folder, names, files)
    if parts is None:
        return
    rows, held = joined(parts, table, folder)
    if any(set(held) == set(part.held) for part in parts):
        return  # one of them holds all of it: `finish` removes the others
    data = encoded(rows, held)
    name = part_name(data)
    if put_exclusive(folder, name, data, files):
        with named(folder):
            files.sync_folder(folder)
    elif not _assert_durable(folder / name, files):
        return
    remove(folder, names, files)


def read_all(folder: AnyPath, names: Sequence[str], files: Files) -> list[Part] | None:
    """The parts of these names with their rows; None where another compaction is at work here, and has one of them.

    Raises StoreError naming one that is damaged.
    """
    parts = []
    for name in names:
        part = read_part(folder / name, files)
        if part is None:
            return None
        if not isinstance(part, Part):
            raise StoreError(f"{folder / name}: damaged, kept as it is: {part}")
        parts.append(part)
    return parts


def joined(parts: Sequence[Part], table: str, folder: AnyPath) -> tuple[pa.Table, Held]:
    """The rows of these parts, each published part once, and what they hold together."""
    schema = schema_of(table, (), "")
    for name, why in misfits_of({part.name: part.schema for part in parts}, schema).items():
        raise StoreError(f"{folder / name}: damaged, kept as it is: {why}")
    counted = shares({part.name: part.held for part in parts})
    # Strongest first, so that the order of rows and of what is held agree.
    order = sorted((p for p in parts if counted[p.name]), key=lambda p: strength(p.name, p.held), reverse=True)
    # `united` puts tables of equal columns together, in the order of the first of each; so does this.
    kinds: list[pa.Schema] = []
    for part in order:
        if not any(kind.equals(part.schema) for kind in kinds):
            kinds.append(part.schema)
    by_kind = [part for kind in kinds for part in order if kind.equals(part.schema)]
    owner = owners({part.name: part.held for part in parts})
    held = tuple(item for part in by_kind for item in part.held if owner[item[0]] == part.name)
    bare = pa.schema([], metadata=schema.metadata)
    return united([taken_of(part.table, counted[part.name]) for part in by_kind], bare), held


def encoded(rows: pa.Table, held: Held) -> bytes:
    """The compacted part. Raises StoreError where it does not read back as the rows it was made of, bit for bit."""
    data = encode(rows, held)
    again = decode(part_name(data), data)
    if not isinstance(again, Part) or again.held != held or not _same(rows, again.table):
        raise StoreError("a compacted part did not read back as it was written; nothing was replaced")
    return data


def left(held: Held, stay: pa.ChunkedArray) -> Held:
    """How many rows of each held part stay: none of one is said too, so that its own file never counts again."""
    found, start = [], 0
    for name, rows in held:
        found.append((name, pc.sum(stay.slice(start, rows)).as_py() or 0))
        start += rows
    return tuple(found)


def _same(a: pa.Table, b: pa.Table) -> bool:
    """Whether two tables have the same columns and the same bits in them (NaN included)."""
    return a.schema.equals(b.schema) and all(_bits(x).equals(_bits(y)) for x, y in zip(a.columns, b.columns))  # noqa: B905


def _bits(column: pa.ChunkedArray) -> pa.Array:
    whole = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return whole.view(pa.int64()) if pa.types.is_float64(whole.type) else whole


def _assert_durable(path: AnyPath, files: Files) -> bool:
    """Put a part in place again, with its own bytes: whoever relies on a name makes it durable. False: it is gone.

    Somebody else linked it, and its folder may never have been synced, or in vain; syncing it now would tell nothing.
    """
    try:
        data = files.read(path)
    except FileNotFoundError:
        return False
    if part_name(data) != path.name:
        raise StoreError(f"{path}: damaged, kept as it is: its content does not match the hash in its name")
    put_replacing(path.parent, path.name, data, files)
    return True


def remove(folder: AnyPath, names: Sequence[str], files: Files) -> None:
    """Take these files of a folder away durably; absent ones are no error."""
    for name in names:
        # Another compaction may be quicker.
        with contextlib.suppress(FileNotFoundError), named(folder / name):
            files.unlink(folder / name)
    with named(folder):
        files.sync_folder(folder)
