"""The tables of a store: names, types, units and meaning of every column.

One study's parts share one schema: the fixed columns and, for each block that any of its layouts has, that block's
own columns. So every reader (pyarrow.dataset, DuckDB, Polars, pandas) takes a folder of parts as one table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from vmi import latents
from vmi.config import FIELD_TYPES
from vmi.datasets import DATASETS

SCHEMA_VERSION = 1
VERSION_KEY = b"vmi_schema_version"
TABLES = ("trials", "curves", "arrays")


class Column(NamedTuple):
    """One metric column: its unit and what it is."""

    unit: str
    meaning: str


# The final metrics of a trial, on the held-out split unless said otherwise; None where the layout cannot give it.
METRICS: Mapping[str, Column] = {
    "accuracy_majority": Column("1", "categorical code as a classifier; each category takes its majority class on the training split"),
    "accuracy_hungarian": Column("1", "the same with a one-to-one map of categories to classes"),
    "accuracy_train": Column("1", "accuracy_majority measured on the training split, as the paper does"),
    "nmi": Column("1", "normalised mutual information between assigned category and class"),
    "ari": Column("1", "adjusted Rand index between assigned category and class"),
    "accuracy_kmeans": Column("1", "reference: k-means with as many clusters on the pixels, mapped by majority"),
    "distortion_nats": Column("nats/image", "-E log p(x|z,c), hard categorical samples"),
    "rate_nats": Column("nats/image", "E KL(q(z,c|x) || p(z,c)), all blocks"),
    "elbo_nats": Column("nats/image", "-(distortion + rate)"),
    "mi_encoder_nats": Column("nats", "I_q(x;c) = H(m) - E H(q(c|x)), exact on the split; m = E q(c|x)"),
    "mi_encoder_lower_nats": Column("nats", "lower bound on I_q(x;z) of a Normal block (leave-in, at most ln N)"),
    "mi_encoder_upper_nats": Column("nats", "upper bound on I_q(x;z) of a Normal block (leave-one-out)"),
    "mi_decoder_bound_nats": Column("nats", "H(marginal) + E log Q(code|x_hat), hard codes: lower bound on I(code; x_hat), another MI"),
    "mi_real_bound_nats": Column("nats", "H(m) + E sum_c q(c|x) log Q(c|x) on the real x: lower bound on I_q(x;c)"),
    "mi_paper_nats": Column("nats", "H(prior) + E log Q(soft code|x_hat): what the paper plots; does not fall when the code collapses"),
    "category_entropy_nats": Column("nats", "H(m), entropy of the aggregate posterior of a categorical block"),
    "categories_used": Column("1", "categories to which at least one held-out image in a hundred is assigned"),
}  # fmt: skip
INTEGER_METRICS = frozenset({"categories_used"})

_CATEGORICAL = ("rate", "mi_encoder", "mi_decoder_bound", "mi_real_bound", "mi_paper", "category_entropy")
_NORMAL = ("rate", "mi_encoder_lower", "mi_encoder_upper", "mi_decoder_bound", "mi_paper")

# Means over the training minibatches since the last report.
CURVE_METRICS: Mapping[str, Column] = {
    "loss_nats": Column("nats/image", "the objective J"),
    "distortion_nats": Column("nats/image", "-E log p(x|z,c), relaxed categorical samples"),
    "rate_nats": Column("nats/image", "E KL(q || p), all blocks"),
    "elbo_nats": Column("nats/image", "-(distortion + rate)"),
    "temperature": Column("1", "Gumbel-softmax temperature tau at this step"),
}
_CURVE_BLOCK = ("rate", "mi_paper", "code_entropy")

ARRAY_NAMES = ("assignments", "probabilities", "traversal")
HISTOGRAM_BINS = 20
TRAVERSAL_ROWS = 8
TRAVERSAL_STEPS = 9
TRAVERSAL_DIMS = 10


def block_columns(block: latents.Block) -> tuple[str, ...]:
    """The columns of `trials` that carry a block's own name: "rate_c10_nats"."""
    return tuple(f"{q}_{block.name}_nats" for q in (_CATEGORICAL if block.is_categorical else _NORMAL))


