"""Immutable Parquet parts: a folder of parts is a table, and the name of a part is the hash of its content.

One writer per part, one part per commit. A part is encoded in memory and put in place whole, so no reader
ever sees half of one; the hash in its name finds what the page checksums do not.

A compacted part also says which parts its rows were published in (`vmi.results.lineage`): each of these counts once, in
however many sound files its rows are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vmi.results.lineage import HELD_KEY, Held, Slices, held_in, noted, shares
from vmi.results.schema import SCHEMA_VERSION, misfits_of, schema_of, united, version_of
from vmi.spec.config import ADDED
from vmi.spec.errors import StoreError
from vmi.storage.durable import LOCAL, Files, mapped, put_new
from vmi.storage.paths import AnyPath

HASH_DIGITS = 32
# How often a folder is listed again because parts vanished while they were read: each time a compaction has ended.
LISTINGS = 20
# Bytes of rows from which a part is compressed. Below, its footer is most of it: zstd made 16 rows of `trials` 0.1 %
# smaller, and reading and writing them cost twice the time.
SMALL = 32 << 10
_PART = re.compile(r"part-.*\.parquet", re.DOTALL)


class Damaged(NamedTuple):
    """One part that cannot be trusted, and why. The file is kept as it is."""

    path: AnyPath
    reason: str


class Part(NamedTuple):
    """A sound file: its rows, which published parts they are of, and its uncompressed size in bytes.

    `schema` has every column of the file, `table` those that were asked for.
    """

    name: str
    schema: pa.Schema
    table: pa.Table
    held: Held
    size: int


class Newer(NamedTuple):
    """A part of a schema that this program does not know."""

    version: int


class Found(NamedTuple):
    """The files of a folder: its sound parts, the damaged and the newer ones by name, and how many are no parts."""

    parts: tuple[Part, ...]
    damaged: Mapping[str, str]
    newer: Mapping[str, Newer]
    stray: int


class ReadResult(NamedTuple):
    """The rows of every sound part, the number of files that are no parts, and the damaged parts.

    `replaced`: sound files all of whose rows are in a compacted part, which its compaction did not come to remove.
    """

    table: pa.Table
    stray: int
    damaged: tuple[Damaged, ...]
    replaced: int = 0

    def checked(self) -> pa.Table:
        """The table. Raises StoreError naming every damaged part."""
        if self.damaged:
            lines = [f"{path}: {reason}" for path, reason in self.damaged]
            raise StoreError("damaged, kept as they are:\n" + "\n".join(f"  {line}" for line in lines))
        return self.table


def publish(folder: AnyPath, table: pa.Table, files: Files = LOCAL) -> AnyPath:
    """Make a table durable as one new part of the folder; the same table twice is one part.

    Raises OSError (the part is not there) or StoreError (a damaged file has the part's name).
    """
    data = encode(table)
    return put_new(folder, part_name(data), data, files)


def encode(table: pa.Table, held: Held = ()) -> bytes:
    """A table as the bytes of a Parquet file: page checksums, dictionaries for strings only, zstd from SMALL bytes on.

    `held`: the parts that its rows were published in, of a compacted part.
    """
    sink = pa.BufferOutputStream()
    strings = [field.name for field in table.schema if pa.types.is_string(field.type)]
    compression = "zstd" if table.nbytes >= SMALL else "none"
    how = {"compression": compression, "write_page_checksum": True, "use_dictionary": strings}
    with pq.ParquetWriter(sink, table.schema, **how) as writer:
        writer.write_table(table)
        if held:
            writer.add_key_value_metadata({HELD_KEY: noted(held)})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def part_name(data: bytes) -> str:
    """The name that a part with these bytes must have."""
    return f"part-{hashlib.sha256(data).hexdigest()[:HASH_DIGITS]}.parquet"


def read(folder: AnyPath, table: str, files: Files = LOCAL, columns: Collection[str] | None = None) -> ReadResult:
    """All parts of a folder as one table of TABLES, null where a part lacks a column; no folder, no rows.

    Where a part is older than a field of the configuration, its trials have the value that they were trained with.
    `columns`: these alone are decoded; every file is checked all the same.

    Raises StoreError when a part has a newer schema than this program knows, or the folder is a file.
    """
    found = load(folder, table, files, columns)
    for name, (version,) in found.newer.items():
        needs = f"needs a program that reads schema version {version}; this one reads {SCHEMA_VERSION}"
        raise StoreError(f"{folder / name}: {needs}")
    schema = schema_of(table, (), "")
    misfits = misfits_of({part.name: part.schema for part in found.parts}, schema)
    fitting = [part for part in found.parts if part.name not in misfits]
    if columns is not None:
        schema = pa.schema([field for field in schema if field.name in columns], metadata=schema.metadata)
    counted = shares({part.name: part.held for part in fitting})
    taken = [taken_of(part.table, counted[part.name]) for part in fitting if counted[part.name]]
    rows = united(taken, schema)
    for name in (name for name in ADDED if name in rows.column_names):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), pc.fill_null(rows[name], ADDED[name]))
    damaged = [Damaged(folder / name, why) for name, why in {**found.damaged, **misfits}.items()]
    return ReadResult(rows, found.stray, tuple(sorted(damaged)), len(fitting) - len(taken))


def load(
    folder: AnyPath, table: str, files: Files = LOCAL, columns: Collection[str] | None = None, thorough: bool = False
) -> Found:
    """Every file of a folder, read and checked; `columns` as in `read`, but with `thorough` all are decoded.

    A compaction may replace parts under a reader, and a listing that runs meanwhile may show neither the old ones nor
    the new one. So it is listed again until nothing has vanished and no compacted part is new.
    """
    parts: dict[str, Part] = {}
    wrong: dict[str, str | Newer] = {}
    for listing in range(LISTINGS):
        names = _names(folder, table, files)
        settled, vanished = listing > 0, list[str]()
        fresh = [name for name in names if _PART.fullmatch(name) and name not in parts and name not in wrong]
        read_one = partial(read_part, files=files, columns=columns, thorough=thorough)
        found = mapped(read_one, [folder / name for name in fresh], folder)
        for name, part in zip(fresh, found, strict=True):
            if part is None:
                vanished.append(name)
            elif isinstance(part, Part):
                parts[name] = part
                settled = settled and is_plain(part)
            else:
                wrong[name] = part
        if settled and not vanished:
            break
    newer = {name: why for name, why in wrong.items() if isinstance(why, Newer)}
    damaged = {name: why for name, why in wrong.items() if isinstance(why, str)}
    damaged |= dict.fromkeys(vanished, "cannot be read: it is listed, but there is no such file")
    stray = sum(1 for name in names if not _PART.fullmatch(name))
    return Found(tuple(parts[name] for name in sorted(parts)), damaged, newer, stray)


def is_plain(part: Part) -> bool:
    """Whether a part was published, not compacted."""
    return [name for name, _ in part.held] == [part.name]


def read_part(
    path: AnyPath, files: Files = LOCAL, columns: Collection[str] | None = None, thorough: bool = False
) -> Part | str | Newer | None:
    """A sound part, what is wrong with it, or None when there is no such file."""
    try:
        data = files.read(path)
    except FileNotFoundError:
        return None
    except (ConnectionError, TimeoutError):
        raise  # a store that stays away is not damaged
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return decode(path.name, data, columns, thorough)


def decode(
    name: str, data: bytes, columns: Collection[str] | None = None, thorough: bool = False
) -> Part | str | Newer:
    """The part of this name with these bytes, or what is wrong with it."""
    if not data:
        return "empty (0 bytes)"
    if part_name(data) != name:
        return f"its content ({len(data)} bytes) does not match the hash in its name"
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        schema, meta = file.schema_arrow, file.metadata
        version = version_of(schema)
        if version is None:
            return "not one of our tables (no schema version)"
        if version > SCHEMA_VERSION:
            return Newer(version)
        wanted = None if columns is None else [n for n in schema.names if n in columns]
        if thorough:
            file.read(use_threads=False)
        rows = file.read(columns=wanted, use_threads=False)
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        return Part(name, schema, rows, held_in(meta.metadata, name, meta.num_rows), size)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        return f"not a readable Parquet file: {(str(error) or repr(error)).splitlines()[0]}"


def taken_of(rows: pa.Table, slices: Slices) -> pa.Table:
    """The rows that count."""
    if slices == ((0, rows.num_rows),):
        return rows
    return pa.concat_tables([rows.slice(start, count) for start, count in slices])


def _names(folder: AnyPath, table: str, files: Files) -> list[str]:
    try:
        return files.names(folder)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise StoreError(f"{folder}: a file where the folder of {table} should be") from None
