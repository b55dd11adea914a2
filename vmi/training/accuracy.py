"""A categorical code as a classifier: the category-to-class map is fitted on one split and scored on another.

`counts_CY` [categories, classes] holds how many images of each class a category was given.
"""

from __future__ import annotations

import importlib

import numpy as np
import torch
from numpy.typing import NDArray

from vmi.data.dataset import Dataset

Ints = NDArray[np.int64]
KMEANS_IMAGES = 10_000
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


def scores(
    train_categories: Ints, train_labels: Ints, categories: Ints, labels: Ints, size: int, classes: int
) -> dict[str, float]:
    """Every accuracy of a code: maps fitted on the training split, scored on the held-out split (train: on itself).

    Where no image has a label (`classes` 0), the categories used alone.
    """
    used = np.bincount(categories, minlength=size) >= USED_SHARE * len(categories)
    if not classes:
        return {"categories_used": float(used.sum())}
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    counts_CY = contingency(train_categories, train_labels, size, classes)
    majority = majority_map(counts_CY)
    return {
        "accuracy_majority": accuracy(majority, categories, labels),
        "accuracy_hungarian": accuracy(hungarian_map(counts_CY), categories, labels),
        "accuracy_train": accuracy(majority, train_categories, train_labels),
        "nmi": float(normalized_mutual_info_score(labels, categories)),
        "ari": float(adjusted_rand_score(labels, categories)),
        "categories_used": float(used.sum()),
        "majority_class_share": float((labels == np.bincount(train_labels).argmax()).mean()),
    }


def load_libraries() -> None:
    """Import what scores and references need, before there is a pack: where memory ends, a library that cannot be
    mapped raises ImportError, or ends the process, and is no longer known for want of memory.
    """
    for name in ("scipy.optimize", "sklearn.metrics", "sklearn.cluster"):
        importlib.import_module(name)


_REFERENCES: dict[tuple[str, int], float] = {}


def kmeans_reference(data: Dataset, clusters: int) -> float:
    """`kmeans_accuracy`, computed once per process for each data set and number of clusters."""
    key = (data.spec.name, clusters)
    if key not in _REFERENCES:
        _REFERENCES[key] = kmeans_accuracy(data.to(torch.device("cpu")), clusters)
    return _REFERENCES[key]


def forget_references() -> None:
    """The next reference is computed, as in a new process."""
    _REFERENCES.clear()


def kmeans_accuracy(data: Dataset, clusters: int) -> float:
    """Held-out majority accuracy of k-means on the pixels (scikit-learn, fixed seed, 10,000 images at most)."""
    from sklearn.cluster import KMeans

    fit = data.train.pixels_ND[:KMEANS_IMAGES].numpy().astype(np.float32)
    clusters = min(clusters, len(fit))
    model = KMeans(clusters, n_init=4, random_state=0).fit(fit)
    held_out = model.predict(data.held_out.pixels_ND.numpy().astype(np.float32))
    labels = data.train.labels_N[:KMEANS_IMAGES].numpy()
    mapping = majority_map(contingency(model.labels_.astype(np.int64), labels, clusters, data.spec.classes))
    return accuracy(mapping, held_out.astype(np.int64), data.held_out.labels_N.numpy())
