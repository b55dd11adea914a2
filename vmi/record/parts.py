"""Immutable Parquet parts: a folder of parts is a table, and the name of a part is the hash of its content.

One writer per part, one part per commit. A part is encoded in memory and put in place whole, so no reader
ever sees half of one; the hash in its name finds what the page checksums do not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vmi.config import ADDED
from vmi.errors import StoreError
from vmi.record.files import LOCAL, Files, put_new
from vmi.record.paths import AnyPath, mapped
from vmi.record.schema import SCHEMA_VERSION, schema_of, version_of

HASH_DIGITS = 32
_PART = re.compile(r"part-.*\.parquet", re.DOTALL)


class Damaged(NamedTuple):
    """One part that cannot be trusted, and why. The file is kept as it is."""

    path: AnyPath
    reason: str


class ReadResult(NamedTuple):
    """The rows of every sound part, the number of files that are no parts, and the damaged parts."""

    table: pa.Table
    stray: int
    damaged: tuple[Damaged, ...]

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


def encode(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file: zstd, page checksums, dictionaries for strings only."""
    sink = pa.BufferOutputStream()
    strings = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, use_dictionary=strings)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def part_name(data: bytes) -> str:
    """The name that a part with these bytes must have."""
    return f"part-{hashlib.sha256(data).hexdigest()[:HASH_DIGITS]}.parquet"


def read(folder: AnyPath, table: str, files: Files = LOCAL) -> ReadResult:
    """All parts of a folder as one table of TABLES, null where a part lacks a column; no folder, no rows.

    Where a part is older than a field of the configuration, its trials have the value that they were trained with.

    Raises StoreError when a part has a newer schema than this program knows, or the folder is a file.
    """
    try:
        names = sorted(files.names(folder))
    except FileNotFoundError:
        names = []
    except NotADirectoryError:
        raise StoreError(f"{folder}: a file where the folder of {table} should be") from None
    paths = [folder / name for name in names if _PART.fullmatch(name)]
    found = list(zip(paths, mapped(lambda path: _read_part(path, files), paths, folder), strict=True))
    readable = [(path, part) for path, part in found if isinstance(part, pa.Table)]
    rows, damaged = _unified(readable, schema_of(table, (), ""))
    damaged += [Damaged(path, part) for path, part in found if isinstance(part, str)]
    for name in (name for name in ADDED if name in rows.column_names):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), pc.fill_null(rows[name], ADDED[name]))
    return ReadResult(rows, len(names) - len(paths), tuple(sorted(damaged)))


def _read_part(path: AnyPath, files: Files) -> pa.Table | str:
    """The rows of a part, or what is wrong with it."""
    try:
        data = files.read(path)
    except (ConnectionError, TimeoutError):
        raise  # a store that stays away is not damaged
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not data:
        return "empty (0 bytes)"
    if part_name(data) != path.name:
        return f"its content ({len(data)} bytes) does not match the hash in its name"
    try:
        part = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        version = version_of(part.schema_arrow)
        if version is not None and version <= SCHEMA_VERSION:
            return part.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        return f"not a readable Parquet file: {str(error).splitlines()[0]}"
    if version is None:
        return "not one of our tables (no schema version)"
    raise StoreError(f"{path}: needs a program that reads schema version {version}; this one reads {SCHEMA_VERSION}")


def _unified(parts: Iterable[tuple[AnyPath, pa.Table]], schema: pa.Schema) -> tuple[pa.Table, list[Damaged]]:
    """One table of all parts, its columns in their order, and the parts whose columns have other types."""
    tables, damaged, merged = [], [], pa.schema([])
    for path, part in parts:
        try:
            pa.unify_schemas([merged, part.schema, schema])
        except pa.ArrowException as error:
            damaged.append(Damaged(path, f"its columns do not fit the other parts: {error}"))
        else:
            merged = pa.unify_schemas([merged, part.schema])
            tables.append(part)
    whole = pa.unify_schemas([merged, schema]).with_metadata(schema.metadata)
    return pa.concat_tables([whole.empty_table(), *tables], promote_options="default"), damaged
