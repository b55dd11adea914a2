"""Compaction: the same rows in fewer files, whatever was in them, and each row once whatever is left behind."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from support.store_lab import Seam, content, parts, record, started, tree

from vmi.results.compaction import compact, finish
from vmi.results.lineage import held_in, noted, shares, strength
from vmi.results.parts import part_name, publish, read
from vmi.results.schema import SCHEMA_VERSION, TABLES, VERSION_KEY, curves_schema, trials_schema
from vmi.results.store import Store
from vmi.spec.errors import StoreError
from vmi.storage.durable import Files

SCHEMA = curves_schema(["n2+c3*"])


def compacted(store: Store, limit: int = 1 << 28) -> None:
    for table in TABLES:
        compact(store.folder_of(table), table, store.files, limit)


def rows(count, start=0, **more):
    found = [{"trial_id": f"t{i}", "attempt": 1, "step": i, **more} for i in range(start, start + count)]
    return pa.Table.from_pylist(found, schema=SCHEMA)


def sorted_rows(table: pa.Table) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in table.to_pylist())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path, "s")
    for seed in range(5):
        record(store, [seed])
    return store


def test_rows_are_what_they_were_in_one_file_per_table(store: Store) -> None:
    before, tables = content(store), {table: sorted_rows(store.read(table).table) for table in TABLES}
    compacted(store)
    assert parts(store) == dict.fromkeys(TABLES, 1)
    assert content(store) == before
    assert {table: sorted_rows(store.read(table).table) for table in TABLES} == tables
    whole = tree(store.folder)
    compacted(store)
    assert tree(store.folder) == whole


def test_values_of_every_kind_keep_their_bits(tmp_path: Path) -> None:
    nan = np.frombuffer(np.int64(0x7FF8000000000123).tobytes(), np.float64)[0]
    odd = [nan, -0.0, math.inf, 5e-324, None, 0.1]
    for i, value in enumerate(odd):
        bins = None if i % 2 else [i] * 20
        publish(tmp_path, rows(1, i, loss_nats=value, probabilities_c3=bins, study="\x00λ" if i % 2 else None))
    compact(tmp_path, "curves")
    (path,) = tmp_path.glob("part-*")
    table = read(tmp_path, "curves").checked().sort_by("step")
    bits = [None if v is None else np.float64(v).tobytes() for v in table["loss_nats"].to_pylist()]
    assert bits == [None if v is None else np.float64(v).tobytes() for v in odd]
    assert table["probabilities_c3"].to_pylist() == [None if i % 2 else [i] * 20 for i in range(6)]
    assert table["study"].to_pylist() == [None, "\x00λ"] * 3
    assert pq.read_schema(path).metadata[VERSION_KEY] == json.dumps(SCHEMA_VERSION).encode()


def test_tensors_that_are_null_and_columns_that_came_later_stay_so(lab, tmp_path: Path) -> None:
    store = Store(tmp_path, "s")
    both, bare = lab.trial(), lab.trial(layout="n2*+n30", seed=1)
    for one in (both, bare):
        lab.record(store, {one: lab.completed(one)})
    folder = store.folder_of("arrays")
    for path in list(folder.iterdir()):
        if both.trial_id in pq.read_table(path)["trial_id"].to_pylist():
            old = pq.read_table(path).drop_columns(["inputs", "reconstructions"])
            path.unlink()
            publish(folder, old)
    before = {row["trial_id"]: row for row in store.read("arrays").checked().to_pylist()}
    kinds = store.read("arrays").table.schema
    compacted(store)
    found = store.read("arrays").checked()
    assert {row["trial_id"]: row for row in found.to_pylist()} == before and parts(store)["arrays"] == 1
    assert {f.name: f.type for f in found.schema} == {f.name: f.type for f in kinds}
    assert before[both.trial_id]["inputs"] is None and before[bare.trial_id]["assignments_c10"] is None


def test_a_field_that_was_added_since_stays_null_in_the_file_and_is_filled_at_reading(tmp_path: Path) -> None:
    schema = trials_schema(["n1"])
    for i in range(2):
        table = pa.Table.from_pylist([{"trial_id": f"t{i}", "outcome": "failed", "attempt": 1}], schema=schema)
        publish(tmp_path, table.drop_columns(["factor_weight", "view_strength"]) if i else table)
    compact(tmp_path, "trials")
    (path,) = tmp_path.glob("part-*")
    assert pq.read_table(path)["factor_weight"].null_count == 2
    assert read(tmp_path, "trials").checked()["factor_weight"].to_pylist() == [0.0, 0.0]


def test_large_parts_are_bounded_and_left_alone(tmp_path: Path) -> None:
    for i in range(12):
        publish(tmp_path, rows(50, 50 * i))
    size = pq.ParquetFile(next(tmp_path.glob("part-*"))).metadata.row_group(0).total_byte_size
    done = compact(tmp_path, "curves", limit=5 * size)
    assert (done.before, done.after) == (12, 3)
    kept = tree(tmp_path)
    assert compact(tmp_path, "curves", limit=5 * size).after == 3 and set(tree(tmp_path)) & set(kept)
    assert read(tmp_path, "curves").checked().num_rows == 600


def left_both(folder: Path) -> tuple[dict[str, bytes], set[str]]:
    """A folder as a compaction leaves it that was killed before it removed anything: everything, and the new names."""
    before = tree(folder)
    compact(folder, "curves")
    new = set(tree(folder)) - set(before)
    for name, data in before.items():
        (folder / name).write_bytes(data)
    return tree(folder), new


def test_an_interrupted_compaction_counts_rows_once_and_is_finished_by_the_next(tmp_path: Path) -> None:
    for i in range(4):
        publish(tmp_path, rows(3, 3 * i))
    wanted = sorted_rows(read(tmp_path, "curves").table)
    _, new = left_both(tmp_path)
    found = read(tmp_path, "curves")
    assert sorted_rows(found.checked()) == wanted and found.replaced == 4
    assert pyarrow.dataset.dataset([str(p) for p in tmp_path.glob("part-*")]).count_rows() == 24  # other tools
    finish(tmp_path, "curves")
    once = tree(tmp_path)
    assert set(once) == new and sorted_rows(read(tmp_path, "curves").checked()) == wanted
    finish(tmp_path, "curves")
    assert tree(tmp_path) == once


def test_where_the_compacted_part_is_damaged_the_old_ones_count_and_it_is_named(tmp_path: Path) -> None:
    for i in range(4):
        publish(tmp_path, rows(3, 3 * i))
    wanted = sorted_rows(read(tmp_path, "curves").table)
    _, (new,) = left_both(tmp_path)
    (tmp_path / new).write_bytes((tmp_path / new).read_bytes()[:-9])
    whole = tree(tmp_path)
    found = read(tmp_path, "curves")
    assert [d.path.name for d in found.damaged] == [new] and sorted_rows(found.table) == wanted
    for action in (finish, compact):
        with pytest.raises(StoreError, match=new):
            action(tmp_path, "curves")
    assert tree(tmp_path) == whole


def test_compactions_that_overlap_count_each_row_once_and_the_next_one_sorts_it_out(tmp_path: Path) -> None:
    for i in range(3):
        publish(tmp_path / "a", rows(2, 2 * i))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    for pair in (names[:2], names[1:]):  # two compactions, each of which saw another listing
        other = tmp_path / "-".join(pair)
        other.mkdir()
        for name in pair:
            shutil.copy(tmp_path / "a" / name, other)
        compact(other, "curves")
    for path in tmp_path.glob("part-*/part-*"):
        shutil.copy(path, tmp_path / "a")
    wanted = [f"t{i}" for i in range(6)]
    assert len(list((tmp_path / "a").iterdir())) == 5
    assert sorted(read(tmp_path / "a", "curves").checked()["trial_id"].to_pylist()) == wanted
    for name in names:  # as each of the two has removed what it replaced
        (tmp_path / "a" / name).unlink()
    assert sorted(read(tmp_path / "a", "curves").checked()["trial_id"].to_pylist()) == wanted
    compact(tmp_path / "a", "curves")
    assert len(list((tmp_path / "a").iterdir())) == 1
    assert sorted(read(tmp_path / "a", "curves").checked()["trial_id"].to_pylist()) == wanted


def test_a_part_that_is_published_again_after_it_was_compacted_counts_once(tmp_path: Path) -> None:
    for i in range(3):
        publish(tmp_path, rows(2, 2 * i))
    compact(tmp_path, "curves")
    publish(tmp_path, rows(2))  # a commit that failed is made again
    assert sorted(read(tmp_path, "curves").checked()["trial_id"].to_pylist()) == [f"t{i}" for i in range(6)]
    compact(tmp_path, "curves")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_compaction_of_compactions_holds_what_they_held(tmp_path: Path) -> None:
    for i in range(6):
        publish(tmp_path, rows(1, i))
        compact(tmp_path, "curves")
    (path,) = tmp_path.iterdir()
    assert sorted(pq.read_table(path)["step"].to_pylist()) == list(range(6))
    meta = pq.ParquetFile(path).metadata
    assert len(held_in(meta.metadata, path.name, meta.num_rows)) == 6


def test_two_compactions_at_once_are_harmless(store: Store) -> None:
    before = content(store)
    children = [started(lambda _: compacted(store))[0] for _ in range(3)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert content(store) == before
    compacted(store)
    assert parts(store) == dict.fromkeys(TABLES, 1) and content(store) == before


class Vanishing(Files):
    """A reader's view while a compaction runs: between its listing and its reading the old parts go."""

    def __init__(self, store: Store) -> None:
        self.store, self.done = store, False

    def read(self, path: Path) -> bytes:
        if not self.done:
            self.done = True
            compacted(self.store)
        return super().read(path)


