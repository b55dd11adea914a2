"""Column names, types and units are what readers of a store rely on."""

from __future__ import annotations

import pyarrow as pa
import pytest

from vmi.results.schema import (
    CURVE_METRICS,
    METRICS,
    SCHEMA_VERSION,
    TABLES,
    arrays_schema,
    block_columns,
    curves_schema,
    schema_of,
    trials_schema,
    version_of,
)
from vmi.spec import layout as latents
from vmi.spec.arrays import layout_shapes
from vmi.spec.config import FIELD_TYPES

LAYOUTS = ["n16+c10*", "n2*+n30", "n8+c10*+c2*"]
# fmt: off
PUBLIC = (
    "study", "trial_id", "suggestion_id", "seed", "outcome", "reason", "dataset", "layout", "preset",
    "network", "mi_weight", "entropy_weight", "kl_weight", "temperature", "learning_rate", "batch_size",
    "steps", "accuracy_majority", "accuracy_hungarian", "accuracy_train", "nmi", "ari", "distortion_nats",
    "rate_nats", "elbo_nats", "mi_encoder_nats", "mi_encoder_lower_nats", "mi_encoder_upper_nats",
    "mi_decoder_bound_nats", "mi_real_bound_nats", "mi_paper_nats", "category_entropy_nats",
    "rate_c10_nats", "categories_used", "train_seconds", "pack_id", "pack_size", "attempt", "device",
    "versions",
)
# fmt: on


def unit(field):
    return (field.metadata or {}).get(b"unit", b"").decode()


def test_the_public_columns_of_trials_are_there():
    assert [name for name in PUBLIC if name not in trials_schema(LAYOUTS).names] == []


@pytest.mark.parametrize("table", TABLES)
def test_every_table_names_its_version_and_no_column_twice(table):
    schema = schema_of(table, LAYOUTS, "digits")
    assert version_of(schema) == SCHEMA_VERSION
    assert len(set(schema.names)) == len(schema.names)
    assert schema.names[:2] == ["study", "trial_id"]


@pytest.mark.parametrize(("schema", "metrics"), [(trials_schema, METRICS), (curves_schema, CURVE_METRICS)])
def test_every_metric_has_its_unit_and_meaning_in_the_field(schema, metrics):
    for name, column in metrics.items():
        field = schema(LAYOUTS).field(name)
        assert unit(field) == column.unit != ""
        assert field.metadata[b"meaning"].decode() == column.meaning


@pytest.mark.parametrize("schema", [trials_schema(LAYOUTS), curves_schema(LAYOUTS)])
def test_names_and_units_agree(schema):
    for field in schema:
        assert field.name.endswith("_nats") == unit(field).startswith("nats"), field.name
        assert field.name.endswith("_seconds") == (unit(field) == "s"), field.name


def test_configuration_columns_have_the_types_of_the_configuration():
    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = trials_schema([])
    assert {name: schema.field(name).type for name in FIELD_TYPES} == {n: arrow[k] for n, k in FIELD_TYPES.items()}


def test_a_blocks_columns_are_there_once_however_many_layouts_have_it():
    names = trials_schema(["n16+c10*", "c10+n16*"]).names
    for block in latents.parse("n16+c10*").blocks:
        assert all(names.count(column) == 1 for column in block_columns(block))


def test_arrays_are_tensors_of_the_blocks_shapes():
    schema = arrays_schema(LAYOUTS, "digits")
    for text in LAYOUTS:
        for name, shape in layout_shapes(latents.parse(text), "digits").items():
            assert tuple(schema.field(name).type.shape) == shape


def test_a_table_that_is_not_ours_has_no_version():
    assert version_of(pa.schema([("a", pa.int64())])) is None
    assert version_of(pa.schema([("a", pa.int64())], metadata={"pandas": "{}"})) is None
