"""S6, S8, S9: many processes at one store, killed all the time; compaction beside live readers and writers.

What a writer was told is durable is there exactly once, with its curve and its arrays; each id comes over a pipe from
the process that was told.
"""

from __future__ import annotations

import mmap
import os
import random
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.store_lab import STEPS, Seam, hooked, record, started, trial

from vmi.results.compaction import compact
from vmi.results.fsck import check
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.spec.errors import StoreError

Ids = list[str]


def compacted(store: Store, limit: int = 1 << 20) -> None:
    for table in TABLES:
        compact(store.folder_of(table), table, store.files, limit)


def once_each(store: Store, acknowledged: Ids, possible: set[str] | None) -> int:
    """Each acknowledged trial is there exactly once, whole, and nothing that is not possible; how many are there."""
    there = store.read("trials", ("trial_id", "attempt")).checked().to_pylist()
    ids = [row["trial_id"] for row in there]
    assert len(set(ids)) == len(ids), "a trial is there twice"
    assert set(acknowledged) <= set(ids), f"{len(set(acknowledged) - set(ids))} lost"
    assert possible is None or set(ids) <= possible, "nobody committed this"
    keys = {(row["trial_id"], row["attempt"]) for row in there}
    for table, count in (("curves", len(STEPS)), ("arrays", 1)):
        found: dict[tuple[str, int], int] = {}
        for row in store.read(table, ("trial_id", "attempt")).checked().to_pylist():
            key = (row["trial_id"], row["attempt"])
            found[key] = found.get(key, 0) + 1
        assert all(found.get(key) == count for key in keys), table
    return len(ids)