def curve_block_columns(block: latents.Block) -> tuple[str, ...]:
    """The columns of `curves` that carry a block's own name; code_entropy: H of the minibatch's aggregate posterior."""
    return tuple(f"{q}_{block.name}_nats" for q in _CURVE_BLOCK)


def array_shapes(block: latents.Block, dataset: str) -> Mapping[str, tuple[int, ...]]:
    """Shape of each array of a block, by column name.

    assignments_c10    [C, classes]     held-out images per category and true class (int32)
    probabilities_c10  [C, bins]        histogram of q(c|x) over [0, 1] per category, held-out (int32)
    traversal_c10      [rows, C, H, W]  decoder means: an image's z with each category in turn (uint8)
    traversal_n16      [dims, steps, H, W]  one image's code with one dimension moved from -2 to 2 (uint8)
    """
    spec = DATASETS[dataset]
    if not block.is_categorical:
        return {f"traversal_{block.name}": (min(block.size, TRAVERSAL_DIMS), TRAVERSAL_STEPS, *spec.image_shape)}
    return {
        f"assignments_{block.name}": (block.size, spec.classes),
        f"probabilities_{block.name}": (block.size, HISTOGRAM_BINS),
        f"traversal_{block.name}": (TRAVERSAL_ROWS, block.size, *spec.image_shape),
    }


def trials_schema(layouts: Iterable[str]) -> pa.Schema:
    """One row per finished trial: who it is, its configuration, how it ended, its metrics, what it cost."""
    head = [_field(n, pa.string()) for n in ("study", "trial_id", "suggestion_id")]
    ended = [_field("outcome", pa.string(), "", "completed, pruned or failed"), _field("reason", pa.string())]
    ended += [_field("step", pa.int64(), "steps", "last step that was trained")]
    config = [_field(name, _ARROW[kind]) for name, kind in FIELD_TYPES.items()]
    config += [_field("data_fingerprint", pa.string())]
    metrics = [_field(n, pa.int64() if n in INTEGER_METRICS else pa.float64(), *c) for n, c in METRICS.items()]
    blocks = [_field(n, pa.float64(), "nats") for b in _all_blocks(layouts) for n in block_columns(b)]
    cost = [_field("train_seconds", pa.float64(), "s", "the trial's equal share of its pack's training time")]
    cost += [_field("pack_id", pa.string()), _field("pack_size", pa.int64()), _field("attempt", pa.int64())]
    cost += [_field("device", pa.string()), _field("versions", pa.string())]
    cost += [_field("finished_at", pa.timestamp("us", tz="UTC"))]
    return _versioned(head + ended + config + metrics + blocks + cost)


def curves_schema(layouts: Iterable[str]) -> pa.Schema:
    """One row per report of a trial."""
    head = [_field("study", pa.string()), _field("trial_id", pa.string())]
    head += [_field("attempt", pa.int64()), _field("step", pa.int64(), "steps")]
    metrics = [_field(n, pa.float64(), *c) for n, c in CURVE_METRICS.items()]
    blocks = [_field(n, pa.float64(), "nats") for b in _all_blocks(layouts) for n in curve_block_columns(b)]
    return _versioned(head + metrics + blocks)


def arrays_schema(layouts: Iterable[str], dataset: str) -> pa.Schema:
    """One row per completed trial; each array is a fixed-shape tensor, null where the layout has no such block."""
    head = [_field("study", pa.string()), _field("trial_id", pa.string()), _field("attempt", pa.int64())]
    tensors = []
    for block in _all_blocks(layouts):
        for name, shape in array_shapes(block, dataset).items():
            value = pa.uint8() if name.startswith("traversal") else pa.int32()
            tensors.append(_field(name, pa.fixed_shape_tensor(value, shape)))
    return _versioned(head + tensors)


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


def _versioned(columns: list[pa.Field]) -> pa.Schema:
    return pa.schema(columns, metadata={VERSION_KEY: json.dumps(SCHEMA_VERSION)})
