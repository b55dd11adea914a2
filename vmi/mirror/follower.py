"""Writes W&B's runs of the trials that a study finishes, in this process or as one of its own beside the training.

As a process (`main`, with the arguments ROOT STUDY MODE) it reads JSON lines from standard input, lists of ids of
finished trials, and says on standard output what comes of each few: [how many are settled, what to be warned of].
After the line "end" it writes what is left and ends; where the input ends without it (its driver was killed, or wants
to end), it ends after the run that it is writing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from queue import SimpleQueue
from typing import TextIO

from vmi.mirror.runs import Mirrored, finish_service, load_client, mirror
from vmi.results.parts import Part, read_part
from vmi.results.rows import preference
from vmi.results.store import Store
from vmi.spec.trial import Row
from vmi.storage.paths import local, path_of

END = "end"
# Those who train go first.
NICENESS = 5
# Trials whose rows are looked up at a time, so that a long list is begun, and may be left, after a second.
AT_A_TIME = 16


class Following:
    """Mirrors finished trials of one study, each part of whose store is read once. Raises no Exception.

    A server that failed once is not waited for again: later runs are kept offline, which needs a folder.
    """

    def __init__(self, store: Store, mode: str) -> None:
        self._store, self._mode = store, mode
        self._rows = _Rows(store)

    def write(self, trial_ids: Sequence[str], go_on: Callable[[], bool] = lambda: True) -> Iterator[tuple[int, str]]:
        """After each few trials: how many of them are settled, and what to be warned of."""
        start = 0
        while start < len(trial_ids) and go_on():
            # Of a slow server one hears after each run.
            ids = trial_ids[start : start + (1 if self._mode == "online" else AT_A_TIME)]
            start += len(ids)
            try:
                rows, curves = self._rows.take(ids)
            except Exception as error:  # a damaged part, or a store that stays away: the mirror never stops a sweep
                yield 0, f"W&B mirror: {type(error).__name__}: {error}; vmi mirror {self._store.folder} resumes"
                continue
            done = self._mirrored(rows, curves, go_on)
            yield done.runs + len(ids) - len(rows), done.warning  # a trial without a row has nothing to be written

    def _mirrored(self, rows: Sequence[Row], curves: Sequence[Row], go_on: Callable[[], bool]) -> Mirrored:
        done = self._mirror(rows, curves, self._mode, go_on)
        if self._mode != "online" or not done.warning:
            return done
        self._mode = "offline"
        # Without the one that failed: within this process W&B holds its id to be taken.
        more = self._mirror(rows[done.runs + 1 :], curves, "offline", go_on)
        kept = "W&B runs are kept offline from here on (wandb sync sends them)"
        if local(self._store.root) is None:
            kept = "no W&B runs are sent from here on (vmi mirror --online sends them)"
        return Mirrored(done.runs + more.runs, f"{done.warning}; {kept}")

    def _mirror(self, rows: Sequence[Row], curves: Sequence[Row], mode: str, go_on: Callable[[], bool]) -> Mirrored:
        return mirror(rows, curves, self._store.folder, self._store.study, mode, go_on=go_on)


class _Rows:
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


def main() -> None:
    root, study, mode = sys.argv[1:]
    os.nice(NICENESS)
    # The client, or what it loads, may print.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out, open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        waiting, stopped = SimpleQueue[list[str] | None](), threading.Event()
        threading.Thread(target=_listen, args=(sys.stdin, waiting, stopped), daemon=True).start()
        load_client()
        failed = _follow(Following(Store(path_of(root), study), mode), waiting, stopped, out)
    if not failed or mode != "online":  # W&B's farewell to a server that hangs takes 20 seconds
        finish_service()
    os._exit(0)


def _follow(
    following: Following, waiting: SimpleQueue[list[str] | None], stopped: threading.Event, out: TextIO
) -> bool:
    """Until there is nothing more to wait for; whether anything went wrong."""
    failed = False
    go_on = lambda: not stopped.is_set()  # noqa: E731
    while (trial_ids := waiting.get()) is not None:
        for count, warning in following.write(trial_ids, go_on):
            failed = failed or bool(warning)
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps([count, warning]), file=out, flush=True)
    return failed


def _listen(given: TextIO, waiting: SimpleQueue[list[str] | None], stopped: threading.Event) -> None:
    try:
        for line in given:
            if (said := json.loads(line)) == END:
                return
            waiting.put(said)
        stopped.set()
    except ValueError:  # a killed driver's last line, cut short
        stopped.set()
    finally:
        waiting.put(None)
