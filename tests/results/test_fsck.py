"""fsck: every kind of damage is named with file and reason; what is moved away is trained again, nothing is lost."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from support.commands import here
from support.store_lab import content, parts, record, three_commits, tree, trial

from vmi.cost.measurements import FILE as CALIBRATION
from vmi.results.compaction import compact
from vmi.results.fsck import check
from vmi.results.parts import part_name, publish
from vmi.results.quarantine import quarantine
from vmi.results.schema import SCHEMA_VERSION, TABLES, VERSION_KEY
from vmi.results.store import Store
from vmi.storage.checksum import IN_STUDY, sealed, unsealed
from vmi.storage.folder import Files


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three commits of two trials, study.json, a checkpoint and a model."""
    store = three_commits(tmp_path)
    kept = store.checkpoints / "pack-a"
    kept.mkdir(parents=True)
    (kept / f"12-{hashlib.sha256(b'weights').hexdigest()[:32]}.pt").write_bytes(b"weights")
    store.models.mkdir()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data", bytes(100))
    (store.models / "pack-a.pt").write_bytes(archive.getvalue())
    return store


def test_a_sound_study_is_sound_and_is_left_as_it_was(store: Store, tmp_path: Path) -> None:
    (store.folder / ".DS_Store").write_bytes(b"x")
    (store.folder_of("trials") / ".tmp-1").write_bytes(b"half")
    (store.folder_of("trials") / "notes.txt").write_bytes(b"mine")
    before = tree(store.root)
    said = here(tmp_path, "fsck", store.folder)
    assert said.code == 0 and f"{store.folder}: sound" in said.out
    for thing in ("3 trials parts", "1 JSON files", "2 checkpoints and models", "1 temporary files", "2 strays"):
        assert thing in said.out
    assert here(tmp_path, "fsck", store.root).code == 0
    assert here(tmp_path, "fsck", store.root, "--quarantine").code == 0
    assert tree(store.root) == before


def damage(store: Store, kind: str) -> Path:
    """Damage one file; which."""
    if kind in TABLES:
        path = sorted(store.folder_of(kind).glob("part-*"))[1]
    elif kind == "compacted":
        compact(store.folder_of("trials"), "trials")
        (path,) = store.folder_of("trials").iterdir()
    elif kind == "checkpoint":
        (path,) = store.checkpoints.glob("*/*")
    elif kind == "model":
        (path,) = store.models.iterdir()
    else:
        path = store.folder / kind
        path.write_bytes(sealed({"a": 1}))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(bytes(data))
    return path


KINDS = [*TABLES, "compacted", "checkpoint", "model", *(name for name in IN_STUDY if name != "driver.json")]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named_kept_moved_away_when_asked_and_then_trained_again(
    store: Store, tmp_path: Path, kind: str
) -> None:
    before = content(store)
    path = damage(store, kind)
    broken = tree(store.root)
    for _ in range(2):
        said = here(tmp_path, "fsck", store.folder)
        assert said.code == 3 and f"{path}: " in said.err and "--quarantine" in said.err
        assert tree(store.root) == broken
    said = here(tmp_path, "fsck", store.folder, "--quarantine")
    assert said.code == 0, said.err
    assert "moved into" in said.out and str(path.relative_to(store.folder)) in said.out
    kept = store.folder / "quarantine" / path.relative_to(store.folder)
    assert kept.read_bytes() == broken[str(path.relative_to(store.root))] and not path.exists()
    lost = {"compacted": 6, **dict.fromkeys(TABLES, 2)}.get(kind, 0)
    found = content(store)
    assert len(found) == 6 - lost and all(found[trial_id] == before[trial_id] for trial_id in found)
    again = [seed for seed in range(6) if trial(seed).trial_id not in found]
    record(store, again, store.next_attempt())
    assert set(content(store)) == set(before)
    assert all(content(store)[trial_id][2] == kept[2] for trial_id, kept in before.items())  # the arrays, to the byte
    assert here(tmp_path, "fsck", store.folder).code == 0


def test_a_completed_trial_without_arrays_or_curves_is_named(store: Store, tmp_path: Path) -> None:
    gone = sorted(store.folder_of("arrays").glob("part-*"))[0]
    gone.rename(tmp_path / "elsewhere")
    said = here(tmp_path, "fsck", store.folder)
    assert said.code == 3 and said.err.count("is completed, but its arrays are missing") == 2
    assert here(tmp_path, "fsck", store.folder, "--quarantine").code == 0
    assert len(content(store)) == 4


