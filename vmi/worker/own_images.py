"""Data sets of the user's own where images are needed: as this process made them, or as they are kept."""

from __future__ import annotations

from vmi.data import dataset
from vmi.sources import kept
from vmi.sources.dataset import made
from vmi.spec.datasets import DATASETS, place_of


def hold(name: str) -> None:
    """Let `vmi.data.dataset.load` find it by its name. Raises StoreError where what was kept is not what it was."""
    if name in DATASETS or dataset.is_held(name):
        return
    found = made(name) or (kept.load(name) if place_of(name) else None)
    if found is not None:
        dataset.hold(dataset.of_arrays(found.spec, found.train, found.held_out))