def test_a_reader_whose_files_vanish_reads_again(store: Store) -> None:
    before = content(store)
    assert content(Store(store.root, "s", Vanishing(store))) == before


class Torn(Files):
    """A listing that a compaction ran through: it shows neither the old parts nor the new one."""

    def __init__(self) -> None:
        self.first = True

    def names(self, path: Path) -> list[str]:
        if self.first:
            self.first = False
            hidden = super().names(path)
            compact(path, "curves")
            return [name for name in hidden if name.startswith("part-0")]
        return super().names(path)


def test_a_listing_that_ran_through_a_compaction_is_made_again(tmp_path: Path) -> None:
    for i in range(4):
        publish(tmp_path, rows(1, i))
    assert sorted(read(tmp_path, "curves", Torn()).checked()["step"].to_pylist()) == [0, 1, 2, 3]


def test_a_name_without_a_file_is_named_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    publish(tmp_path, rows(1))
    (tmp_path / f"part-{'0' * 32}.parquet").symlink_to(tmp_path / "nowhere")
    found = read(tmp_path, "curves")
    assert found.table.num_rows == 1 and "there is no such file" in found.damaged[0].reason


@pytest.mark.parametrize("note", ["", "x", "a" * 32 + ":2", "a" * 32 + ":1," + "a" * 32 + ":1", "ä" * 32 + ":2"])
def test_a_list_of_parts_that_does_not_fit_is_damage(tmp_path: Path, note: str) -> None:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCHEMA) as writer:
        writer.write_table(rows(2))
        writer.add_key_value_metadata({"vmi_parts": note.replace(":2", ":3")})
    data = sink.getvalue().to_pybytes()
    (tmp_path / part_name(data)).write_bytes(data)
    (found,) = read(tmp_path, "curves").damaged
    assert "list of compacted parts" in found.reason


