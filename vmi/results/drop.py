"""Taking trials out of a study: their rows count no more, and the files that had them lie in quarantine.

Of `trials` all files with such rows become one part without them, which says that it holds what they held
(`vmi.results.lineage`): from then on it counts in their place, whether they are still there or come back. So every
reader sees all of the trials, or none. `curves` and `arrays` follow, file by file; their rows join nothing by then.

A file's bytes are in quarantine before the part that replaces it is there. Only compactions may run meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vmi.results.compaction import encoded, joined, left, read_all, remove, sound
from vmi.results.dropped import Drop, in_force, write_drops
from vmi.results.parts import part_name
from vmi.results.quarantine import put_away
from vmi.results.rows import first_attempts
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.results.where import where
from vmi.spec.errors import StoreError
from vmi.spec.trial import Row
from vmi.storage.durable import put_new
from vmi.storage.paths import AnyPath

# How often a table is looked at again because a compaction has merged what was to be replaced.
_ROUNDS = 20


class Matching(NamedTuple):
    """What a condition meets: the ids of finished trials, all trials that it meets as rows, those that it does not.

    `gone` and `left` also have those that are only asked for; `finished`: how many trials have ended, in all.
    """

    stored: list[str]
    gone: list[Row]
    left: list[Row]
    finished: int


def matching(store: Store, condition: str, asked: Sequence[Row] = ()) -> Matching:
    """What meets a condition on the columns of `trials`, of the finished trials and of those that are only `asked` for.

    Raises InputError on "--where", and StoreError naming what is damaged.
    """
    rows = first_attempts(store.read("trials").checked())
    meets, there = where(condition, rows.schema), set(rows["trial_id"].to_pylist())
    more = [{name: row.get(name) for name in rows.column_names} for row in asked if row["trial_id"] not in there]
    both = pa.concat_tables([rows, pa.Table.from_pylist(more, schema=rows.schema)])
    gone = both.filter(meets).to_pylist()
    ids = {row["trial_id"] for row in gone}
    left = [row for row in both.to_pylist() if row["trial_id"] not in ids]
    return Matching([i for row in gone if (i := row["trial_id"]) in there], gone, left, rows.num_rows)


def drop(store: Store, trial_ids: Collection[str], condition: str, at: datetime) -> None:
    """Take these finished trials out of a study, every attempt of theirs, and note when (`at`, in UTC) and why.

    Nobody else may write meanwhile. Raises StoreError naming what is damaged: then nothing is changed. After an OSError
    all of them are dropped, or none, and it may be called again.
    """
    for table in TABLES:
        sound(store.folder_of(table), table, store.files)
    rows = store.read("trials", ("trial_id", "attempt", "outcome", "finished_at", "pack_id")).checked()
    attempts = dict.fromkeys(sorted(trial_ids), 0)
    for row in rows.select(["trial_id", "attempt"]).to_pylist():
        if row["trial_id"] in attempts:
            attempts[row["trial_id"]] = max(attempts[row["trial_id"]], row["attempt"] or 0)
    before = in_force(store.drops(), first_attempts(rows).to_pylist())
    write_drops(store.folder, (*before, Drop(at.isoformat(), condition, attempts)), store.files)
    for table in TABLES:
        _clear(store, table, pa.array(list(attempts), pa.string()))


def _clear(store: Store, table: str, trial_ids: pa.Array) -> None:
    """Take every row of these trials out of a table."""
    folder = store.folder_of(table)
    for _ in range(_ROUNDS):
        found = sound(folder, table, store.files, ("trial_id",)).parts
        having = [part.name for part in found if pc.any(pc.is_in(part.table["trial_id"], trial_ids)).as_py()]
        if not having:
            return
        for names in [having] if table == "trials" else [[name] for name in having]:
            _replace(store, table, names, trial_ids)
    raise StoreError(f"{folder}: its files changed {_ROUNDS} times meanwhile; repeat the command")


def _replace(store: Store, table: str, names: Sequence[str], trial_ids: pa.Array) -> None:
    """Put one part without these trials in place of several files; nothing where a compaction has one of them."""
    folder = store.folder_of(table)
    parts = read_all(folder, names, store.files)
    if parts is None or not _kept(store, [folder / name for name in names]):
        return
    rows, held = joined(parts, table, folder)
    stay = pc.invert(pc.is_in(rows["trial_id"], trial_ids))
    data = encoded(rows.filter(stay), left(held, stay))
    put_new(folder, part_name(data), data, store.files)
    remove(folder, names, store.files)


def _kept(store: Store, paths: Sequence[AnyPath]) -> bool:
    """Put the bytes of these files into quarantine; whether all were there."""
    for path in paths:
        try:
            data = store.files.read(path)
        except FileNotFoundError:
            return False
        put_away(store.folder, path, data, store.files)
    return True
