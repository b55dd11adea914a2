"""The store: a trial is finished when its row is durable, is found again, and is never half there."""

from __future__ import annotations

import errno
import os

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from vmi.results.parts import publish
from vmi.results.schema import TABLES, trials_schema
from vmi.results.store import Store
from vmi.spec.errors import InputError, StoreError
from vmi.spec.trial import Failed, Pruned

KINDS = {"study": "str", "mi_weight": "float", "seed": "int", "accuracy_majority": "float", "reason": "str"}


@pytest.fixture
def two_parts(lab, store):
    """A store with two commits of trials, a temporary file and a file of the desktop's among them."""
    first, second = lab.trial(seed=0), lab.trial(layout="n2*+n30", mi_weight=0.5, seed=1)
    lab.record(store, {first: lab.completed(first)})
    lab.record(store, {second: Failed("loss became NaN at step 7", 7)})
    for name in (".tmp-1", ".DS_Store"):
        (store.folder_of("trials") / name).write_bytes(b"half")
    return store


def test_duckdb_reads_the_trials(two_parts):
    found = duckdb.sql(f"select * from '{two_parts.folder_of('trials')}/*.parquet' order by seed")
    kinds = dict(zip(found.columns, map(str, found.types), strict=True))
    wanted = {"str": "VARCHAR", "float": "DOUBLE", "int": "BIGINT"}
    assert {name: kinds[name] for name in KINDS} == {name: wanted[kind] for name, kind in KINDS.items()}
    assert found.select("seed, outcome, accuracy_majority").fetchall() == [
        (0, "completed", 0.75),
        (1, "failed", None),
    ]


def test_polars_reads_the_trials(two_parts):
    found = polars.read_parquet(two_parts.folder_of("trials") / "*.parquet").sort("seed")
    wanted = {"str": polars.String, "float": polars.Float64, "int": polars.Int64}
    assert {name: found.schema[name] for name in KINDS} == {name: wanted[kind] for name, kind in KINDS.items()}
    assert found["outcome"].to_list() == ["completed", "failed"]


def test_pandas_reads_the_trials(two_parts):
    found = pandas.read_parquet(two_parts.folder_of("trials")).sort_values("seed")
    wanted = {"str": "str", "float": "float64", "int": "int64"}
    assert {name: str(found.dtypes[name]) for name in KINDS} == {name: wanted[kind] for name, kind in KINDS.items()}
    assert list(found["outcome"]) == ["completed", "failed"]


def test_pyarrow_reads_every_table(two_parts):
    found = pyarrow.dataset.dataset(two_parts.folder_of("trials")).to_table().sort_by("seed")
    assert found.schema.equals(trials_schema(["n16+c10*", "n2*+n30"]))
    assert found["mi_weight"].to_pylist() == [4.0, 0.5]
    assert pyarrow.dataset.dataset(two_parts.folder_of("curves")).count_rows() == 6
    assert pyarrow.dataset.dataset(two_parts.folder_of("arrays")).count_rows() == 1


def test_completed_pruned_and_failed_trials_are_finished(lab, store):
    done, cut, broken = (lab.trial(seed=seed) for seed in range(3))
    lab.record(store, {done: lab.completed(done), cut: Pruned(5, {"rate_nats": 1.0}), broken: Failed("why", 3)})
    found = store.finished()
    assert {row["seed"]: row["outcome"] for row in found.values()} == {
        0: "completed",
        1: "pruned",
        2: "failed",
    }
    assert found[done.trial_id]["study"] == "lambda" and found[done.trial_id]["finished_at"] == lab.now
    assert Store(store.root, "other").finished() == {}


def test_of_two_rows_of_a_trial_the_first_completed_attempt_counts(lab, store):
    trial = lab.trial()
    lab.record(store, {trial: lab.completed(trial, nmi=0.3)}, attempt=3)
    lab.record(store, {trial: lab.completed(trial, nmi=0.2)}, attempt=2)
    lab.record(store, {trial: Failed("worker lost", 3)}, attempt=1)
    assert store.finished()[trial.trial_id]["nmi"] == 0.2
    assert store.next_attempt() == 4


def test_a_damaged_part_stops_finished_and_names_the_file(lab, store):
    trial = lab.trial()
    lab.record(store, {trial: lab.completed(trial)})
    path = next(store.folder_of("trials").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=path.name):
        store.finished()


def labelled(trial_ids, preset="custom"):
    return dict.fromkeys(trial_ids, preset)


def test_adopted_trials_bear_this_study_s_preset(lab, store):
    trial = lab.trial()
    lab.record(Store(store.root, "before"), {trial: lab.completed(trial)})
    store.adopt({trial.trial_id: "corrected"}, ["n16+c10*"], "digits")
    assert store.finished()[trial.trial_id]["preset"] == "corrected"


def test_adopted_trials_are_copied_with_curves_and_arrays(lab, store):
    here, both, other, broken = (lab.trial(seed=seed) for seed in range(4))
    elsewhere = Store(store.root, "before")
    lab.record(elsewhere, {trial: lab.completed(trial) for trial in (both, other)} | {broken: Failed("x", 1)})
    lab.record(store, {here: lab.completed(here)})
    wanted = [trial.trial_id for trial in (here, both, broken)]
    assert store.adopt(labelled(wanted), ["n16+c10*", "n2*+n30"], "digits") == [both.trial_id]
    rows = store.finished()
    assert set(rows) == {here.trial_id, both.trial_id}
    there = elsewhere.finished()[both.trial_id]
    assert rows[both.trial_id] == there | {"study": "lambda"}
    curves = store.read("curves").table.filter(pa.compute.field("trial_id") == both.trial_id)
    assert curves["step"].to_pylist() == [10, 20, 30] and set(curves["study"].to_pylist()) == {"lambda"}
    assert store.read("arrays").table.num_rows == 2
    assert all(len(list(store.folder_of(table).iterdir())) == 2 for table in TABLES)
    assert store.adopt(labelled(wanted), ["n16+c10*", "n2*+n30"], "digits") == []


