"""Writes W&B's runs of a study's trials, in this process or as one of its own beside the training.

As a process (`main`, with the arguments ROOT STUDY MODE) it reads JSON lines from standard input: lists of ids of
finished trials, and {"pack_id": …, "trial_ids": …} of a pack under way that has written a checkpoint (of use online).
On standard output it says what comes of each few trials: [the ids of those that are settled, what to be warned of].
After the line "end" it writes what is left and ends; where the input ends without it (its driver was killed, or wants
to end), it ends after the run that it is writing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, Queue
from typing import Any, NamedTuple, TextIO

from vmi.mirror.live_runs import LiveRuns
from vmi.mirror.run_folders import remove_cut_short
from vmi.mirror.runs import Mirrored, abandon_service, finish_service, load_client, mirror, warning_of
from vmi.mirror.stored_rows import StoredRows
from vmi.results.store import Store
from vmi.spec.trial import Row
from vmi.storage.paths import local, path_of

END = "end"
# Those who train go first.
NICENESS = 5
# Trials whose rows are looked up at a time, so that a long list is begun, and may be left, after a second.
AT_A_TIME = 16

Told = list[str] | dict[str, Any] | None


class Settled(NamedTuple):
    """Trials about which there is nothing more to do, and what to be warned of ("" for nothing)."""

    trial_ids: list[str]
    warning: str


class Following:
    """Mirrors trials of one study, each part of whose store is read once. Raises no Exception.

    Online a run begins while its trial is under way (`look`, `send`). A server that failed once is not waited for
    again: nothing is sent any more, and later runs are kept offline, which needs a folder.
    """

    def __init__(self, store: Store, mode: str) -> None:
        self._store, self._mode = store, mode
        self._rows = StoredRows(store)
        self._live = LiveRuns(store) if mode == "online" else None
        if self._live is not None:
            self._tidy()

    def write(self, trial_ids: Sequence[str], go_on: Callable[[], bool] = lambda: True) -> Iterator[Settled]:
        """After each few of these trials, all of which have a row."""
        start = 0
        while start < len(trial_ids) and go_on():
            # Of a slow server one hears after each run.
            ids = trial_ids[start : start + (1 if self._mode == "online" else AT_A_TIME)]
            start += len(ids)
            try:
                rows, curves = self._rows.take(ids)
            except Exception as error:  # a damaged part, or a store that stays away: the mirror never stops a sweep
                yield Settled(
                    [], f"W&B mirror: {type(error).__name__}: {error}; vmi mirror {self._store.folder} resumes"
                )
                continue
            having = {row["trial_id"] for row in rows}
            written, warning = self._written(rows, curves, go_on)
            yield Settled([*written, *(i for i in ids if i not in having)], warning)

    def look(self, pack_id: str, trial_ids: Sequence[str]) -> None:
        """The pack has made reports of these trials durable, which have no row."""
        if self._live is not None:
            self._live.note(pack_id, trial_ids)

    def wait_seconds(self) -> float | None:
        """For how long there is nothing to `send`; None: until a pack is looked at."""
        return None if self._live is None else self._live.wait_seconds()

    def send(self, go_on: Callable[[], bool]) -> Settled:
        """Send what trials under way have reported."""
        try:
            if self._live is not None:
                self._live.send(go_on)
        except Exception as error:
            return Settled([], self._give_up(warning_of(error)))
        return Settled([], "")

    def close(self) -> None:
        """Wait until everything is on the disk, or sent; runs of trials without a row are left as they are."""
        if self._live is not None and self._live.opened:
            abandon_service()
        finish_service()
        if self._live is not None:
            self._live.close()

    def _written(self, rows: Sequence[Row], curves: Sequence[Row], go_on: Callable[[], bool]) -> Settled:
        runs, warning = self._mirror(rows, curves, go_on)
        if self._mode == "online" and warning:
            warning = self._give_up(warning)
            more, again = self._mirror(rows[runs:], curves, go_on)
            runs, warning = runs + more, "; ".join(filter(None, [warning, again]))
        return Settled([row["trial_id"] for row in rows[:runs]], warning)

    def _mirror(self, rows: Sequence[Row], curves: Sequence[Row], go_on: Callable[[], bool]) -> Mirrored:
        opened = self._live.opened if self._live is not None else None
        if self._live is not None:
            self._live.forget(row["trial_id"] for row in rows)
        folder, project = self._store.folder, self._store.study
        return mirror(rows, curves, folder, project, self._mode, go_on=go_on, opened=opened)

    def _give_up(self, warning: str) -> str:
        """Nothing goes online any more; what to be warned of."""
        abandon_service()
        if self._live is not None:
            self._live.close()
        self._mode, self._live = "offline", None
        self._tidy()
        if local(self._store.root) is None:
            return f"{warning}; no W&B runs are sent from here on (vmi mirror --online sends them)"
        return f"{warning}; W&B runs are kept offline from here on (wandb sync sends them)"

    def _tidy(self) -> None:
        if (folder := local(self._store.folder)) is not None:
            remove_cut_short(folder)


def main() -> None:
    root, study, mode = sys.argv[1:]
    os.nice(NICENESS)
    # The client, or what it loads, may print.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out, open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        waiting, stopped = Queue[Told](), threading.Event()
        threading.Thread(target=_listen, args=(sys.stdin, waiting, stopped), daemon=True).start()
        load_client()
        following = Following(Store(path_of(root), study), mode)
        _follow(following, waiting, stopped, out)
    following.close()
    os._exit(0)


def _follow(following: Following, waiting: Queue[Told], stopped: threading.Event, out: TextIO) -> None:
    """Until there is nothing more to wait for. Trials that have ended come before those under way."""
    while True:
        try:
            told = waiting.get(timeout=following.wait_seconds())
        except Empty:
            _answer(following.send(waiting.empty), out)
            continue
        if told is None:
            return
        if isinstance(told, dict):
            following.look(**told)
            continue
        for settled in following.write(told, lambda: not stopped.is_set()):
            _answer(settled, out)


def _answer(settled: Settled, out: TextIO) -> None:
    if any(settled):
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(settled), file=out, flush=True)


def _listen(given: TextIO, waiting: Queue[Told], stopped: threading.Event) -> None:
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
