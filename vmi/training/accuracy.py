"""A categorical code as a classifier: the category-to-class map is fitted on one split and scored on another.

`counts_CY` [categories, classes] holds how many images of each class a category was given.
"""

from __future__ import annotations

import importlib
import math

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
USED_SHARE = 0.01


def contingency(categories: Ints, labels: Ints, size: int, classes: int) -> Ints:
    """Images per (category, class): [size, classes]."""
    counts_CY = np.zeros((size, classes), dtype=np.int64)
    np.add.at(counts_CY, (categories, labels), 1)
    return counts_CY


def majority_map(counts_CY: Ints) -> Ints:
    """The commonest class of each category; a category never seen gets -1, which is always wrong."""
    return np.where(counts_CY.sum(1) > 0, counts_CY.argmax(1), -1)


def hungarian_map(counts_CY: Ints) -> Ints:
    """The one-to-one map of most correct images (Kuhn 1955); categories beyond the classes get -1."""
    from scipy.optimize import linear_sum_assignment

    mapping = np.full(counts_CY.shape[0], -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(counts_CY, maximize=True)
    mapping[rows] = columns
    return mapping


def accuracy(mapping: Ints, categories: Ints, labels: Ints) -> float:
    """Share of images whose category maps to their class."""
    return float((mapping[categories] == labels).mean())


def normalized_mi(counts_CY: Ints) -> float:
    """I(category; class) over the mean of the two entropies: 1 where both are constant, 0 where one is.

    Strehl & Ghosh 2002 (JMLR 3:583); with the arithmetic mean, and the same to the last bit, as scikit-learn has it.
    """
    counts_YC = np.ascontiguousarray(counts_CY[np.ix_(counts_CY.any(1), counts_CY.any(0))].T)
    of_class, of_category, total = counts_YC.sum(1), counts_YC.sum(0), float(counts_YC.sum())
    if len(of_class) <= 1 or len(of_category) <= 1:
        return float(len(of_class) == len(of_category))
    label, category = np.nonzero(counts_YC)
    pairs = counts_YC[label, category].astype(np.float64)
    share, log_total = pairs / total, math.log(total)
    log_outer = -np.log(of_class[label] * of_category[category]) + log_total + log_total
    terms = share * (np.log(pairs) - log_total) + share * log_outer
    shared = max(0.0, float(np.where(np.abs(terms) < np.finfo(np.float64).eps, 0.0, terms).sum()))
    return shared and float(shared / np.mean([_entropy(of_class), _entropy(of_category)]))


def _entropy(counts: Ints) -> float:
    """Of the shares of these counts, in nats."""
    total = counts.sum().astype(np.float64)
    return float(-np.sum(counts / total * (np.log(counts) - math.log(total))))


def adjusted_rand(counts_CY: Ints) -> float:
    """Agreement on pairs of images, 0 by chance (Hubert & Arabie 1985, J. Classification 2:193)."""
    total, both = int(counts_CY.sum()), int((counts_CY**2).sum())
    of_category, of_class = (int((counts_CY.sum(axis) ** 2).sum()) for axis in (1, 0))
    together, apart = both - total, total**2 - of_category - of_class + both
    split, merged = of_class - both, of_category - both
    if split == merged == 0:
        return 1.0
    chance = (together + split) * (split + apart) + (together + merged) * (merged + apart)
    return 2.0 * (together * apart - split * merged) / chance


def load_libraries() -> None:
    """Import what `scores` needs, before there is a pack: where memory ends, a library that cannot be mapped raises
    ImportError, or ends the process, and is no longer known for want of memory.
    """
    importlib.import_module("scipy.optimize")


def scores(
    train_categories: Ints, train_labels: Ints, categories: Ints, labels: Ints, size: int, classes: int
) -> dict[str, float]:
    """Every accuracy of a code: maps fitted on the training split, scored on the held-out split (train: on itself).

    Where no image has a label (`classes` 0), the categories used alone.
    """
    used = np.bincount(categories, minlength=size) >= USED_SHARE * len(categories)
    if not classes:
        return {"categories_used": float(used.sum())}
    counts_CY = contingency(train_categories, train_labels, size, classes)
    held_out_CY = contingency(categories, labels, size, classes)
    majority = majority_map(counts_CY)
    return {
        "accuracy_majority": accuracy(majority, categories, labels),
        "accuracy_hungarian": accuracy(hungarian_map(counts_CY), categories, labels),
        "accuracy_train": accuracy(majority, train_categories, train_labels),
        "nmi": normalized_mi(held_out_CY),
        "ari": adjusted_rand(held_out_CY),
        "categories_used": float(used.sum()),
        "majority_class_share": float((labels == np.bincount(train_labels).argmax()).mean()),
    }
