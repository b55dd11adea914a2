"""What packs cost on a node, as `vmi calibrate` has measured it: seconds per step, beyond the steps, and of start-up.

The model, of a pack of K members of one Architecture, n steps and R rounds of members in its places:

    seconds(K, n) = R * (n * step(K) + rest(K))                                            on a CPU
    seconds(K, n) = R * (l * launched(K) + capture(K) + (n - l) * step(K) + rest(K))       on a GPU

On a GPU l steps are launched one by one before the others replay a graph (`vmi.spec.reports.launched_steps`): none of
a long run, all of a short one, which then captures nothing. What is measured of steps and captures is linear between
the measured pack sizes; there is none outside of them, as that would be a guess. rest(K) (building, reports,
evaluation, commit) is linear in K. A worker pays its start once, and each data set and k-means reference at its first
pack with them. Loads neither torch nor Arrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

from vmi.spec.config import COSTLY, Architecture, TrialConfig
from vmi.spec.errors import StoreError
from vmi.spec.layout import parse
from vmi.spec.reports import launched_steps
from vmi.storage.checksum import sealed, unsealed
from vmi.storage.durable import LOCAL, Files, put_replacing
from vmi.storage.paths import AnyPath

VERSION = 1
FILE = "calibration.json"


class Seconds(NamedTuple):
    """CPU time of the process, and wall time. On a CPU that is shared with others the second says more of the others.

    Which one a prediction is made from depends on the device: a GPU works while its process waits.
    """

    cpu: float
    wall: float

    def __add__(self, other: Seconds) -> Seconds:  # type: ignore[override]  # seconds add up; tuples would join
        return Seconds(self.cpu + other.cpu, self.wall + other.wall)

    def times(self, factor: float) -> Seconds:
        return Seconds(self.cpu * factor, self.wall * factor)

    def towards(self, other: Seconds, share: float) -> Seconds:
        """From this one (share 0) to the other (share 1), along a line."""
        return self.times(1 - share) + other.times(share)

    def on(self, device: str) -> float:
        """What a worker with a core of its own takes."""
        return self.wall if device == "cuda" else self.cpu


ZERO = Seconds(0.0, 0.0)


class Kind(NamedTuple):
    """What makes packs of one size cost the same: the Architecture but for its steps, and the costly terms in use."""

    dataset: str
    layout: str
    network: str
    hidden: str
    likelihood: str
    phase_order: str
    batch_size: int
    terms: str
    precision: str = "float32"

    @property
    def data_key(self) -> str:
        return self.dataset

    @property
    def reference_key(self) -> str | None:
        """The k-means reference that the evaluation needs; None where there is no categorical block."""
        block = parse(self.layout).primary("c")
        return f"{self.dataset} k-means {block.size}" if block else None


def kind_of(architecture: Architecture, configs: Iterable[TrialConfig]) -> Kind:
    """The kind of a pack of these trials."""
    used = {term for config in configs for term in COSTLY if getattr(config, term)}
    given = asdict(architecture)
    return Kind(**{n: given[n] for n in Kind._fields if n != "terms"}, terms="+".join(sorted(used)))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One measurement: hardware x kind x pack size.

    step      of a pack, as a long run takes it: on a GPU by a graph
    rest      of a pack beyond its steps
    start     once per worker, as are `data` and `reference`
    launched  of a step of a pack that is launched by itself; None where every step is, and `step` is one
    capture   of a pack: the graph by which its other steps are taken
    packs_a_gpu  so many packs of this size at a time on one GPU trained most; `step` is of one that is alone
    """

    device: str
    hardware: str
    cores: int
    torch: str
    measured: str
    kind: Kind
    pack_size: int
    step: Seconds
    rest: Seconds
    start: Seconds
    data: Seconds
    reference: Seconds
    launched: Seconds | None = None
    capture: Seconds = ZERO
    packs_a_gpu: int = 1

    @property
    def key(self) -> tuple[str, str, Kind, int]:
        return self.device, self.hardware, self.kind, self.pack_size

    def taken(self, steps: int) -> Seconds:
        """Of so many steps of a pack of this size, in a run of so many."""
        if self.launched is None:
            return self.step.times(steps)
        alone = launched_steps(steps)
        replayed = self.capture + self.step.times(steps - alone) if alone < steps else ZERO
        return self.launched.times(alone) + replayed


