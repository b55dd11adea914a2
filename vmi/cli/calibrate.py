"""The `vmi calibrate` command: check, measure, keep, say. Loads torch; `vmi.cli.commands` does not."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

import psutil
import torch

from vmi.cost.forecast import Extent
from vmi.cost.measurements import Entry, Seconds, monotone, read, write
from vmi.cost.sizing import DEFAULT_PACK_SIZE
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.storage.paths import AnyPath
from vmi.study.checks import validate
from vmi.study.study import Study
from vmi.worker.measure import measure

DEVICES = ("cpu", "cuda")
# Wall time above CPU time by more than this says that others used the machine.
SHARED = 1.25


def calibrated(study: Study, pack_size: int | str, device: str, path: AnyPath) -> Iterator[str]:
    """Measure the study's packs and keep each as it is measured; what was found, line by line.

    Raises InputError for what cannot be measured here, StoreError for a damaged file at `path`, before measuring.
    """
    began = _until_now()
    validate(study)
    _check(device)
    read(path)
    extent = Extent(study, (), DEFAULT_PACK_SIZE)
    if not extent.is_foreseen:
        raise InputError([Problem("space", study.name, "no wide range of a field that decides the Architecture")])
    say = lambda line: print(f"measuring: {line}", file=sys.stderr, flush=True)  # noqa: E731, T201
    largest = pack_size if isinstance(pack_size, int) else None
    entries: list[Entry] = []
    for entry in measure(extent, device, largest, began, say):
        write(path, [entry])  # at once: on a GPU the next one takes minutes
        entries.append(entry)
    yield from _table(entries)
    yield f"kept in {path} ({entries[0].hardware}); the cost of a trial is linear in its steps"


def _check(device: str) -> None:
    if device not in DEVICES:
        raise InputError([Problem("--device", device, one_of(DEVICES), did_you_mean(device, DEVICES))])
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError([Problem("--device", device, "cpu: this machine has no GPU")])


def _until_now() -> Seconds:
    """What it took to come here: as a worker, this process has started Python and loaded torch."""
    spent = time.process_time()
    return Seconds(spent, max(spent, time.time() - psutil.Process().create_time()))


def _table(entries: Sequence[Entry]) -> Iterator[str]:
    device = entries[0].device
    for entry in entries:
        step = entry.step.on(device)
        kind = entry.kind
        yield (
            f"{kind.dataset} {kind.layout} {kind.network} {kind.hidden}{' ' if kind.terms else ''}{kind.terms}, "
            f"pack of {entry.pack_size}: {1e3 * step:.2f} ms a step ({1e3 * step / entry.pack_size:.2f} a member), "
            f"{entry.rest.on(device):.2f} s beyond its steps{_of_graph(entry)}"
        )
    once = {e.kind.data_key: e.data for e in entries} | {e.kind.reference_key: e.reference for e in entries}
    paid = ", ".join(f"{seconds.on(device):.1f} s {key}" for key, seconds in once.items() if key)
    yield f"once per worker: {entries[0].start.on(device):.1f} s start, {paid}"
    ratio = max(e.step.wall / max(e.step.cpu, 1e-9) for e in entries)
    if device == "cpu" and ratio > SHARED:
        yield f"note: this machine was shared (wall time up to {ratio:.1f} times CPU time); CPU time is what counts"
    kinds = {entry.kind for entry in entries}
    if not all(monotone([e for e in entries if e.kind == kind]) for kind in kinds):
        yield "note: a larger pack took shorter steps than a smaller one: measure again on a quieter machine"


def _of_graph(entry: Entry) -> str:
    """On a GPU: what the graph costs by which the steps were taken, and what they cost without; or that none was."""
    if entry.launched is None:
        return "" if entry.device == "cpu" else ", launched one by one"
    launched, capture = entry.launched.on(entry.device), entry.capture.on(entry.device)
    return f", {capture:.2f} s to capture the step ({1e3 * launched:.2f} ms without)"