def test_adopted_rows_have_this_studys_columns(lab, store):
    trial = lab.trial()
    lab.record(Store(store.root, "before"), {trial: lab.completed(trial)})
    store.adopt({trial.trial_id: "custom"}, ["c10*+n16", "n5"], "digits")
    assert store.read("trials").table.schema.equals(trials_schema(["c10*+n16", "n5"]))
    arrays = store.read("arrays").table
    assert arrays["traversal_n5"].null_count == 1
    tensor = arrays["assignments_c10"].combine_chunks().to_numpy_ndarray()
    assert (tensor[0] == lab.arrays("n16+c10*")["assignments_c10"]).all()


def test_arrays_of_before_a_column_was_added_read_beside_those_that_have_it(lab, store):
    old, new = lab.trial(), lab.trial(seed=1)
    for trial in (old, new):
        lab.record(store, {trial: lab.completed(trial)})
    folder = store.folder_of("arrays")
    before = next(p for p in folder.iterdir() if old.trial_id in pq.read_table(p)["trial_id"].to_pylist())
    added = [n for n in pq.read_schema(before).names if n.startswith(("inputs", "reconstructions", "manipulation"))]
    table = pq.read_table(before).drop_columns(added)
    before.unlink()
    publish(folder, table)
    arrays = {row["trial_id"]: row for row in store.read("arrays").checked().to_pylist()}
    assert added and all(arrays[old.trial_id][name] is None for name in added)
    assert arrays[old.trial_id]["traversal_c10"] is not None and arrays[new.trial_id]["inputs"] is not None


def test_nothing_is_adopted_from_a_damaged_study_and_the_next_one_is_asked(lab, store):
    trial = lab.trial()
    for name in ("a", "b"):
        lab.record(Store(store.root, name), {trial: lab.completed(trial)})
    next((store.root / "a" / "curves").iterdir()).write_bytes(b"")
    assert store.adopt({trial.trial_id: "custom"}, ["n16+c10*"], "digits") == [trial.trial_id]
    (store.root / "notes.txt").write_text("")
    next((store.root / "b" / "trials").iterdir()).write_bytes(b"")
    assert Store(store.root, "c").adopt({trial.trial_id: "custom"}, ["n16+c10*"], "digits") == [trial.trial_id]
    assert Store(store.root / "absent", "c").adopt({trial.trial_id: "custom"}, ["n16+c10*"], "digits") == []


def test_the_study_file_is_replaced_whole_and_read_back(store):
    assert store.read_study() is None
    store.write_study({"b": 1, "a": ["λ"]})
    store.write_study({"b": 2, "a": ["λ"]})
    assert store.study_file.read_text().startswith('{\n  "a": [\n    "λ"\n  ],\n  "b": 2,\n  "sha256": "')
    assert store.read_study() == {"a": ["λ"], "b": 2}
    assert [path.name for path in store.folder.iterdir()] == ["study.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'{"a": 1}}', b'{"a": 1}', b"[" * 100_000])
def test_a_damaged_study_file_is_named_and_kept(store, content):
    store.write_study({})
    store.study_file.write_bytes(content)
    with pytest.raises(StoreError, match=r"study\.json"):
        store.read_study()
    assert store.study_file.read_bytes() == content


@pytest.mark.parametrize("operation", ["create", "write", "sync", "close", "replace"])
def test_a_fault_while_writing_the_study_file_keeps_the_old_one(lab, store, operation):
    store.write_study({"a": 1})

    def fail(name):
        if name == operation:
            raise OSError(errno.ENOSPC, "injected")

    with pytest.raises(OSError, match="injected"):
        Store(store.root, store.study, lab.Hooked(fail)).write_study({"a": 2})
    assert store.read_study() == {"a": 1} and [path.name for path in store.folder.iterdir()] == ["study.json"]


def test_a_writable_folder_is_left_as_it_was(lab, store, tmp_path):
    store.check_writable()
    assert lab.tree(tmp_path) == {}
    store.write_study({})
    before = lab.tree(tmp_path)
    store.check_writable()
    assert lab.tree(tmp_path) == before


@pytest.mark.parametrize("place", ["results", "results/lambda", "results/lambda/curves"])
@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_in_place_of_a_folder_is_refused_and_nothing_is_written(lab, tmp_path, place, below):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("mine")
    before = lab.tree(tmp_path)
    root = tmp_path / "results" / below if place == "results" else tmp_path / "results"
    with pytest.raises(InputError) as caught:
        Store(root, "lambda").check_writable()
    assert [(p.field, p.value) for p in caught.value.problems] == [("results", str(root))]
    assert lab.tree(tmp_path) == before


@pytest.mark.parametrize("error", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_folder_that_cannot_be_written_to_is_refused(lab, store, tmp_path, error):
    def fail(name):
        if name == ("write" if error == errno.ENOSPC else "create"):
            raise OSError(error, os.strerror(error))

    with pytest.raises(InputError, match=os.strerror(error)):
        Store(store.root, "lambda", lab.Hooked(fail)).check_writable()
    assert lab.tree(tmp_path) == {}
