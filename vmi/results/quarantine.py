"""Moving what is damaged out of a study's way, so that its next run trains again what is missing.

Nothing is deleted and nothing is guessed: each file goes to the same place below quarantine/. A completed trial whose
curves or arrays are gone loses its row, as a trial with a row is never trained again: the other rows of its part are
published as a part that holds what it held, and the part that had them all goes into quarantine too.

A quarantine that was cut short is finished by the next one. Nobody else may write meanwhile.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from vmi.results.compaction import encoded, finish, left
from vmi.results.fsck import QUARANTINE, Incomplete, check
from vmi.results.parts import Part, is_plain, part_name, read_part
from vmi.results.rows import attempts
from vmi.results.schema import TABLES, schema_of
from vmi.spec.errors import StoreError
from vmi.storage.durable import LOCAL, Files, make_folders, named, put_exclusive, put_new, put_replacing
from vmi.storage.paths import AnyPath, below

# A trial that loses one row may have another one that counts then, and lacks something too.
_ROUNDS = 100


def quarantine(folder: AnyPath, files: Files = LOCAL) -> list[AnyPath]:
    """Move every damaged file of a study below its quarantine/, withdraw trials that are not whole; what was moved.

    Finishes an interrupted compaction. Files of a newer version stay. Raises OSError; then it may be called again.
    """
    moved: list[AnyPath] = []
    for _ in range(_ROUNDS):
        found = check(folder, files)
        wrong = [path for path, _ in found.damaged if path.name != "driver.json"]  # its lock is the caller's
        move(folder, wrong, files)
        moved += wrong
        if not wrong:
            if found.incomplete and not found.newer:
                # Else what a compaction has replaced would count again once the part that holds it is withdrawn.
                _finish(folder, files)
                found = check(folder, files)
            moved += _withdrawn(folder, found.incomplete, files)
            if not found.incomplete:
                break
    if not found.newer:
        _finish(folder, files)
    return moved


def _finish(folder: AnyPath, files: Files) -> None:
    for table in TABLES:
        finish(folder / table, table, files)


def move(folder: AnyPath, paths: Iterable[AnyPath], files: Files = LOCAL) -> None:
    """Move files of a folder to the same places below its quarantine/: durable there before they go here."""
    for path in paths:
        place = folder / QUARANTINE / below(folder, path.parent)
        try:
            data = files.read(path)
        except FileNotFoundError:
            continue
        except (ConnectionError, TimeoutError):  # a store that stays away is not damaged
            raise
        except OSError:
            data = None
        if data is None or path.name in TABLES:  # quarantine/trials is to be a folder
            _renamed(path, place, files)
            continue
        put_away(folder, path, data, files)
        with named(path):
            files.unlink(path)
            files.sync_folder(path.parent)


def put_away(folder: AnyPath, path: AnyPath, data: bytes, files: Files = LOCAL) -> None:
    """Make a file's bytes durable at the same place below the folder's quarantine/; the file itself stays."""
    place = folder / QUARANTINE / below(folder, path.parent)
    if not put_exclusive(place, path.name, data, files):
        # One that was cut short has put it there, durably or not; or it is another file of this name.
        same = files.read(place / path.name) == data
        put_replacing(place, path.name if same else f"{path.name}.{uuid.uuid4().hex}", data, files)
    with named(path):
        files.sync_folder(place)


def _renamed(path: AnyPath, place: AnyPath, files: Files) -> None:
    """Move what cannot be read (or is a folder) without reading it, under a name that nothing has."""
    with named(path):
        make_folders(place, files)
        files.replace(path, place / f"{path.name}.{uuid.uuid4().hex}")
        files.sync_folder(place)
        files.sync_folder(path.parent)


def _withdrawn(folder: AnyPath, incomplete: Iterable[Incomplete], files: Files) -> list[AnyPath]:
    """Take the rows of these trials out of `trials`; the parts that had them are in quarantine then."""
    rows: dict[AnyPath, list[str]] = {}
    for item in incomplete:
        rows.setdefault(item.path, []).append(f"{item.trial_id}:{item.attempt}")
    for path, keys in rows.items():
        part = read_part(path, files)
        if not isinstance(part, Part):
            raise StoreError(f"{path}: changed while it was checked: {part}")
        stay = pc.invert(pc.is_in(attempts(part.table), pa.array(keys, pa.string())))
        rest = part.table.filter(stay)
        if rest.num_rows or not is_plain(part):
            # With what it holds: of two compactions that overlap the other one's rows would count again.
            bare = rest.replace_schema_metadata(schema_of("trials", (), "").metadata)
            data = encoded(bare, left(part.held, stay))
            put_away(folder, path, files.read(path), files)  # first: from then on `finish` may remove it
            put_new(path.parent, part_name(data), data, files)
        move(folder, [path], files)
    return list(rows)
