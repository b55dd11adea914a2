"""Small data sets of noisy prototypes, known by their names: without labels, or with classes of any shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vmi.data.dataset import Dataset, Split, fingerprint, hold
from vmi.spec.datasets import DatasetSpec

SIDE, LEVELS, TRAIN, HELD_OUT, KINDS = 8, 16, 200, 60, 5


def small_images(name: str, shares: Sequence[float] = (), held_out: int = HELD_OUT) -> Dataset:
    """200 + 60 images of 8 x 8. `shares`: of each class, which are kinds of image; without them none has a label."""
    rng = np.random.default_rng(0)
    kinds = len(shares) or KINDS
    prototypes = rng.random((kinds, SIDE * SIDE))
    splits = []
    for count in (TRAIN, held_out):
        kind_N = rng.choice(kinds, count, p=shares or None)
        pixels_ND = np.clip(prototypes[kind_N] + rng.normal(0, 0.15, (count, SIDE * SIDE)), 0, 1)
        labels_N = torch.from_numpy(kind_N if shares else np.zeros_like(kind_N)).long()
        splits.append(Split(torch.from_numpy((pixels_ND * LEVELS).round().astype(np.uint8)), labels_N))
    spec = DatasetSpec(name, (SIDE, SIDE), len(shares), TRAIN, held_out, LEVELS, "", {"steps": 40}, "made here")
    made = Dataset(spec._replace(fingerprint=fingerprint(Dataset(spec, *splits))), *splits)
    hold(made)
    return made


THREE = (0.6, 0.3, 0.1)
MANY = (0.25, *[0.03] * 25)