def test_rows_twice_and_replaced_parts_are_counted_and_no_damage(store: Store, tmp_path: Path) -> None:
    rows = store.read("curves").table
    publish(store.folder_of("curves"), rows.slice(0, 2))
    kept = {p: p.read_bytes() for p in store.folder_of("trials").iterdir()}
    compact(store.folder_of("trials"), "trials")
    for path, data in kept.items():
        path.write_bytes(data)
    said = here(tmp_path, "fsck", store.folder)
    assert said.code == 0 and "2 rows twice" in said.out and "3 replaced parts" in said.out
    assert here(tmp_path, "fsck", store.folder, "--quarantine").code == 0
    assert parts(store)["trials"] == 1  # an interrupted compaction is finished


def test_a_newer_part_says_the_version_and_is_never_moved(store: Store, tmp_path: Path) -> None:
    table = pa.table({"trial_id": ["x"]}).replace_schema_metadata({VERSION_KEY: json.dumps(SCHEMA_VERSION + 4)})
    path = publish(store.folder_of("curves"), table)
    for more in ((), ("--quarantine",)):
        said = here(tmp_path, "fsck", store.folder, *more)
        assert said.code == 3 and f"{path}: needs a program that reads schema version {SCHEMA_VERSION + 4}" in said.err
        assert path.exists()


def test_an_empty_part_a_foreign_part_and_a_file_for_a_folder_are_named(store: Store, tmp_path: Path) -> None:
    empty = store.folder_of("trials") / f"part-{'0' * 32}.parquet"
    empty.write_bytes(b"")
    foreign = store.folder_of("arrays") / part_name(b"PAR1")
    foreign.write_bytes(b"PAR1")
    folder = store.folder_of("curves") / f"part-{'1' * 32}.parquet"
    folder.mkdir()
    other = Store(store.root, "other")
    other.folder.mkdir()
    other.write_study({})
    other.folder_of("trials").write_bytes(b"mine")
    said = here(tmp_path, "fsck", store.root)
    assert said.code == 3
    for path in (empty, foreign, folder, other.folder_of("trials")):
        assert f"{path}: " in said.err
    assert here(tmp_path, "fsck", store.root, "--quarantine").code == 0
    assert b"mine" in tree(other.folder).values() and len(content(store)) == 6


def test_a_living_driver_is_not_disturbed(store: Store, tmp_path: Path) -> None:
    driver = store.folder / "driver.json"
    damage(store, "curves")
    driver.write_bytes(sealed({"host": "elsewhere", "pid": 7, "updated": time.time()}))
    before = tree(store.root)
    said = here(tmp_path, "fsck", store.folder, "--quarantine")
    assert said.code == 2 and "pid 7 on elsewhere" in said.err and tree(store.root) == before
    driver.write_bytes(sealed({"host": socket.gethostname(), "pid": os.getpid(), "born": "1", "updated": time.time()}))
    assert here(tmp_path, "fsck", store.folder, "--quarantine").code == 0 and not driver.exists()


def test_a_quarantine_that_was_cut_short_is_finished_by_the_next(store: Store) -> None:
    path = damage(store, "arrays")
    place = store.folder / "quarantine" / "arrays"
    place.mkdir(parents=True)
    (place / path.name).write_bytes(path.read_bytes())  # there, and not yet gone from here
    quarantine(store.folder)
    assert [p.name for p in place.iterdir()] == [path.name] and not path.exists()
    once = tree(store.folder)
    assert quarantine(store.folder) == [] and tree(store.folder) == once and check(store.folder).sound


def test_another_file_of_that_name_in_quarantine_is_kept(store: Store) -> None:
    path = damage(store, "trials")
    place = store.folder / "quarantine" / "trials"
    place.mkdir(parents=True)
    (place / path.name).write_bytes(b"older")
    data = path.read_bytes()
    quarantine(store.folder)
    assert sorted(p.read_bytes() for p in place.iterdir()) == sorted([b"older", data])


def test_a_damaged_calibration_beside_the_studies_is_named_and_moved(store: Store, tmp_path: Path) -> None:
    (store.root / CALIBRATION).write_text("{}")
    said = here(tmp_path, "fsck", store.root)
    assert said.code == 3 and f"{store.root / CALIBRATION}: no checksum" in said.err
    assert here(tmp_path, "fsck", store.root, "--quarantine").code == 0
    assert (store.root / "quarantine" / CALIBRATION).read_text() == "{}"


def test_what_is_no_study_is_refused(store: Store, tmp_path: Path) -> None:
    for command in ("fsck", "compact"):
        said = here(tmp_path, command, store.root / "ss")
        assert said.code == 2 and "did you mean 's'?" in said.err
        assert here(tmp_path, command, store.study_file).code == 2


