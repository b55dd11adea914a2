"""Many tables as one, by the names of their columns: parts of before a column was added read beside those with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa


def misfits_of(schemas: Mapping[str, pa.Schema], schema: pa.Schema) -> dict[str, str]:
    """Why tables do not fit, by name: a column of another type than in the schema or in a table before."""
    misfits, merged = {}, pa.schema([])
    known: list[tuple[pa.Schema, str]] = []  # most have the columns of one before; to unite costs far more than to look
    for name, own in schemas.items():
        why = next((why for seen, why in known if seen.equals(own)), None)
        if why is None:
            why = ""
            try:
                pa.unify_schemas([merged, own, schema])
                merged = pa.unify_schemas([merged, own])
            except pa.ArrowException as error:
                why = f"its columns do not fit the other parts: {error}"
            known.append((own, why))
        if why:
            misfits[name] = why
    return misfits


def united(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """One table of all, with every column that one of them or the schema has, and the schema's metadata."""
    kinds: list[list[pa.Table]] = []
    for table in tables:
        same = next((kind for kind in kinds if kind[0].schema.equals(table.schema)), None)
        if same is None:
            kinds.append([table])
        else:
            same.append(table)
    joined = [pa.concat_tables(kind) for kind in kinds]
    whole = pa.unify_schemas([*(table.schema for table in joined), schema]).with_metadata(schema.metadata)
    return pa.concat_tables([whole.empty_table(), *joined], promote_options="default")
