"""What the writer of W&B's runs reads of the store."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from vmi.results.parts import Part, read_part
from vmi.results.rows import preference
from vmi.results.store import Store
from vmi.spec.trial import Row


class StoredRows:
    """Rows of `trials` and `curves` by trial. What a part has is kept until it is taken, but for the parts of before.

    The first time the whole store is read, afterwards parts that are new; and all of it again where a trial is in none
    of these. Of a compacted part those rows are new whose published parts were not read: the others are kept already,
    or nobody asks for them any more.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, set[str]] = {}
        # Those that were taken, and those that were finished before any was: nothing of them is kept.
        self._past: set[str] = set()
        self._trials: dict[str, list[Row]] = {}
        self._curves: dict[str, list[Row]] = {}

    def take(self, trial_ids: Collection[str]) -> tuple[list[Row], list[Row]]:
        """The row of each of these trials, and their rows of curves. Raises StoreError or OSError."""
        is_first = not self._seen
        if is_first:
            self._seen = {table: set(self._names(table)) for table in ("trials", "curves")}
        else:
            self._read_new()
        if any(trial_id not in self._trials for trial_id in trial_ids):
            finished = self._read_all(trial_ids)
            self._past |= finished if is_first else set()
        self._past.update(trial_ids)
        found = [min(self._trials.pop(i), key=preference) for i in trial_ids if i in self._trials]
        return found, [row for i in trial_ids for row in self._curves.pop(i, ())]

    def _read_new(self) -> None:
        # Trials first: a commit publishes their curves before them.
        for table, kept in (("trials", self._trials), ("curves", self._curves)):
            for name in sorted(set(self._names(table)) - self._seen[table]):
                part = read_part(self._store.folder_of(table) / name, self._store.files)
                if isinstance(part, Part):  # else it is found again, and named, where all is read
                    for row in _new_rows(part, self._seen[table]):
                        if row["trial_id"] not in self._past:
                            kept.setdefault(row["trial_id"], []).append(row)
                    self._seen[table].update((name, *(published for published, _ in part.held)))

    def _read_all(self, trial_ids: Collection[str]) -> set[str]:
        """Keep the rows of these trials; all that are finished."""
        wanted = set(trial_ids)
        rows = self._store.finished()
        self._trials |= {i: [rows[i]] for i in wanted if i in rows}
        for i in wanted:
            self._curves.pop(i, None)
        for row in self._store.read("curves").checked().to_pylist():
            if row["trial_id"] in wanted:
                self._curves.setdefault(row["trial_id"], []).append(row)
        return set(rows)

    def _names(self, table: str) -> list[str]:
        try:
            return [name for name in self._store.files.names(self._store.folder_of(table)) if name.startswith("part-")]
        except FileNotFoundError:
            return []


def _new_rows(part: Part, seen: Collection[str]) -> Iterator[Row]:
    """The rows of those published parts that are in this file, and were not read before."""
    start = 0
    for name, count in part.held:
        if name not in seen:
            yield from part.table.slice(start, count).to_pylist()
        start += count
