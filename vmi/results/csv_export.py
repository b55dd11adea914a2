"""`trials` as one CSV file, for whoever has no Parquet."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from vmi.storage.durable import hand_out
from vmi.storage.paths import AnyPath

# What a spreadsheet takes for a formula, behind blanks too; as the page's own CSV has it.
_FORMULA = r"^([\s\x00-\x1f]*[=+\-@\t\r＝＋－＠])"


def to_csv(rows: pa.Table, file: AnyPath, field: str = "--csv") -> None:
    """Write a study's trials as a new CSV file, a line for each row, with all its columns.

    Null is empty. A text that a spreadsheet would take for a formula has a single quote before it.

    Arguments:
        rows: of `trials`, one per trial
        file: where it is written
        field: what an error calls it

    Raises InputError where the file exists or cannot be written.
    """
    for place, column in enumerate(rows.schema):
        if pa.types.is_string(column.type):
            inert = pc.replace_substring_regex(rows[column.name], _FORMULA, r"'\1")
            rows = rows.set_column(place, column, inert)
    sink = pa.BufferOutputStream()
    csv.write_csv(rows, sink)
    hand_out(file, sink.getvalue().to_pybytes(), field)
