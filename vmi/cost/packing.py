"""Packs of one Architecture, even in size, cut Architecture by Architecture.

So are packs cut whose members may be stopped early, with some that wait for their places (`vmi.cost.rounds`): how long
they take is not known. All others are cut by what they are predicted to take (`vmi.cost.cutting`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from vmi.spec.config import Architecture
from vmi.spec.trial import PackSpec, Trial

# A pack's size that is left to this program: by measurements and memory; and the largest that may be asked for.
AUTO = "auto"
MAX_PACK_SIZE = 1024
# Below four members the fixed cost of a step dominates: another busy worker gains less than fusing does.
TINY = 4

# The most members that a pack of an Architecture gets: a number for all, or one for each.
Size = int | Callable[[Architecture], int]


def pack(trials: Sequence[Trial], size: Size, workers: int) -> list[PackSpec]:
    """Packs of at most `size` trials of one Architecture; every trial is in exactly one, in the order given.

    The trials of one Architecture are split evenly (sizes differ by at most one) and into a multiple of
    `workers` packs where none gets tiny by that: 50 trials, size 16 and 2 workers give 13, 13, 12 and 12.
    """
    if workers < 1 or (isinstance(size, int) and size < 1):
        raise ValueError(f"size and workers must be at least 1, not {size} and {workers}")
    return [
        pack_of(part)
        for architecture, group in by_architecture(trials).items()
        for part in _split(group, _parts(len(group), size_for(size, architecture), workers))
    ]


def by_architecture(trials: Iterable[Trial]) -> dict[Architecture, list[Trial]]:
    """The trials of each Architecture, in the order given."""
    groups: dict[Architecture, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.config.architecture, []).append(trial)
    return groups


def size_for(size: Size, architecture: Architecture) -> int:
    """The most members that a pack of this Architecture gets."""
    return size if isinstance(size, int) else size(architecture)


def _parts(count: int, size: int, workers: int) -> int:
    """How many packs: the fewest, rounded up to a multiple of `workers` as far as they stay above TINY."""
    fewest = -(-count // size)
    balanced = -(-fewest // workers) * workers
    return max(fewest, min(balanced, count // TINY))


def _split(group: Sequence[Trial], parts: int) -> Iterator[tuple[Trial, ...]]:
    small, larger = divmod(len(group), parts)
    start = 0
    for index in range(parts):
        stop = start + small + (index < larger)
        yield tuple(group[start:stop])
        start = stop


def parts_of(spec: PackSpec, parts: Iterable[Collection[str]]) -> list[PackSpec]:
    """Packs of some of a pack's trials each, by their ids."""
    return [
        pack_of(tuple(t for t in spec.trials if t.trial_id in ids), {i: n for i, n in spec.retried.items() if i in ids})
        for ids in parts
    ]


def pack_of(trials: tuple[Trial, ...], retried: Mapping[str, int] = MappingProxyType({})) -> PackSpec:
    """The trials as a pack, named by their ids in order, and by the attempts that have failed (`PackSpec.retried`)."""
    text = "\n".join(f"{i}:{retried[i]}" if (i := trial.trial_id) in retried else i for trial in trials)
    return PackSpec(hashlib.sha256(text.encode()).hexdigest()[:12], trials, retried)
