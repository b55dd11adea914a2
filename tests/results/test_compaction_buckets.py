"""Compaction, fsck, quarantine, drops in a bucket of each cloud: the real client, a real server, a spoiling proxy."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from support.children import COMPACT, Child
from support.object_servers import stored
from support.spoiling_proxy import FAULTS

from vmi.results.compaction import compact
from vmi.results.drop import drop, matching
from vmi.results.fsck import check
from vmi.results.quarantine import quarantine
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.storage.durable import put_replacing

TRIALS = 3


def filled(lab, root, name):
    """A study of three parts per table, and its rows."""
    store = Store(root, name)
    for seed in range(TRIALS):
        lab.record(store, {(trial := lab.trial(seed=seed)): lab.completed(trial)})
    return store, {table: rows_of(store, table) for table in TABLES}


def rows_of(store, table):
    return sorted(map(str, store.read(table).checked().to_pylist()))


def compacted(store):
    for table in TABLES:
        compact(store.folder_of(table), table, store.files)


def assert_compacted(proxy, store, before):
    assert {table: rows_of(store, table) for table in TABLES} == before
    assert sorted(key.split("/")[-2] for key in stored(proxy, store.folder) if f"/{store.study}/" in key) == sorted(
        TABLES
    )
    assert check(store.folder).sound


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
def test_a_compaction_of_which_a_request_fails_changes_no_row(lab, proxy, root, fault):
    for number in range(0, 200, 1 if fault == "lost" else 5):
        store, before = filled(lab, root, f"study{number}")
        proxy.arm(fault, number)
        compacted(store)
        hit = proxy.hit
        proxy.arm()
        assert_compacted(proxy, store, before)
        if hit is None:
            break
    assert number > 20


@pytest.mark.faults
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_compaction_that_is_killed_at_any_request_changes_no_row_and_is_finished_by_the_next(lab, proxy, root, after):
    for number in range(0, 200, 3):
        store, before = filled(lab, root, f"study{number}")
        with Child(COMPACT, root, store.study) as child:
            proxy.arm(*(() if after else ("drop", number)))

            def kill(at, child=child, number=number):
                if at == number:
                    child.kill()  # it is gone before its answer comes

            setattr(proxy, "after" if after else "before", kill)
            child.go()
            proxy.arm()
        assert {table: rows_of(store, table) for table in TABLES} == before
        compacted(store)
        assert_compacted(proxy, store, before)
        if not child.killed:
            break
    assert number > 20


def test_a_reader_beside_compactions_sees_every_row_once(lab, proxy, root):
    store, before = filled(lab, root, "live")
    ended = threading.Event()
    worker = threading.Thread(target=lambda: (compacted(store), ended.set()))
    worker.start()
    reads = 0
    while not ended.is_set() or reads < 3:
        assert rows_of(store, "trials") == before["trials"]
        reads += 1
    worker.join()
    assert_compacted(proxy, store, before)


def test_what_is_damaged_is_named_and_moved_into_quarantine(lab, proxy, root):
    store, _ = filled(lab, root, "hurt")
    store.write_study({"name": "hurt"})
    part = sorted(store.folder_of("trials").iterdir())[0]
    put_replacing(part.parent, part.name, part.read_bytes()[:-1])
    (store.models / "pack.pt").write_bytes(b"no archive")
    wrong = {path for path, _ in check(store.folder).damaged}
    assert wrong == {part, store.models / "pack.pt"}
    assert set(quarantine(store.folder)) == wrong
    assert check(store.folder).sound and len(store.finished()) == TRIALS - 1
    kept = {key.split("/quarantine/")[1] for key in stored(proxy, store.folder) if "/quarantine/" in key}
    assert kept == {f"trials/{part.name}", "models/pack.pt"}


def test_dropped_trials_are_gone_and_their_files_are_in_quarantine(lab, proxy, root):
    store, _ = filled(lab, root, "mistaken")
    store.write_study({"name": "mistaken"})
    old = {table: {path.name for path in store.folder_of(table).iterdir()} for table in TABLES}
    found = matching(store, "seed >= 1")
    ids, total = found.stored, found.finished
    assert (len(ids), total) == (TRIALS - 1, TRIALS)
    drop(store, ids, "seed >= 1", datetime.now(UTC))
    assert [row["seed"] for row in store.finished().values()] == [0] and check(store.folder).sound
    gone = {
        f"{table}/{name}"
        for table in TABLES
        for name in old[table] - {p.name for p in store.folder_of(table).iterdir()}
    }
    kept = {key.split("/quarantine/")[1] for key in stored(proxy, store.folder) if "/quarantine/" in key}
    assert kept == gone and len(gone) == len(TABLES) * (TRIALS - 1)
    compacted(store)
    assert [row["seed"] for row in store.finished().values()] == [0]