class Crowd:
    """Writers, each with seeds of its own, beside a compaction; who is killed starts again with what is not stored.

    Nothing goes by the clock: a writer is killed, and the store compacted, after so many acknowledged commits.
    """

    def __init__(self, root: Path, writers: int, commits: int, kill_every: int, compact_every: int) -> None:
        self.store, self.commits, self.chance = Store(root, "s"), commits, random.Random(1)
        self.kill_every, self.compact_every = kill_every, compact_every
        # Commits that were told of late may have been the last ones.
        self.most_kills = writers * commits * 3 // 4 // kill_every
        self.pipes: dict[int, tuple[int, int]] = {}  # pipe -> (writer, pid)
        self.acknowledged: Ids = []
        self.rest: dict[int, bytes] = {}
        self.kills = self.compactions = 0
        self.compactor, self.asking = self.compacting()
        for writer in range(writers):
            self.start(writer)

    def seeds(self, writer: int) -> range:
        return range(writer * self.commits, (writer + 1) * self.commits)

    def compacting(self) -> tuple[int, int]:
        """A process that compacts each time it is asked to: its pid, and where it is asked."""
        theirs, ours = os.pipe()

        def loop(_: Callable[[str], None]) -> None:
            os.close(ours)
            while os.read(theirs, 1 << 16):
                compacted(self.store, 1 << 28)

        pid, pipe = started(loop)
        os.close(pipe)
        os.close(theirs)
        return pid, ours

    def start(self, writer: int) -> None:
        def write(acknowledge: Callable[[str], None]) -> None:
            os.close(self.asking)
            done, attempt = set(self.store.finished()), self.store.next_attempt()
            for seed in self.seeds(writer):
                if trial(seed).trial_id not in done:
                    for trial_id in record(self.store, [seed], attempt):
                        acknowledge(trial_id)

        pid, pipe = started(write)
        self.pipes[pipe] = (writer, pid)

    def kill_one(self) -> None:
        """A writer that was not done; who turns out to be is no kill."""
        for pipe in self.chance.sample(sorted(self.pipes), len(self.pipes)):
            writer, pid = self.pipes.pop(pipe)
            os.kill(pid, signal.SIGKILL)
            with os.fdopen(pipe, "rb") as said:
                self.acknowledged += (self.rest.pop(pipe, b"") + said.read()).decode().split()
            if os.waitpid(pid, 0)[1]:
                self.kills += 1
                self.start(writer)
                return

    def listen(self) -> None:
        """Take acknowledgements; who is done has ended well."""
        for pipe in select.select(list(self.pipes), [], [])[0]:
            data = os.read(pipe, 1 << 16)
            *lines, self.rest[pipe] = (self.rest.pop(pipe, b"") + data).split(b"\n")
            self.acknowledged += [line.decode() for line in lines]
            if not data:
                os.close(pipe)
                assert os.waitpid(self.pipes.pop(pipe)[1], 0)[1] == 0

    def run(self) -> None:
        """To the end."""
        while self.pipes:
            self.listen()
            told = len(self.acknowledged)
            if self.kills < min(told // self.kill_every, self.most_kills):
                self.kill_one()
            if self.compactions < told // self.compact_every:
                os.write(self.asking, b".")
                self.compactions += 1
        os.close(self.asking)
        assert os.waitpid(self.compactor, 0)[1] == 0


def crowded(root: Path, writers: int, commits: int, kill_every: int, compact_every: int) -> None:
    made = Crowd(root, writers, commits, kill_every, compact_every)
    made.run()
    everything = {trial(seed).trial_id for writer in range(writers) for seed in made.seeds(writer)}
    assert once_each(made.store, made.acknowledged, everything) == writers * commits
    compacted(made.store, 1 << 28)
    assert once_each(made.store, made.acknowledged, everything) == writers * commits
    assert check(made.store.folder).sound
    print(f"S6: {writers} writers x {commits} commits, {made.kills} kills, {len(made.acknowledged)} acknowledged")
    assert made.kills == made.most_kills


@pytest.mark.faults
def test_of_8_writers_that_are_killed_each_acknowledged_commit_is_there_once(tmp_path: Path) -> None:
    crowded(tmp_path, 8, 40, kill_every=10, compact_every=40)


@pytest.mark.soak
def test_of_32_writers_that_are_killed_each_acknowledged_commit_is_there_once(tmp_path: Path) -> None:
    """One kill in twenty commits are some four a second, as long as a store does a hundred."""
    crowded(tmp_path, 32, 200, kill_every=20, compact_every=40)


class Counters:
    """Numbers that processes share: how many commits each writer was told of, and how far readers came."""

    def __init__(self, count: int) -> None:
        self.memory = mmap.mmap(-1, 8 * count)

    def __getitem__(self, at: int) -> int:
        return int.from_bytes(self.memory[8 * at : 8 * at + 8], "little")

    def __setitem__(self, at: int, value: int) -> None:
        self.memory[8 * at : 8 * at + 8] = value.to_bytes(8, "little")


WRITERS, READERS, EACH = 2, 2, 100_000


def beside(root: Path, commits: int, rounds: int) -> None:
    """Two writers, two readers and a compaction beside each other, until each has done so many of its own.

    A writer goes ahead of none of the others by more than its part of a round, or a busy machine's readers, who read
    all that there is, would have more to read each time and never come to their last round.
    """
    store, counts, end = Store(root, "s"), Counters(WRITERS + READERS + 2), WRITERS + READERS + 1
    compactor, parent = WRITERS + READERS, os.getpid()

    def over() -> bool:
        return counts[end] > 0 or os.getppid() != parent

    def write(writer: int) -> None:
        while not over():
            done = counts[writer]
            if done >= commits * (1 + min(counts[at] for at in range(WRITERS, end))) / rounds:
                time.sleep(0.001)
                continue
            record(store, [writer * EACH + done])
            counts[writer] = done + 1

    def look(reader: int) -> None:
        while not over():
            before = [counts[writer] for writer in range(WRITERS)]
            told = [trial(w * EACH + i).trial_id for w, count in enumerate(before) for i in range(count)]
            once_each(store, told, None)  # writers go on meanwhile: what is too much is looked for at the end
            counts[WRITERS + reader] += 1

    jobs = [lambda _, w=w: write(w) for w in range(WRITERS)] + [lambda _, r=r: look(r) for r in range(READERS)]
    children = [started(job)[0] for job in jobs]
    least = [commits] * WRITERS + [rounds] * (READERS + 1)
    try:
        while any(counts[at] < least[at] for at in range(end)):
            compacted(store, 1 << 18)
            counts[compactor] += 1
            assert os.waitpid(-1, os.WNOHANG) == (0, 0), "a writer or a reader ended"
    finally:
        counts[end] = 1
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
    told = [counts[writer] for writer in range(WRITERS)]
    everything = [trial(w * EACH + i).trial_id for w, count in enumerate(told) for i in range(count)]
    assert once_each(store, everything, set(everything)) == len(everything)
    reads = sum(counts[WRITERS + reader] for reader in range(READERS))
    counted = f"{sum(told)} commits by {WRITERS} writers, {reads} reads by {READERS} readers"
    print(f"S8: {counted}, {counts[compactor]} compactions")


def test_each_read_beside_a_compaction_and_writers_sees_each_row_once(tmp_path: Path) -> None:
    beside(tmp_path, 5, 1)


@pytest.mark.faults
def test_for_longer_each_read_beside_a_compaction_and_writers_sees_each_row_once(tmp_path: Path) -> None:
    beside(tmp_path, 150, 4)


@pytest.mark.soak
def test_for_minutes_each_read_beside_a_compaction_and_writers_sees_each_row_once(tmp_path: Path) -> None:
    beside(tmp_path, 1_000, 20)


# A commit has some twenty file operations: a child dies within its first three, or within a compaction.
OPERATIONS = 60


def killed_at_random(root: Path, kills: int) -> None:
    """A writer that compacts now and then, killed after a random number of file operations, and started again.

    It says before each operation that it begins; the kill comes from outside, whenever the next one is under way.
    """
    store, chance = Store(root, "s"), random.Random(3)
    acknowledged: Ids = []

    def write(acknowledge: Callable[[str], None]) -> None:
        telling = hooked(store, Seam(before=lambda name, given: acknowledge(".")))
        attempt, seed = store.next_attempt(), len(store.read("trials", ("trial_id",)).table)
        while True:
            for trial_id in record(telling, [seed], attempt):
                acknowledge(trial_id)
            seed += 1
            if seed % 7 == 0:
                compacted(telling, 1 << 28)

    for number in range(kills):
        pid, pipe = started(write)
        said, enough = b"", chance.randrange(OPERATIONS)
        while said.count(b".") < enough:
            said += os.read(pipe, 1)
        os.kill(pid, signal.SIGKILL)
        with os.fdopen(pipe, "rb") as rest:
            acknowledged += [line for line in (said + rest.read()).decode().split() if line != "."]
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        if number % 10 == 9:
            # Each child writes seed after seed: nothing is possible but what was told, and one more of each child.
            possible = {trial(seed).trial_id for seed in range(len(acknowledged) + number + 2)}
            once_each(store, acknowledged, possible)
            compacted(store, 1 << 28)  # or reading costs more with every part
    count = once_each(store, acknowledged, possible)
    assert check(store.folder).sound
    print(f"S9: {kills} kills, {len(acknowledged)} acknowledged, {count} there")
    assert len(acknowledged) > kills / 4


@pytest.mark.faults
def test_30_kills_at_random_times_lose_nothing(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 30)


@pytest.mark.soak
def test_1000_kills_at_random_times_lose_nothing(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 1000)


def test_a_store_that_is_damaged_meanwhile_is_named_to_the_reader(tmp_path: Path) -> None:
    store = Store(tmp_path, "s")
    for seed in range(3):
        record(store, [seed])
    compacted(store)
    (path,) = store.folder_of("curves").glob("part-*")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=path.name):
        once_each(store, [], None)
