"""How many suggestions a sampler is asked for at a time, and how many packs wait for a worker."""

from __future__ import annotations

from collections.abc import Callable

from vmi.study.study import Study

# A sampler is asked in at least this many rounds, so that it learns from most of what it is told.
SAMPLER_ROUNDS = 4
# Where members may be stopped early, a pack gets this many times the trials it has places for: one waits for each gap.
QUEUE = 4
ALL = 10**9


def queue_of(study: Study, pack_size: int) -> int:
    """How many trials of the search a pack is given, of which `pack_size` are trained at a time."""
    return pack_size * (QUEUE if study.pruner else 1)


def round_of(study: Study, pack_size: int, workers: Callable[[], int]) -> int:
    """How many suggestions to ask for: all of a grid; of a sampler enough to fill the workers, in a few rounds."""
    if study.searcher == "grid" or not study.suggestions:
        return ALL
    filling = -(-workers() * queue_of(study, pack_size) // len(tuple(study.seeds)))
    return max(1, min(filling, -(-study.suggestions // SAMPLER_ROUNDS)))
