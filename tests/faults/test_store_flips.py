"""S7: bits that flip, in every kind of file that a study keeps: each is found, or changes nothing that is read."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.store_lab import content, record

from vmi.results.compaction import compact
from vmi.results.fsck import check
from vmi.results.parts import Part, decode
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.spec.errors import StoreError
from vmi.storage.checksum import IN_RESULTS, IN_STUDY, sealed, unsealed

SEALED: Mapping[str, Any] = {
    "name": "lambda", "planned": 50, "space": {"mi_weight": {"kind": "choice", "values": [0, 1, 2.5]}},
    "best": "λ 4", "updated": 1767225600.123456, "entries": [{"hardware": "CPU", "step": {"cpu": 1e-05}}],
}  # fmt: skip


def flipped(data: bytes, bit: int) -> bytes:
    broken = bytearray(data)
    broken[bit // 8] ^= 1 << bit % 8
    return bytes(broken)


def judged_part(path: Path) -> Callable[[bytes], bool]:
    """Whether a part with these bytes under its name is found to be damaged; never that it reads as something else."""

    def judge(data: bytes) -> bool:
        return not isinstance(decode(path.name, data), Part)

    return judge


def judged_sealed(data: bytes) -> bool:
    try:
        assert unsealed(data) == SEALED
    except ValueError:
        return True
    return False


def kinds(tmp_path: Path) -> dict[str, tuple[bytes, Callable[[bytes], bool]]]:
    """One file of every kind: its bytes, and what judges them."""
    store, found = Store(tmp_path, "s"), {}
    for seed in range(3):
        record(store, [seed])
    for kind in ("published", "compacted"):
        for table in TABLES:
            path = sorted(store.folder_of(table).iterdir())[0]
            found[f"{table}, {kind}"] = path.read_bytes(), judged_part(path)
            compact(store.folder_of(table), table)
    return found | {name: (sealed(SEALED), judged_sealed) for name in (*IN_STUDY, *IN_RESULTS)}


def flips(tmp_path: Path, count: int) -> tuple[int, int]:
    """So many random flips over all kinds: how many were found, and how many changed nothing."""
    chance, files = random.Random(11), kinds(tmp_path)
    found = 0
    for number in range(count):
        name = list(files)[number % len(files)]
        data, judge = files[name]
        found += judge(flipped(data, chance.randrange(8 * len(data))))
    return found, count - found


def test_of_some_bit_flips_none_is_silently_wrong(tmp_path: Path) -> None:
    found, harmless = flips(tmp_path, 1200)
    assert found > 1100 and harmless < 20


@pytest.mark.faults
def test_of_10_000_bit_flips_none_is_silently_wrong(tmp_path: Path) -> None:
    found, harmless = flips(tmp_path, 10_000)
    print(
        f"S7: 10,000 flips in {len(kinds(tmp_path / 'again'))} kinds of file: {found} found, {harmless} changed nothing"
    )
    assert found + harmless == 10_000 and harmless < 50


@pytest.mark.faults
def test_a_flip_in_a_file_of_a_whole_store_is_found_by_reader_and_fsck(tmp_path: Path) -> None:
    """The same through real files: the reader of that file and fsck both find it, and the file is kept."""
    store, chance = Store(tmp_path, "s"), random.Random(5)
    for seed in range(3):
        record(store, [seed])
    store.write_study({"name": "s", "planned": 3})
    kept = store.checkpoints / "pack"
    kept.mkdir(parents=True)
    (kept / f"1-{hashlib.sha256(b'w' * 500).hexdigest()[:32]}.pt").write_bytes(b"w" * 500)
    whole, count = content(store), 0
    for path in sorted(path for path in store.folder.rglob("*") if path.is_file()):
        sound = path.read_bytes()
        for _ in range(20):
            path.write_bytes(broken := flipped(sound, chance.randrange(8 * len(sound))))
            try:
                assert content(store) == whole and store.read_study() == {"name": "s", "planned": 3}
                harmless = path.parent == kept
            except StoreError as error:
                assert path.name in str(error)
                harmless = False
            assert [item.path for item in check(store.folder).damaged] == [path] or not harmless
            assert path.read_bytes() == broken
            count += 1
        path.write_bytes(sound)
    print(f"S7: {count} flips in files of one store")
    assert count == 20 * 11 and check(store.folder).sound
