"""The stored trials to take along from the page itself, as Parquet; where they are too many, the folder's name."""

from __future__ import annotations

import base64
import io

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.data.labels import plain, plural
from analysis.data.study_results import StudyResults
from analysis.html.markup import Markup, element

# A browser refuses data: addresses above 2 MiB, and the page has 10 MB in all.
MAX_BYTES = 1_000_000
# More trials are never that small: they need not be encoded to know.
MAX_TRIALS = 5000


def trials_link(results: StudyResults) -> Markup:
    """A link with the bytes in it, which needs no request; or where the files are."""
    content = parquet(results) if len(results.trials) <= MAX_TRIALS else None
    if content is None or len(content) > MAX_BYTES:
        where = f"results/{results.name}/trials"
        return element(
            "p", f"Every trial with every column: the Parquet files in {where} (too large for this page).", "soft"
        )
    address = "data:application/vnd.apache.parquet;base64," + base64.b64encode(content).decode("ascii")
    said = (
        f"Every trial with every column, as Parquet ({plural(len(results.trials), 'trial')}, {len(content) // 1000} kB)"
    )
    return Markup(f'<p class="screen"><a download="trials.parquet" href="{address}">{plain(said)}</a></p>')


def parquet(results: StudyResults) -> bytes | None:
    """The trials as one Parquet file in the store's own schema; None where there are none."""
    if not results.trials or results.trials_schema is None:
        return None
    table = pa.Table.from_pylist(list(results.trials), schema=results.trials_schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=9)
    return buffer.getvalue()
