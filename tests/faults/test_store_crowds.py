"""S6, S8, S9: many processes at one store, killed all the time; compaction beside live readers and writers.

What a writer was told is durable is there exactly once, with its curve and its arrays; each id comes over a pipe from
the process that was told.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_lab import STEPS, record, started, trial

from vmi.errors import StoreError
from vmi.record.compaction import compact
from vmi.record.fsck import check
from vmi.record.schema import TABLES
from vmi.record.store import Store

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
    """Writers, each with seeds of its own; who is killed starts again with what the store does not have."""

    def __init__(self, root: Path, writers: int, commits: int) -> None:
        self.store, self.commits = Store(root, "s"), commits
        self.pipes: dict[int, tuple[int, int]] = {}  # pipe -> (writer, pid)
        self.acknowledged: Ids = []
        self.rest: dict[int, bytes] = {}
        self.left = set(range(writers))
        self.kills = 0
        for writer in range(writers):
            self.start(writer)

    def seeds(self, writer: int) -> range:
        return range(writer * self.commits, (writer + 1) * self.commits)

    def start(self, writer: int) -> None:
        def write(acknowledge: Callable[[str], None]) -> None:
            done, attempt = set(self.store.finished()), self.store.next_attempt()
            for seed in self.seeds(writer):
                if trial(seed).trial_id not in done:
                    for trial_id in record(self.store, [seed], attempt):
                        acknowledge(trial_id)

        pid, pipe = started(write)
        self.pipes[pipe] = (writer, pid)

    def kill_one(self, chance: random.Random) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice([pid for _, pid in self.pipes.values()]), signal.SIGKILL)
            self.kills += 1

    def listen(self, seconds: float) -> None:
        """Take acknowledgements; who has ended without being done starts again."""
        for pipe in select.select(list(self.pipes), [], [], seconds)[0]:
            data = os.read(pipe, 1 << 16)
            lines = (self.rest.pop(pipe, b"") + data).split(b"\n")
            self.acknowledged += [line.decode() for line in lines[:-1]]
            self.rest[pipe] = lines[-1]
            if not data:
                writer, pid = self.pipes.pop(pipe)
                os.close(pipe)
                if os.waitpid(pid, 0)[1] == 0:
                    self.left.discard(writer)
                else:
                    self.start(writer)


def crowd(root: Path, writers: int, commits: int, kills_per_second: float, seconds: float) -> Crowd:
    """Run to the end beside a compaction every two seconds; the killing stops after so many seconds."""
    chance, made = random.Random(1), Crowd(root, writers, commits)
    began = last = compacted_at = time.monotonic()
    while made.left:
        # Who starts again reads the store: without compaction that costs more with every part.
        if time.monotonic() - compacted_at > 2:
            compacted(made.store, 1 << 28)
            compacted_at = time.monotonic()
        made.listen(0.05)
        now = time.monotonic()
        if now - began < seconds and now - last > 1 / kills_per_second and made.pipes:
            made.kill_one(chance)
            last = now
    return made


def crowded(root: Path, writers: int, commits: int, seconds: float) -> None:
    made = crowd(root, writers, commits, 4, seconds)
    everything = {trial(seed).trial_id for writer in range(writers) for seed in made.seeds(writer)}
    assert once_each(made.store, made.acknowledged, everything) == writers * commits
    compacted(made.store, 1 << 28)
    assert once_each(made.store, made.acknowledged, everything) == writers * commits
    assert check(made.store.folder).sound
    print(f"S6: {writers} writers x {commits} commits, {made.kills} kills, {len(made.acknowledged)} acknowledged")
    assert made.kills >= 8


@pytest.mark.faults
def test_of_8_writers_that_are_killed_each_acknowledged_commit_is_there_once(tmp_path: Path) -> None:
    crowded(tmp_path, 8, 40, 8)


@pytest.mark.soak
def test_of_32_writers_with_4_killed_a_second_each_acknowledged_commit_is_there_once(tmp_path: Path) -> None:
    crowded(tmp_path, 32, 200, 120)


class Counters:
    """Numbers that processes share: how many commits each writer was told of, and how far readers came."""

    def __init__(self, count: int) -> None:
        self.memory = mmap.mmap(-1, 8 * count)

    def __getitem__(self, at: int) -> int:
        return int.from_bytes(self.memory[8 * at : 8 * at + 8], "little")

    def __setitem__(self, at: int, value: int) -> None:
        self.memory[8 * at : 8 * at + 8] = value.to_bytes(8, "little")


WRITERS, READERS, EACH = 2, 2, 100_000


def beside(root: Path, seconds: float) -> tuple[list[int], int, int]:
    """Two writers, two readers and a compaction for so long: (commits of each writer, reads, compactions)."""
    store, counts, end = Store(root, "s"), Counters(WRITERS + READERS), time.monotonic() + seconds

    def write(writer: int) -> None:
        while time.monotonic() < end:
            done = counts[writer]
            record(store, [writer * EACH + done])
            counts[writer] = done + 1

    def look(reader: int) -> None:
        while time.monotonic() < end:
            before = [counts[writer] for writer in range(WRITERS)]
            told = [trial(w * EACH + i).trial_id for w, count in enumerate(before) for i in range(count)]
            once_each(store, told, None)  # writers go on meanwhile: what is too much is looked for at the end
            counts[WRITERS + reader] += 1

    jobs = [lambda _, w=w: write(w) for w in range(WRITERS)] + [lambda _, r=r: look(r) for r in range(READERS)]
    children = [started(job)[0] for job in jobs]
    rounds = 0
    while time.monotonic() < end:
        compacted(store, 1 << 18)
        rounds += 1
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
    told = [counts[writer] for writer in range(WRITERS)]
    everything = [trial(w * EACH + i).trial_id for w, count in enumerate(told) for i in range(count)]
    assert once_each(store, everything, set(everything)) == len(everything)
    return told, sum(counts[WRITERS + reader] for reader in range(READERS)), rounds


def beside_for(root: Path, seconds: float) -> None:
    told, reads, rounds = beside(root, seconds)
    print(f"S8: {sum(told)} commits by {WRITERS} writers, {reads} reads by {READERS} readers, {rounds} compactions")
    assert min(told) > 3 and reads > 3 and rounds > 3


def test_each_read_beside_a_compaction_and_writers_sees_each_row_once(tmp_path: Path) -> None:
    told, reads, rounds = beside(tmp_path, 2.5)
    assert min(told) > 0 and reads > 0 and rounds > 0


@pytest.mark.faults
def test_for_longer_each_read_beside_a_compaction_and_writers_sees_each_row_once(tmp_path: Path) -> None:
    beside_for(tmp_path, 15)


@pytest.mark.soak
def test_for_minutes_each_read_beside_a_compaction_and_writers_sees_each_row_once(tmp_path: Path) -> None:
    beside_for(tmp_path, 120)


def killed_at_random(root: Path, kills: int) -> None:
    """A writer that compacts now and then, killed at random times and started again."""
    store, chance = Store(root, "s"), random.Random(3)
    acknowledged: Ids = []
    possible: set[str] = set()

    def write(acknowledge: Callable[[str], None]) -> None:
        attempt = store.next_attempt()
        seed = len(store.read("trials", ("trial_id",)).table)
        acknowledge("ready")
        while True:
            for trial_id in record(store, [seed], attempt):
                acknowledge(trial_id)
            seed += 1
            if seed % 7 == 0:
                compacted(store, 1 << 28)

    for number in range(kills):
        pid, pipe = started(write)
        # Every fourth dies at a random time of its start, the others once they write, however slow the machine is.
        first = os.read(pipe, 1 << 16) if number % 4 else b""
        time.sleep(chance.uniform(0.0, 0.2))
        os.kill(pid, signal.SIGKILL)
        with os.fdopen(pipe, "rb") as said:
            acknowledged += [line for line in (first + said.read()).decode().split() if line != "ready"]
        os.waitpid(pid, 0)
        # Each child writes seed after seed: nothing is possible but what was told, and one more of each child.
        possible = {trial(seed).trial_id for seed in range(len(acknowledged) + number + 2)}
        if number % 10 == 0 or number == kills - 1:
            once_each(store, acknowledged, possible)
    count = once_each(store, acknowledged, possible)
    compacted(store, 1 << 28)
    assert once_each(store, acknowledged, possible) == count and check(store.folder).sound
    print(f"S9: {kills} kills, {len(acknowledged)} acknowledged, {count} there")
    assert len(acknowledged) > kills / 10


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