def test_compact_says_what_it_did_and_a_damaged_study_is_left_alone(store: Store, tmp_path: Path) -> None:
    before = content(store)
    said = here(tmp_path, "compact", store.folder)
    assert said.code == 0 and "trials 3 -> 1, curves 3 -> 1, arrays 3 -> 1" in said.out
    assert content(store) == before
    path = damage(store, "curves") if parts(store)["curves"] > 1 else next(store.folder_of("curves").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    broken = tree(store.root)
    said = here(tmp_path, "compact", store.folder)
    assert said.code == 3 and path.name in said.err and tree(store.root) == broken
    other = Store(store.root, "t")  # after the damaged one
    for seed in (0, 1):
        record(other, [seed])
    said = here(tmp_path, "compact", store.root)
    assert said.code == 3 and path.name in said.err and parts(other)["trials"] == 1


def test_the_report_of_a_damaged_study_is_made_and_says_so(store: Store, tmp_path: Path) -> None:
    store.write_study({"name": "s", "metric": "accuracy_majority", "direction": "maximize", "space": {}, "planned": 6})
    assert here(tmp_path, "report", store.folder).code == 0
    damage(store, "prediction.json")
    said = here(tmp_path, "report", store.folder)
    assert said.code == 3 and "prediction.json" in said.err and (store.folder / "report.html").exists()
    assert unsealed(store.study_file.read_bytes())["planned"] == 6


class Away(Files):
    """A store that does not answer when it is asked for the first file of a kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def read(self, path: Path) -> bytes:
        if path.suffix == self.kind:
            raise TimeoutError(f"{path}: no answer")
        return super().read(path)


@pytest.mark.parametrize("kind", [".json", ".pt", ".parquet"])
def test_a_store_that_stays_away_is_not_damaged_and_nothing_is_moved(store: Store, kind: str) -> None:
    before = tree(store.root)
    for action in (check, quarantine):
        with pytest.raises(TimeoutError):
            action(store.folder, Away(kind))
    assert tree(store.root) == before


def test_of_a_compaction_that_was_cut_short_each_row_is_there_once_after_a_trial_was_withdrawn(store: Store) -> None:
    trials, curves = (store.folder_of(table) for table in ("trials", "curves"))
    old = {path: path.read_bytes() for path in trials.iterdir()}
    compact(trials, "trials", store.files)
    for path, data in old.items():
        path.write_bytes(data)  # as a kill leaves them, before they are removed
    (lost,) = [path for path in curves.iterdir() if trial(0).trial_id in pq.read_table(path)["trial_id"].to_pylist()]
    lost.unlink()
    quarantine(store.folder)
    left = [i for path in trials.iterdir() for i in pq.read_table(path)["trial_id"].to_pylist()]
    assert sorted(left) == sorted(trial(seed).trial_id for seed in (2, 3, 4, 5))
    assert check(store.folder).sound


def test_of_compactions_that_overlap_each_row_counts_once_after_a_trial_was_withdrawn(store: Store) -> None:
    trials, curves = (store.folder_of(table) for table in ("trials", "curves"))

    def has_lost(path: Path) -> bool:
        return trial(0).trial_id in pq.read_table(path)["trial_id"].to_pylist()

    # The part with the lost trial comes first: it is not the one that both compactions hold.
    old = {path: path.read_bytes() for path in sorted(trials.iterdir(), key=has_lost, reverse=True)}
    made: dict[Path, bytes] = {}
    for absent in list(old)[:2]:
        for path in (*old, *made):
            path.unlink(missing_ok=True)
        for path in old.keys() - {absent}:
            path.write_bytes(old[path])
        compact(trials, "trials", store.files)
        made |= {path: path.read_bytes() for path in trials.iterdir()}
    for path, data in made.items():
        path.write_bytes(data)
    (lost,) = filter(has_lost, curves.iterdir())
    rows = pq.read_table(lost)
    lost.unlink()
    publish(curves, rows.filter(pc.not_equal(rows["trial_id"], trial(0).trial_id)))
    quarantine(store.folder)
    assert len(made) == 2 and set(content(store)) == {trial(seed).trial_id for seed in range(1, 6)}
    assert check(store.folder).sound


def test_a_withdrawal_that_was_cut_short_leaves_each_row_once_and_the_part_in_quarantine(store: Store) -> None:
    class Stuck(Files):
        def unlink(self, path: Path) -> None:
            if path == part:
                raise OSError(f"{path}: cannot be removed")
            super().unlink(path)

    trials, lost = store.folder_of("trials"), trial(0).trial_id
    compact(trials, "trials", store.files)
    (part,) = trials.iterdir()
    data = part.read_bytes()
    for path in store.folder_of("curves").iterdir():
        if lost in pq.read_table(path)["trial_id"].to_pylist():
            path.unlink()
    with pytest.raises(OSError, match="cannot be removed"):
        quarantine(store.folder, Stuck())
    left = {trial(seed).trial_id for seed in (2, 3, 4, 5)}
    assert part.exists() and set(content(store)) == left
    quarantine(store.folder)
    assert not part.exists() and set(content(store)) == left and check(store.folder).sound
    assert (store.folder / "quarantine" / "trials" / part.name).read_bytes() == data