class Costs(NamedTuple):
    """The entries of one piece of hardware, by kind and pack size."""

    device: str
    hardware: str
    by_kind: Mapping[Kind, Sequence[Entry]]

    @property
    def measured(self) -> str:
        """The day of the oldest entry."""
        return min(entry.measured for entries in self.by_kind.values() for entry in entries)[:10]

    @property
    def start(self) -> Seconds:
        """Of a worker, before its first pack; the last that was measured."""
        return max((e for entries in self.by_kind.values() for e in entries), key=lambda e: e.measured).start

    def fewest(self, kind: Kind) -> int:
        """The fewest members of a pack that were measured; 1 where nothing was."""
        return min((entry.pack_size for entry in self.by_kind.get(kind, ())), default=1)

    def has(self, kind: Kind, members: int) -> bool:
        sizes = [entry.pack_size for entry in self.by_kind.get(kind, ())]
        return bool(sizes) and min(sizes) <= members <= max(sizes)

    def pack(self, kind: Kind, members: int, steps: int, rounds: int = 1) -> Seconds:
        """Seconds of a pack without what its worker pays once. KeyError where nothing like it was measured."""
        if not self.has(kind, members):
            raise KeyError(f"no measurement of {members} members of {kind}")
        entries = self.by_kind[kind]
        low = max((e for e in entries if e.pack_size <= members), key=lambda e: e.pack_size)
        high = min((e for e in entries if e.pack_size >= members), key=lambda e: e.pack_size)
        share = (members - low.pack_size) / max(high.pack_size - low.pack_size, 1)
        one, other = low.taken(steps) + low.rest, high.taken(steps) + high.rest
        return one.towards(other, share).times(rounds)

    def once(self, kind: Kind) -> dict[str, Seconds]:
        """What a worker pays at its first pack of this data set and of this reference."""
        entry = self.by_kind[kind][-1]
        reference = {kind.reference_key: entry.reference} if kind.reference_key else {}
        return {kind.data_key: entry.data, **reference}


def read(path: AnyPath, files: Files = LOCAL) -> tuple[Entry, ...]:
    """Every entry of a calibration file; none where there is no file. Raises StoreError naming a damaged one."""
    try:
        content = unsealed(files.read(path))
        if content["vmi_calibration_version"] != VERSION:
            raise StoreError(f"{path}: calibration version {content['vmi_calibration_version']!r}, not {VERSION}")
        return tuple(_entry(given) for given in content["entries"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not a calibration, kept as it is: {error!r}") from error


def write(path: AnyPath, entries: Iterable[Entry], files: Files = LOCAL) -> None:
    """Add entries to a calibration file, in place of those of the same key. Raises OSError, StoreError."""
    kept = {entry.key: entry for entry in (*read(path, files), *entries)}
    shown = [{**asdict(e), "kind": e.kind._asdict()} for e in sorted(kept.values(), key=lambda e: e.key)]
    content = {"vmi_calibration_version": VERSION, "entries": [_named(entry) for entry in shown]}
    put_replacing(path.absolute().parent, path.name, sealed(content), files)


def costs_on(entries: Iterable[Entry], device: str, hardware: str | None) -> Costs | None:
    """What was measured on this hardware; where none is named, on the one that was measured last. None: nothing was."""
    fitting = [e for e in entries if e.device == device and hardware in (None, e.hardware)]
    if not fitting:
        return None
    name = max(fitting, key=lambda e: e.measured).hardware
    by_kind: dict[Kind, list[Entry]] = {}
    for entry in sorted((e for e in fitting if e.hardware == name), key=lambda e: e.pack_size):
        by_kind.setdefault(entry.kind, []).append(entry)
    return Costs(device, name, by_kind)


def sizes_up_to(largest: int) -> tuple[int, ...]:
    """The pack sizes that are measured: 1, 4, 16, ... and the largest itself."""
    return (*(size for size in (1, 4, 16, 64, 256) if size < largest), largest)


def monotone(entries: Sequence[Entry]) -> bool:
    """Whether larger packs took longer steps, as they must: else the measurement was disturbed."""
    return all(a.step.cpu <= b.step.cpu for a, b in pairwise(sorted(entries, key=lambda e: e.pack_size)))


def _named(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs of seconds with names, and digits that were measured."""
    pairs = {n: v for n, v in entry.items() if isinstance(v, Seconds | list | tuple) and n != "kind"}
    return {**entry, **{n: {"cpu": float(f"{v[0]:.4g}"), "wall": float(f"{v[1]:.4g}")} for n, v in pairs.items()}}


def _entry(given: Mapping[str, Any]) -> Entry:
    # What was measured before a field was added lacks it.
    values = {f.name: given[f.name] for f in fields(Entry) if f.name in given or f.default is MISSING}
    for name, value in values.items():
        if isinstance(value, dict) and name != "kind":
            values[name] = Seconds(float(value["cpu"]), float(value["wall"]))
            if not all(math.isfinite(x) and x >= 0 for x in values[name]):
                raise ValueError(f"{name} = {value}")
    if not isinstance(values["pack_size"], int) or values["pack_size"] < 1:
        raise ValueError(f"pack_size = {values['pack_size']!r}")
    if not isinstance(values.get("packs_a_gpu", 1), int) or values.get("packs_a_gpu", 1) < 1:
        raise ValueError(f"packs_a_gpu = {values['packs_a_gpu']!r}")
    return Entry(**{**values, "kind": Kind(**values["kind"])})
