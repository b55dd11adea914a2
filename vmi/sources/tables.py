"""Images in Parquet or Arrow files: tensors, lists of numbers, or PNG and JPEG as Hugging Face stores them."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vmi.sources.arrays import HELD_OUT, Array, Images, arrays, refused
from vmi.sources.pictures import decoded
from vmi.sources.places import Place

SUFFIXES = (".parquet", ".arrow", ".feather")


def read_table(place: Place, skip_broken: bool = False) -> Images:
    table = _rows(place.path)
    return _of_table(table, place, str(place.path), _named(place.path, table), skip_broken)


def read_shards(place: Place, shards: Sequence[Path], skip_broken: bool = False) -> Images:
    """One table of several files; the split is that of their names, "train-00000-of-00002", where all have one."""
    where = str(place.path)
    tables = [_rows(shard) for shard in shards]
    names = [re.split(r"[-_.]", shard.name)[0].lower() for shard in shards]
    sides = [np.full(len(t), HELD_OUT[n]) for t, n in zip(tables, names, strict=True) if n in HELD_OUT]
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowInvalid as error:
        raise refused(where, "shards with the same columns", str(error).splitlines()[0]) from error
    rows = [row for shard, part in zip(shards, tables, strict=True) for row in _named(shard, part)]
    side = np.concatenate(sides) if len(sides) == len(shards) else None
    return _of_table(table, place, where, rows, skip_broken, side)


def _named(path: Path, table: Any) -> list[str]:
    """What a row of the file is called where its picture is broken."""
    return [f"{path}: row {i}" for i in range(len(table))]


def _rows(path: Path) -> Any:
    """A table of pyarrow's, of a Parquet file or of Arrow's file or stream."""
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_table(path)
        with pa.memory_map(str(path)) as source:
            try:
                return pa.ipc.open_file(source).read_all()
            except pa.ArrowInvalid:
                source.seek(0)
                return pa.ipc.open_stream(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise refused(path, "a whole Parquet or Arrow file", str(error).splitlines()[0]) from error


def _of_table(
    table: Any, place: Place, where: str, rows: Sequence[str], skip_broken: bool, side: Array | None = None
) -> Images:
    """`rows`: what each is called."""
    names = {name.lower(): name for name in table.column_names}
    column = next((names[name] for name in ("image", "images", "img") if name in names), None)
    if column is None:
        raise refused(where, "a column 'image'", f"found {', '.join(table.column_names) or 'none'}")
    label = next((names[name] for name in ("label", "labels", "class") if name in names), None)
    shape, broken = place.shape, tuple[str, ...]()
    if (encoded := _encoded(table[column], f"{where}: {column}")) is None:
        images = _numbers(table[column], f"{where}: {column}")
    else:
        opened = [(row, partial(io.BytesIO, data)) for row, data in zip(rows, encoded, strict=True)]
        images, broken = decoded(opened, place, f"{where}: {column}", skip_broken)
        if left_out := {*broken}:
            whole = np.array([row not in left_out for row in rows])
            table, side = table.filter(pa.array(whole)), None if side is None else side[whole]
        shape = images.shape[1:]  # as they are declared, or as they came
    labels = None if label is None else _plain_column(table[label])
    split = side if side is not None else (_plain_column(table[names["split"]]) if "split" in names else None)
    return arrays(images, labels, split, shape, where)._replace(skipped=broken)


def _plain_column(column: Any) -> Array:
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy())
    return np.array(column.to_pylist())


def _encoded(column: Any, where: str) -> list[bytes] | None:
    """The images as PNG or JPEG, as Hugging Face stores them; None where they are numbers."""
    kind = column.type
    if column.null_count:
        raise refused(where, "an image in every row", f"found {column.null_count} empty rows")
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return [row["bytes"] for row in column.to_pylist()]
    return [*column.to_pylist()] if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None


def _numbers(column: Any, where: str) -> Array:
    """Tensors of one shape, or lists of numbers."""
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        if kind.permutation is not None and list(kind.permutation) != list(range(len(kind.shape))):
            raise refused(where, "tensors whose dimensions are in their order", f"found {kind.permutation}")
        return np.asarray(column.combine_chunks().to_numpy_ndarray())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        try:
            return np.array(column.to_pylist(), dtype=_innermost(kind).to_pandas_dtype())
        except (ValueError, TypeError, NotImplementedError) as error:
            raise refused(where, "images of one shape", str(error).splitlines()[0]) from error
    raise refused(where, "tensors of one shape, lists of numbers, or PNG or JPEG bytes", f"found {kind}")


def _innermost(kind: Any) -> Any:
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return kind
