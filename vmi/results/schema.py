"""The tables of a store: names, types, units and meaning of every column.

One study's parts share one schema: the fixed columns and, for each block that any of its layouts has, that
block's own columns. So every reader (pyarrow.dataset, DuckDB, Polars, pandas) takes a folder as one table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from vmi.spec import layout as latents
from vmi.spec.arrays import HISTOGRAM_BINS, is_picture, layout_shapes
from vmi.spec.config import FIELD_TYPES, FIELDS
from vmi.spec.metrics import CURVE_METRICS as CURVE_METRICS
from vmi.spec.metrics import JUDGED as JUDGED
from vmi.spec.metrics import METRICS as METRICS
from vmi.spec.metrics import Metric

SCHEMA_VERSION = 1
VERSION_KEY = b"vmi_schema_version"
TABLES = ("trials", "curves", "arrays")

# What the columns are that carry no note in a part.
MEANINGS: Mapping[str, str] = {
    "study": "name of the study",
    "trial_id": "hash of the configuration (without the preset's name) and of the data set; the key of every table",
    "suggestion_id": "the same without the seed: replicates share it",
    "outcome": "completed, pruned, stopped or failed",
    "reason": "why the trial failed or was pruned, or who stopped it",
    "data_fingerprint": "hash of pixels, labels and split",
    "pack_id": "the pack in which the trial was trained",
    "pack_size": "trials of that pack",
    "attempt": "which start of the study's run stored the row",
    "device": "cpu, or the name of the GPU",
    "versions": "of this program and of torch, as JSON",
    "finished_at": "when the trial ended",
    "step": "the step of the report; in trials the last one that was trained",
    "rate_nats": "E KL(q || p) of the block",
    "code_entropy_nats": "entropy of the block's code on the minibatch",
    "assignments": "held-out images per assigned category and true class",
    "probabilities": "histogram of q(c|x) over [0, 1], held-out images",
    "traversal": "decoder means as one dimension, or the category, is moved",
    "manipulation": "decoder means of several images' codes as one dimension is moved",
    "plane": "decoder means of one code as both dimensions are moved",
    "gallery": "the held-out images nearest to each category, where none has a label",
    "inputs": "the first held-out image of each of the first classes, then the first others",
    "reconstructions": "decoder means of these images' most probable codes",
}

_CATEGORICAL = ("rate", "mi_encoder", "mi_decoder_bound", "mi_real_bound", "mi_paper", "category_entropy", "mi_view")
_NORMAL = ("rate", "mi_encoder_lower", "mi_encoder_upper", "mi_decoder_bound", "mi_paper")

_CURVE_BLOCK = ("rate", "mi_paper", "code_entropy")


def block_columns(block: latents.Block) -> tuple[str, ...]:
    """The columns of `trials` that carry a block's own name: "rate_c10_nats"."""
    return tuple(f"{q}_{block.name}_nats" for q in (_CATEGORICAL if block.is_categorical else _NORMAL))


def curve_block_columns(block: latents.Block) -> tuple[str, ...]:
    """The columns of `curves` that carry a block's own name; code_entropy is H(m) of the minibatch."""
    return tuple(f"{q}_{block.name}_nats" for q in _CURVE_BLOCK)


def trials_schema(layouts: Iterable[str]) -> pa.Schema:
    """One row per finished trial: who it is, its configuration, how it ended, its metrics, what it cost."""
    head = [_field(n, pa.string()) for n in ("study", "trial_id", "suggestion_id")]
    ended = [_field("outcome", pa.string(), "", "completed, pruned, stopped or failed"), _field("reason", pa.string())]
    ended += [_field("step", pa.int64(), "steps", "last step that was trained")]
    config = [_field(n, _ARROW[kind], FIELDS[n].unit) for n, kind in FIELD_TYPES.items()]
    config += [_field("data_fingerprint", pa.string())]
    metrics = [_metric(n, m) for n, m in METRICS.items()]
    blocks = [_field(n, pa.float64(), "nats") for b in _all_blocks(layouts) for n in block_columns(b)]
    share = "the trial's share of the seconds that its pack's training steps took; no loading, evaluation or waiting"
    cost = [_field("train_seconds", pa.float64(), "s", share)]
    cost += [_field("pack_id", pa.string()), _field("pack_size", pa.int64()), _field("attempt", pa.int64())]
    cost += [_field("device", pa.string()), _field("versions", pa.string())]
    cost += [_field("finished_at", pa.timestamp("us", tz="UTC"))]
    return _versioned(head + ended + config + metrics + blocks + cost)


def curves_schema(layouts: Iterable[str]) -> pa.Schema:
    """One row per report of a trial."""
    head = [_field("study", pa.string()), _field("trial_id", pa.string())]
    head += [_field("attempt", pa.int64()), _field("step", pa.int64(), "steps")]
    metrics = [_metric(n, m) for n, m in CURVE_METRICS.items()]
    every = _all_blocks(layouts)
    blocks = [_field(n, pa.float64(), "nats") for b in every for n in curve_block_columns(b)]
    meaning = "histogram over [0, 1] of q(c|x) of 1,000 held-out images at most, all categories together"
    bins = pa.list_(pa.int32(), HISTOGRAM_BINS)
    histograms = [_field(f"probabilities_{b.name}", bins, "images", meaning) for b in every if b.is_categorical]
    return _versioned(head + metrics + blocks + histograms)


def arrays_schema(layouts: Iterable[str], dataset: str) -> pa.Schema:
    """One row per completed trial; each array is a fixed-shape tensor, null where the layout lacks it."""
    head = [_field("study", pa.string()), _field("trial_id", pa.string()), _field("attempt", pa.int64())]
    shapes = {n: shape for text in layouts for n, shape in layout_shapes(latents.parse(text), dataset).items()}
    kinds = {name: pa.uint8() if is_picture(name) else pa.int32() for name in shapes}
    return _versioned(head + [_field(n, pa.fixed_shape_tensor(kinds[n], shape)) for n, shape in shapes.items()])


def schema_of(table: str, layouts: Sequence[str], dataset: str) -> pa.Schema:
    """The schema of one of TABLES for a study with these layouts."""
    if table == "arrays":
        return arrays_schema(layouts, dataset)
    return trials_schema(layouts) if table == "trials" else curves_schema(layouts)


def version_of(schema: pa.Schema) -> int | None:
    """The schema version that a part was written with, None when it is not one of ours."""
    raw = (schema.metadata or {}).get(VERSION_KEY)
    return int(json.loads(raw)) if raw else None


_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def _all_blocks(layouts: Iterable[str]) -> tuple[latents.Block, ...]:
    """Every differently named block of the layouts, in order of appearance (name fixes kind and size)."""
    blocks = {b.name: b for text in layouts for b in latents.parse(text).blocks}
    return tuple(blocks.values())


def _field(name: str, kind: pa.DataType, unit: str = "", meaning: str = "") -> pa.Field:
    notes = {k: v for k, v in (("unit", unit), ("meaning", meaning)) if v}
    return pa.field(name, kind, metadata=notes or None)


def _metric(name: str, metric: Metric) -> pa.Field:
    return _field(name, pa.int64() if metric.integer else pa.float64(), metric.unit, metric.meaning)


def _versioned(columns: list[pa.Field]) -> pa.Schema:
    return pa.schema(columns, metadata={VERSION_KEY: json.dumps(SCHEMA_VERSION)})


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
