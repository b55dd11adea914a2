"""Packs: each trial once, one Architecture each, even, in order, in linear time."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.cost.packing import TINY, pack
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial

BASE = resolve({})


def trials_of(steps: list[int]) -> list[Trial]:
    configs = [replace(BASE, seed=seed, steps=count) for seed, count in enumerate(steps)]
    return [Trial(f"{i:016x}", "s", config) for i, config in enumerate(configs)]


@given(st.lists(st.integers(1, 4), max_size=120), st.integers(1, 20), st.integers(1, 9))
def test_every_trial_is_in_exactly_one_pack_of_its_architecture(steps: list[int], size: int, workers: int) -> None:
    trials = trials_of(steps)
    packs = pack(trials, size, workers)
    assert Counter(t.trial_id for p in packs for t in p.trials) == Counter(t.trial_id for t in trials)
    assert len({p.pack_id for p in packs}) == len(packs)
    by_group: dict[int, list[int]] = {}
    for spec in packs:
        assert len({trial.config.architecture for trial in spec.trials}) == 1
        assert 1 <= len(spec.trials) <= size
        assert list(spec.trials) == sorted(spec.trials, key=lambda t: t.trial_id)
        by_group.setdefault(spec.trials[0].config.steps, []).append(len(spec.trials))
    assert list(by_group) == list(dict.fromkeys(steps))
    for sizes in by_group.values():
        assert max(sizes) - min(sizes) <= 1
        fewest = -(-sum(sizes) // size)
        assert len(sizes) == fewest or min(sizes) >= TINY
    assert packs == pack(trials, size, workers)


@pytest.mark.parametrize(
    ("count", "size", "workers", "sizes"),
    [
        (50, 16, 2, [13, 13, 12, 12]),
        (50, 16, 1, [13, 13, 12, 12]),
        (33, 16, 2, [9, 8, 8, 8]),
        (10, 16, 2, [5, 5]),
        (5, 16, 2, [5]),
        (50, 16, 64, [5, 5, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
        (3, 1, 2, [1, 1, 1]),
        (1, 16, 2, [1]),
        (0, 16, 2, []),
    ],
)
def test_packs_are_balanced_over_workers(count: int, size: int, workers: int, sizes: list[int]) -> None:
    assert [len(p.trials) for p in pack(trials_of([1] * count), size, workers)] == sizes


def test_the_id_is_that_of_the_trials() -> None:
    trials = trials_of([1, 1])
    first, second = pack(trials, 2, 1), pack(trials[:1], 2, 1)
    assert len(first[0].pack_id) == 12
    assert int(first[0].pack_id, 16) >= 0
    assert first[0].pack_id != second[0].pack_id


@pytest.mark.parametrize(("size", "workers"), [(0, 1), (1, 0), (-1, 2)])
def test_nonsense_is_refused(size: int, workers: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pack([], size, workers)


def test_ten_thousand_trials_take_well_under_a_second() -> None:
    trials = trials_of([1 + i % 7 for i in range(10_000)])
    start = time.process_time()
    pack(trials, 16, 2)
    assert time.process_time() - start < 0.8
