"""Small stores to break: trials that are cheap to commit, children that are killed, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.spec import layout
from vmi.spec.arrays import is_picture, layout_shapes
from vmi.spec.resolving import resolve
from vmi.spec.trial import Completed, Cost, Report, Trial
from vmi.storage.durable import LOCAL, Files

LAYOUT = "n1+c2*"
STEPS = [10, 20, 30]
CHANGES = ("make_folder", "create", "write", "sync", "close", "link", "replace", "unlink", "sync_folder")
Content = dict[str, tuple[Any, ...]]


class Seam(Files):
    """The real operations, with a call before and after each one that changes something: name, arguments, result."""

    def __init__(
        self,
        before: Callable[[str, tuple[Any, ...]], None] = lambda name, given: None,
        after: Callable[[str, tuple[Any, ...], Any], None] = lambda name, given, result: None,
    ) -> None:
        self.before, self.after = before, after


def _hooked(name: str) -> Callable[..., Any]:
    real = getattr(Files, name)

    def operation(self: Seam, *given: Any) -> Any:
        self.before(name, given)
        result = real(self, *given)
        self.after(name, given, result)
        return result

    return operation


for _name in CHANGES:
    setattr(Seam, _name, _hooked(_name))


@cache
def trial(seed: int) -> Trial:
    config = resolve({"layout": LAYOUT, "seed": seed})
    return Trial(config.trial_id, config.suggestion_id, config)


@cache
def arrays(seed: int) -> dict[str, np.ndarray]:
    found = {}
    for name, shape in layout_shapes(layout.parse(LAYOUT), "digits").items():
        values = (np.arange(np.prod(shape)) + seed) % 251
        found[name] = values.astype(np.uint8 if is_picture(name) else np.int32).reshape(shape)
    return found


def record(store: Store, seeds: Iterable[int], attempt: int = 1) -> list[str]:
    """Commit one completed trial per seed, all in one commit; the ids that were acknowledged."""
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    recorder = ParquetRecorder(store, [LAYOUT], "digits", attempt, lambda: now)
    for seed in seeds:
        one = trial(seed)
        for step in STEPS:
            recorder.write(Report(one.trial_id, step, {"loss_nats": seed + 1 / step}))
        recorder.finish(one, Completed(one.config.steps, {"rate_nats": seed + 0.1}, arrays(seed)), cost(attempt))
    return list(recorder.commit().ids)


def three_commits(home: Path) -> Store:
    """A study of six trials in three parts, and its study.json."""
    store = Store(home / "results", "s")
    for seed in (0, 2, 4):
        record(store, [seed, seed + 1])
    store.write_study({"name": "s", "planned": 6})
    return store


def cost(attempt: int) -> Cost:
    return Cost(1.5, "pack-a", 1, attempt, "cpu", "torch")


def content(store: Store) -> Content:
    """Every finished trial with its curve and arrays, each row of which is there once. Raises AssertionError."""
    rows = store.read("trials").checked().to_pylist()
    curves, pictures = (store.read(table).checked() for table in ("curves", "arrays"))
    found: Content = {}
    for row in rows:
        key = (row["trial_id"], row["attempt"])
        assert row["trial_id"] not in found, f"{row['trial_id']} is there twice"
        steps = [r for r in curves.to_pylist() if (r["trial_id"], r["attempt"]) == key]
        assert sorted(r["step"] for r in steps) == STEPS, f"curve of {key}: {[r['step'] for r in steps]}"
        found[row["trial_id"]] = (_plain(row), tuple(_plain(r) for r in sorted(steps, key=lambda r: r["step"])))
    for trial_id, raw in _images(pictures, {(r["trial_id"], r["attempt"]) for r in rows}):
        assert len(found[trial_id]) == 2, f"arrays of {trial_id} are there twice"
        found[trial_id] += (raw,)
    assert all(len(kept) == 3 for kept in found.values()), "arrays are missing"
    return found


def _plain(row: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, repr(value)) for name, value in row.items()))


def _images(table: pa.Table, keys: set[tuple[str, int]]) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    names = [n for n in table.column_names if isinstance(table.schema.field(n).type, pa.FixedShapeTensorType)]
    ids = table.select(["trial_id", "attempt"]).to_pylist()
    for at, row in enumerate(ids):
        if (row["trial_id"], row["attempt"]) in keys:
            yield row["trial_id"], tuple(table[n][at].to_numpy().tobytes() for n in sorted(names))


def wanted(seeds: Iterable[int], folder: Path) -> Content:
    """What a store that was never disturbed has of these seeds."""
    store = Store(folder, "s")
    for seed in seeds:
        record(store, [seed])
    return content(store)


def killed(action: Callable[[Files, Callable[[str], None]], None], number: int, after: bool) -> tuple[list[str], bool]:
    """Run `action(files, acknowledge)` in a child that is killed at its n-th operation: (acknowledged, was it killed).

    Acknowledgements come over a pipe, so the parent knows what the child had been told before it died.
    """
    left = iter(range(number))

    def die() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    hooks = {"after": lambda name, given, result: die()} if after else {"before": lambda name, given: die()}
    process, ours = started(lambda acknowledge: action(Seam(**hooks), acknowledge))
    acknowledged = drained(ours)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, -signal.SIGKILL), f"the child ended with {status}"
    return acknowledged, status != 0


def started(action: Callable[[Callable[[str], None]], None]) -> tuple[int, int]:
    """A forked child that runs `action(acknowledge)`: its pid, and where its acknowledgements can be read."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        return child, ours
    status = 1
    try:
        os.close(ours)
        action(lambda line: os.write(theirs, f"{line}\n".encode()) and None)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def drained(descriptor: int) -> list[str]:
    """The lines of a pipe until its writer is gone."""
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read().decode().split()


def fresh(prepared: Path, folder: Path) -> Store:
    """A copy of a prepared store."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    shutil.copytree(prepared, folder)
    return Store(folder, "s")


def tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder by their names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def parts(store: Store) -> dict[str, int]:
    return {table: len(list(store.folder_of(table).glob("part-*"))) for table in TABLES}


def hooked(store: Store, files: Files = LOCAL) -> Store:
    return Store(store.root, store.study, files)
