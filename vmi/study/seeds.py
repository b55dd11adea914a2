"""Seeds of a study: how they are held, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from vmi.spec.config import MAX_SEED
from vmi.spec.errors import Problem
from vmi.study.values import Opaque, plain

MAX_SEEDS = 10_000


def held(seeds: Iterable[int]) -> Any:
    """The seeds as a tuple, cut one above what is allowed: 10**9 of them are refused without being held."""
    if isinstance(seeds, str | bytes | bytearray | Mapping) or not isinstance(seeds, Iterable):
        return plain(seeds)
    try:
        return tuple(plain(seed) for seed in islice(seeds, MAX_SEEDS + 1))
    except Exception:  # what a foreign iterable raises
        return Opaque(seeds)


def problems(field: str, seeds: Any) -> Iterator[Problem]:
    """What is wrong with the seeds that `field` of a study holds."""
    if not isinstance(seeds, tuple):
        yield Problem(field, seeds, f"1 to {MAX_SEEDS} whole numbers from 0 to {MAX_SEED}")
        return
    if not 1 <= len(seeds) <= MAX_SEEDS:
        yield Problem(field, seeds, f"1 to {MAX_SEEDS} of them")
    first: dict[int, int] = {}
    for index, seed in enumerate(seeds):
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
            yield Problem(f"{field}[{index}]", seed, f"a whole number from 0 to {MAX_SEED}")
        elif first.setdefault(seed, index) != index:
            yield Problem(f"{field}[{index}]", seed, f"different seeds; index {first[seed]} is the same")
