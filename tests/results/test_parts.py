"""Parts: what was published is read back whole, and what was damaged is named, whatever byte it was."""

from __future__ import annotations

import errno
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmi.results.parts import SMALL, encode, part_name, publish, read
from vmi.results.schema import SCHEMA_VERSION, VERSION_KEY, curves_schema
from vmi.spec.errors import StoreError

SCHEMA = curves_schema(["n2+c3*"])


def rows(count, start=0, schema=SCHEMA):
    found = [{"study": "s", "trial_id": f"t{i}", "attempt": 1, "step": i} for i in range(start, start + count)]
    return pa.Table.from_pylist(found, schema=schema)


def ids(result):
    return sorted(result.table["trial_id"].to_pylist())


def test_parts_read_back_as_one_table(tmp_path):
    publish(tmp_path / "a" / "curves", rows(3))
    publish(tmp_path / "a" / "curves", rows(2, start=3))
    result = read(tmp_path / "a" / "curves", "curves")
    assert ids(result) == ["t0", "t1", "t2", "t3", "t4"]
    assert (result.stray, result.damaged) == (0, ())
    assert {field.name: field.type for field in result.table.schema} == {f.name: f.type for f in SCHEMA}
    assert result.table.schema.field("loss_nats").metadata[b"unit"] == b"nats/image"
    assert result.checked() is result.table


def test_an_absent_folder_is_an_empty_typed_table(tmp_path):
    result = read(tmp_path / "nothing", "trials")
    assert result.table.num_rows == 0 and result.damaged == () and result.stray == 0
    assert result.table.schema.field("mi_weight").type == pa.float64()
    assert not (tmp_path / "nothing").exists()


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "trials").write_text("")
    with pytest.raises(StoreError, match="trials: a file where the folder"):
        read(tmp_path / "trials", "trials")


def test_publishing_twice_is_publishing_once(tmp_path):
    assert publish(tmp_path, rows(3)) == publish(tmp_path, rows(3))
    assert len(list(tmp_path.iterdir())) == 1
    assert ids(read(tmp_path, "curves")) == ["t0", "t1", "t2"]


def test_a_damaged_file_is_not_replaced_by_publishing_again(tmp_path):
    path = publish(tmp_path, rows(3))
    path.write_bytes(b"other")
    with pytest.raises(StoreError, match=path.name):
        publish(tmp_path, rows(3))
    assert path.read_bytes() == b"other" and len(list(tmp_path.iterdir())) == 1


