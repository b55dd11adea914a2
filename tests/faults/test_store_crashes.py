"""S3: power failures. Whatever a crash leaves of all that was not fsynced, no acknowledged trial is lost or doubled.

The checker itself is checked: with one fsync, the no-replace or the hash taken out it finds a violation.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.crash_model import Logged, Op, Replacing, State, WithoutFileSync, WithoutFolderSync, after_crashes
from support.store_lab import content, record, trial, wanted

from vmi.results import parts
from vmi.results.compaction import compact, finish
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.spec.errors import StoreError

SEEDS = range(5)


class ViolationError(Exception):
    """An invariant that a state breaks."""


def told(files: Logged, root: Path) -> State:
    """A run that commits, compacts and commits again, and meets a damaged file under the name of its last part."""
    store = Store(root, "s", files)
    root.mkdir()
    (root / "s" / "trials").mkdir(parents=True)
    taken = last_part(root.parent / "aside")
    (root / "s" / "trials" / taken).write_bytes(b"damaged, and not ours to replace")
    initial = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    store.write_study({"version": 0})
    files.acknowledge(("study", 0))
    for seed in SEEDS[:4]:
        for trial_id in record(store, [seed]):
            files.acknowledge(("trial", trial_id))
        if seed in (1, 3):
            for table in TABLES[1:]:  # `trials` is damaged, so it is not compacted
                compact(store.folder_of(table), table, files)
            store.write_study({"version": seed})
            files.acknowledge(("study", seed))
    try:
        record(store, [SEEDS[4]])
    except StoreError:
        pass
    else:
        files.acknowledge(("trial", trial(SEEDS[4]).trial_id))
    return initial


def last_part(folder: Path) -> str:
    """The name that the last trial's part gets."""
    store = Store(folder, "s")
    record(store, [SEEDS[4]])
    (path,) = store.folder_of("trials").iterdir()
    return path.name


def check(root: Path, acknowledged: list[Any], expected: dict[str, Any]) -> None:
    """Raises ViolationError where the store that a crash left breaks a promise."""
    store = Store(root, "s")
    found = store.read("trials")
    kept = [d for d in found.damaged if d.path.read_bytes() == b"damaged, and not ours to replace"]
    if len(kept) != 1 or len(found.damaged) != 1:
        raise ViolationError(f"damaged: {found.damaged}")
    kept[0].path.rename(root / "aside")  # named; what the rest is like
    try:
        whole = content(store)
        study = store.read_study()
    except (StoreError, AssertionError, OSError) as error:
        raise ViolationError(str(error)) from error
    wanted_ids = {what for kind, what in acknowledged if kind == "trial"}
    if not wanted_ids <= set(whole):
        raise ViolationError(f"{len(wanted_ids - set(whole))} acknowledged trials are lost")
    if any(expected.get(trial_id) != row for trial_id, row in whole.items()):
        raise ViolationError("a trial is not what was committed")
    versions = [what for kind, what in acknowledged if kind == "study"]
    if versions and (study is None or study["version"] < versions[-1]):
        raise ViolationError(f"study.json is {study}, but {versions[-1]} was acknowledged")
    recovered_twice_is_once(store, whole)


def recovered_twice_is_once(store: Store, whole: dict[str, Any]) -> None:
    sizes = []
    for _ in range(2):
        for table in TABLES:
            finish(store.folder_of(table), table)
        sizes.append(sorted(path.name for path in store.folder.rglob("part-*")))
    if sizes[0] != sizes[1] or content(store) != whole:
        raise ViolationError("recovering twice is not recovering once")


def materialised(state: State, root: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for path, data in state.items():
        place = folder / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def crashes(files: Logged, tmp_path: Path, most: int) -> Iterator[tuple[int, list[Any], State, list[Op]]]:
    initial = told(files, tmp_path / "run")
    for count, acknowledged, state in after_crashes(files.log, initial, most, seed=7):
        yield count, acknowledged, state, files.log


def run(files: Logged, tmp_path: Path, most: int, every: int = 1) -> int:
    """Check (each n-th of) the states; how many. Raises ViolationError, saying after which operation."""
    expected, checked = wanted(SEEDS, tmp_path / "wanted"), 0
    for at, (count, acknowledged, state, log) in enumerate(crashes(files, tmp_path, most)):
        if at % every:
            continue
        folder = materialised(state, tmp_path / "run", tmp_path / "case")
        try:
            check(folder, acknowledged, expected)
        except ViolationError as error:
            raise ViolationError(
                f"after {count} operations, the last {log[count - 1][:2] if count else None}: {error}"
            ) from error
        checked += 1
    return checked


def test_some_power_failures_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert run(Logged(), tmp_path, most=2, every=6) > 15


@pytest.mark.faults
def test_no_power_failure_loses_or_doubles_what_was_acknowledged(tmp_path: Path) -> None:
    checked = run(Logged(), tmp_path, most=1 << 10)
    print(f"S3: {checked} states")
    assert checked > 100


@pytest.mark.faults
@pytest.mark.parametrize("mutation", [WithoutFileSync, WithoutFolderSync, Replacing], ids=lambda kind: kind.__name__)
def test_the_checker_finds_a_protocol_with_one_promise_taken_out(mutation: type[Logged], tmp_path: Path) -> None:
    with pytest.raises(ViolationError) as caught:
        run(mutation(), tmp_path, most=12)
    print(f"S3 {mutation.__name__}: {caught.value}")


class Same(str):
    """A name that equals every other: the comparison with the hash is taken out."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


@pytest.mark.parametrize("hashed", [True, False], ids=["with the hash", "without"])
def test_a_block_that_went_to_the_wrong_file_is_named_and_without_the_hash_it_is_not(
    hashed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation (d). A disk that wrote one part's bytes over another's: each checksum in the file is right."""
    store = Store(tmp_path / "run", "s")
    for seed in SEEDS:
        record(store, [seed])
    for table in TABLES:
        one, other = sorted(store.folder_of(table).iterdir())[:2]
        right = other.read_bytes()
        other.write_bytes(one.read_bytes())
        if not hashed:
            monkeypatch.setattr(parts, "part_name", lambda data: Same("part"))
        named = [d.path for d in store.read(table).damaged]
        assert (named == [other]) == hashed
        monkeypatch.undo()
        other.write_bytes(right)