def test_what_is_relied_on_is_made_durable_before_anything_is_removed(tmp_path: Path) -> None:
    for i in range(3):
        publish(tmp_path, rows(1, i))
    operations: list[str] = []
    compact(tmp_path, "curves", Seam(before=lambda name, given: operations.append(name)))
    assert operations == [
        *("create", "write", "sync", "close", "link", "unlink", "sync_folder"),
        *("unlink", "unlink", "unlink", "sync_folder"),
    ]
    publish(tmp_path, rows(1, 1))
    operations.clear()
    finish(tmp_path, "curves", Seam(before=lambda name, given: operations.append(name)))
    assert operations == [
        *("create", "write", "sync", "close", "replace", "sync_folder", "unlink", "sync_folder"),
    ]


def test_the_strongest_file_of_a_part_is_never_spare() -> None:
    a, b, c = (f"part-{letter * 32}.parquet" for letter in "abc")
    files = {
        a: ((a, 1),), b: ((b, 2),),
        "p1": ((a, 1), (b, 2)), "p2": ((b, 2), (c, 3)), "p3": ((a, 1), (b, 2), (c, 3)),
    }  # fmt: skip
    assert {name for name, slices in shares(files).items() if slices} == {"p3"}
    del files["p3"]
    assert {name: slices for name, slices in shares(files).items() if slices} == {"p1": ((0, 3),), "p2": ((2, 3),)}
    assert strength("p1", files["p1"]) > strength("p2", files["p2"])
    assert held_in({b"vmi_parts": noted(files["p1"])}, "p1", 3) == files["p1"]
