"""Durable commits per second, and the time to read 10,000 trials before and after compaction.

    python benchmarks/store.py [FOLDER]

Commits go into FOLDER (default: a temporary one); what counts is the disk under it. A commit makes three parts (curves,
arrays, trials); each is written, fsynced, linked, and its folder is fsynced, before it is acknowledged. Beside it
stands what the same disk gives a program that only writes and fsyncs one small file and its folder, three times a
commit; CPU time is that of one core.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from vmi.results.compaction import compact
from vmi.results.parts import publish
from vmi.results.schema import trials_schema
from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.spec import layout
from vmi.spec.arrays import is_picture, layout_shapes
from vmi.spec.metrics import METRICS
from vmi.spec.resolving import resolve
from vmi.spec.trial import Completed, Cost, Report, Trial

LAYOUT = "n16+c10*"
TRIALS, PARTS, METRIC_COUNT = 10_000, 625, 20


def arrays() -> dict[str, np.ndarray]:
    """The arrays of a trial on digits, of their shapes and types."""
    found = {}
    for name, shape in layout_shapes(layout.parse(LAYOUT), "digits").items():
        found[name] = (np.arange(math.prod(shape)) % 251).astype(np.uint8 if is_picture(name) else np.int32)
        found[name] = found[name].reshape(shape)
    return found


class Speed(NamedTuple):
    """Of commits: how many a second of wall time, and milliseconds of CPU time of one."""

    per_second: float
    cpu_ms: float


def commits(root: Path, members: int, seconds: float = 10.0) -> Speed:
    """Commits of so many trials each, by a real recorder, for so many seconds; making the trials is not counted."""
    store = Store(root, f"commits-of-{members}")
    recorder = ParquetRecorder(store, [LAYOUT], "digits", 1, lambda: datetime.now(UTC))
    shown, cost = arrays(), Cost(1.5, "pack", members, 1, "cpu", "torch")
    wall, cpu, count, end = 0.0, 0.0, 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for member in range(members):
            config = resolve({"layout": LAYOUT, "seed": count * members + member})
            trial = Trial(config.trial_id, config.suggestion_id, config)
            for step in range(10, 101, 10):
                recorder.write(Report(trial.trial_id, step, {"loss_nats": 100 / step, "rate_nats": step / 10}))
            recorder.finish(trial, Completed(100, {"rate_nats": 2.5}, shown), cost)
        began, spent = time.perf_counter(), time.process_time()
        assert len(recorder.commit().ids) == members
        wall, cpu, count = wall + time.perf_counter() - began, cpu + time.process_time() - spent, count + 1
    return Speed(count / wall, 1000 * cpu / count)


def floor_per_second(root: Path, seconds: float = 5.0) -> float:
    """Three small files per commit, each written and fsynced, and its folder after it; no format and no rename."""
    folder = root / "floor"
    folder.mkdir(parents=True)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for table in range(3):
            file = os.open(folder / f"{count}-{table}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(file, bytes(8192))
            os.fsync(file)
            os.close(file)
            names = os.open(folder, os.O_RDONLY)
            os.fsync(names)
            os.close(names)
        count += 1
    return count / (time.perf_counter() - began)


def row(seed: int) -> Mapping[str, Any]:
    metrics = [name for name in METRICS if name not in ("categories_used",)][:METRIC_COUNT]
    head = {"study": "many", "trial_id": f"{seed:016x}", "suggestion_id": f"{seed // 5:016x}", "outcome": "completed"}
    config = {"seed": seed, "mi_weight": 4.0, "layout": LAYOUT, "dataset": "digits", "steps": 300}
    measured = {name: math.sin(seed + i) for i, name in enumerate(metrics)}
    return head | config | measured | {"attempt": 1, "step": 300, "pack_id": "p", "finished_at": datetime.now(UTC)}


def many(root: Path) -> Store:
    """A store of TRIALS trials in PARTS parts."""
    store, schema = Store(root, "many"), trials_schema([LAYOUT])
    each = TRIALS // PARTS
    for part in range(PARTS):
        rows = [row(part * each + i) for i in range(each)]
        publish(store.folder_of("trials"), pa.Table.from_pylist(rows, schema=schema))
    return store


def best_of(times: int, action: Callable[[], object]) -> str:
    """The least wall time of some runs, and the CPU time of that one."""
    found = []
    for _ in range(times):
        began, spent = time.perf_counter(), time.process_time()
        action()
        found.append((time.perf_counter() - began, time.process_time() - spent))
    return f"{min(found)[0]:.2f} s ({min(found)[1]:.2f} s of CPU time)"


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        root = Path(name)
        print(f"floor: {floor_per_second(root):.0f} times three small files per second", flush=True)
        for members in (1, 16):
            found = commits(root, members)
            print(f"commits of {members} trials: {found.per_second:.0f} per second, {found.cpu_ms:.1f} ms of CPU each")
        store = many(root)
        before = best_of(3, lambda: store.read("trials").checked())
        print(f"read {TRIALS:,} trials x {METRIC_COUNT} metrics in {PARTS} parts: {before}", flush=True)
        began = time.perf_counter()
        parts = compact(store.folder_of("trials"), "trials")
        print(f"compact {parts.before} parts to {parts.after}: {time.perf_counter() - began:.2f} s", flush=True)
        print(f"read them after that: {best_of(3, lambda: store.read('trials').checked())}", flush=True)
        print(f"every row as a dict as well: {best_of(3, store.finished)}", flush=True)


if __name__ == "__main__":
    main()