def test_the_name_is_the_hash_and_page_checksums_are_on(tmp_path):
    path = publish(tmp_path, rows(SMALL // 100))
    assert path.name == part_name(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(SCHEMA.get_field_index("step"))
    assert column.compression == "ZSTD"
    # The checksum is what a reader without our hash has: one flipped byte of a page's data must not pass.
    broken = bytearray(path.read_bytes())
    broken[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        pq.read_table(pa.BufferReader(bytes(broken)), page_checksum_verification=True, columns=["step"])


def test_a_flipped_byte_anywhere_is_found_and_named(tmp_path):
    path = publish(tmp_path, rows(20))
    publish(tmp_path, rows(1, start=50))
    sound = path.read_bytes()
    for position in {*range(0, len(sound), 17), *range(12), *range(len(sound) - 12, len(sound))}:
        path.write_bytes(sound[:position] + bytes([sound[position] ^ (1 << position % 8)]) + sound[position + 1 :])
        result = read(tmp_path, "curves")
        assert [damaged.path for damaged in result.damaged] == [path], position
        assert ids(result) == ["t50"]
    with pytest.raises(StoreError, match=path.name):
        result.checked()


@pytest.mark.parametrize(("keep", "reason"), [(0, "0 bytes"), (1, "hash"), (100, "hash"), (-1, "hash")])
def test_a_truncated_part_is_named_and_kept_and_the_rest_is_read(tmp_path, keep, reason):
    path = publish(tmp_path, rows(3))
    publish(tmp_path, rows(1, start=9))
    path.write_bytes(path.read_bytes()[:keep])
    result = read(tmp_path, "curves")
    assert [(d.path, reason in d.reason) for d in result.damaged] == [(path, True)]
    assert ids(result) == ["t9"] and path.exists()


@pytest.mark.parametrize("content", [b"<html>", b"PAR1", b"PAR1" + bytes(40) + b"PAR1", encode(pa.table({"a": [1]}))])
def test_what_is_no_part_of_ours_is_named_even_when_its_hash_is_right(tmp_path, content):
    (tmp_path / part_name(content)).write_bytes(content)
    publish(tmp_path, rows(1))
    result = read(tmp_path, "curves")
    assert [d.path.name for d in result.damaged] == [part_name(content)]
    assert ids(result) == ["t0"]


def test_a_part_from_a_newer_schema_names_the_version_needed(tmp_path):
    newer = rows(1).replace_schema_metadata({VERSION_KEY: json.dumps(SCHEMA_VERSION + 1)})
    path = publish(tmp_path, newer)
    with pytest.raises(StoreError, match=rf"{path.name}.*version {SCHEMA_VERSION + 1}"):
        read(tmp_path, "curves")


def test_stray_files_are_counted_and_ignored(tmp_path):
    publish(tmp_path, rows(2))
    for name in (".tmp-1f", ".DS_Store", "notes.txt", "part-1.parquet.bak"):
        (tmp_path / name).write_bytes(b"half")
    result = read(tmp_path, "curves")
    assert (result.stray, result.damaged) == (4, ()) and ids(result) == ["t0", "t1"]


def test_a_part_that_lacks_a_column_reads_as_null(tmp_path):
    publish(tmp_path, rows(1))
    publish(tmp_path, rows(1, start=1).drop_columns(["temperature", "rate_c3_nats"]))
    result = read(tmp_path, "curves")
    assert ids(result) == ["t0", "t1"] and result.table["temperature"].null_count == 2


def test_a_part_whose_columns_have_other_types_is_named(tmp_path):
    publish(tmp_path, rows(1))
    other = rows(1, start=1).set_column(3, "step", pa.array(["one"]))
    path = publish(tmp_path, other)
    result = read(tmp_path, "curves")
    assert [d.path for d in result.damaged] == [path] and ids(result) == ["t0"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=["ENOSPC", "EIO", "EROFS"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fault_at_any_operation_leaves_no_part_and_no_temporary(lab, tmp_path, error, when):
    reached = []
    for number in range(100):
        folder = tmp_path / str(number) / "curves"
        fault = lab.At(number, error)
        files = lab.Hooked(fault) if when == "before" else lab.Hooked(lambda name: None, fault)
        try:
            publish(folder, rows(1), files)
        except OSError as raised:
            reached.append(fault.name)
            assert raised.errno == error and "part-" in str(raised.filename)
            # A link that was made and reported as failed cannot be told from one that was not.
            lost = when == "after" and fault.name == "link"
            assert lost or not folder.exists() or list(folder.iterdir()) == [], fault.name
            publish(folder, rows(1))
            assert ids(read(folder, "curves")) == ["t0"]
        else:
            break
    assert fault.name is None and set(reached) == {
        *("make_folder", "create", "write", "sync", "close", "link", "unlink", "sync_folder")
    }


def test_an_undo_does_not_remove_what_another_writer_has_published(lab, tmp_path):
    path = publish(tmp_path, rows(1))
    operations = []
    publish(tmp_path, rows(1), lab.Hooked(operations.append))
    with pytest.raises(OSError, match="injected"):
        publish(tmp_path, rows(1), lab.Hooked(lab.At(len(operations) - 1, errno.EIO)))
    assert list(tmp_path.iterdir()) == [path]


def test_short_writes_are_continued(lab, tmp_path):
    class Short(lab.Hooked):
        def write(self, descriptor, data):
            return super().write(descriptor, data[:100])

    counted = []
    path = publish(tmp_path, rows(9), Short(counted.append))
    assert counted.count("write") == -(-path.stat().st_size // 100)
    assert read(tmp_path, "curves").table.num_rows == 9


def test_a_file_is_synced_before_it_is_named_and_its_folder_after(lab, tmp_path):
    operations = []
    publish(tmp_path / "new", rows(1), lab.Hooked(operations.append))
    assert operations == [
        *("make_folder", "sync_folder"),
        *("create", "write", "sync", "close", "link", "unlink", "sync_folder"),
    ]


VALUES = st.floats(allow_nan=False, allow_subnormal=False) | st.none()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=9), VALUES), max_size=9))
def test_any_table_reads_back_as_it_was(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("part")
    found = [{"trial_id": name, "attempt": 1, "step": 1, "loss_nats": value} for name, value in content]
    table = pa.Table.from_pylist(found, schema=SCHEMA)
    publish(folder, table)
    assert read(folder, "curves").checked().to_pylist() == table.to_pylist()
