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


def read_table(place: Place) -> Images:
    return _of_table(_rows(place.path), place, str(place.path))


def read_shards(place: Place, shards: Sequence[Path]) -> Images:
    """One table of several files; the split is that of their names, "train-00000-of-00002", where all have one."""
    where = str(place.path)
    tables = [_rows(shard) for shard in shards]
    names = [re.split(r"[-_.]", shard.name)[0].lower() for shard in shards]
    sides = [np.full(len(t), HELD_OUT[n]) for t, n in zip(tables, names, strict=True) if n in HELD_OUT]
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowInvalid as error:
        raise refused(where, "shards with the same columns", str(error).splitlines()[0]) from error
    return _of_table(table, place, where, np.concatenate(sides) if len(sides) == len(shards) else None)


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


def _of_table(table: Any, place: Place, where: str, side: Array | None = None) -> Images:
    names = {name.lower(): name for name in table.column_names}
    column = next((names[name] for name in ("image", "images", "img") if name in names), None)
    if column is None:
        raise refused(where, "a column 'image'", f"found {', '.join(table.column_names) or 'none'}")
    label = next((names[name] for name in ("label", "labels", "class") if name in names), None)
    images = _column(table[column], place, f"{where}: {column}")
    labels = None if label is None else _plain_column(table[label])
    split = side if side is not None else (_plain_column(table[names["split"]]) if "split" in names else None)
    shape = place.shape if images.dtype != np.uint8 or images.ndim == 2 else None
    return arrays(images, labels, split, shape, where)


def _plain_column(column: Any) -> Array:
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy())
    return np.array(column.to_pylist())


def _column(column: Any, place: Place, where: str) -> Array:
    """Tensors of one shape, lists of numbers, or images as PNG or JPEG, as Hugging Face stores them."""
    kind = column.type
    if column.null_count:
        raise refused(where, "an image in every row", f"found {column.null_count} empty rows")
    if isinstance(kind, pa.FixedShapeTensorType):
        if kind.permutation is not None and list(kind.permutation) != list(range(len(kind.shape))):
            raise refused(where, "tensors whose dimensions are in their order", f"found {kind.permutation}")
        return np.asarray(column.combine_chunks().to_numpy_ndarray())
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        encoded = [row["bytes"] for row in column.to_pylist()]
        return decoded([(f"row {i}", partial(io.BytesIO, data)) for i, data in enumerate(encoded)], place, where)[0]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        encoded = column.to_pylist()
        return decoded([(f"row {i}", partial(io.BytesIO, data)) for i, data in enumerate(encoded)], place, where)[0]
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
