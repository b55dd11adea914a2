"""K-means on the pixels, the accuracy that a code is compared with: computed once on a machine for each data set.

It is kept in the user's cache, by the content that it is of: scikit-learn takes a process as long to import as torch
does, and each one that trains would import it for this number alone (docs/decisions/training.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from vmi.data.dataset import Dataset
from vmi.spec.home import cache_folder
from vmi.training.accuracy import accuracy, contingency, majority_map

IMAGES = 10_000
STARTS = 4

_known: dict[tuple[str, int], tuple[Dataset, float]] = {}


def reference(data: Dataset, clusters: int) -> float:
    """`kept`, looked up once per process as long as these are the same tensors: a part of a data set has its name."""
    key = (data.spec.name, clusters)
    of, found = _known.get(key, (None, 0.0))
    if of is None or any(ours is not theirs for ours, theirs in zip(_tensors(of), _tensors(data), strict=True)):
        found = kept(data, clusters)
        _known[key] = data, found
    return found


def _tensors(data: Dataset) -> list[torch.Tensor]:
    return [*data.train, *data.held_out]


def forget() -> None:
    """The next reference is looked up anew, as in a new process."""
    _known.clear()


def kept(data: Dataset, clusters: int) -> float:
    """`computed`, or what this machine has computed of the same images and labels before."""
    data = data.to(torch.device("cpu"))
    path = cache_folder() / "kmeans" / f"{_content(data)}-{clusters}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        if 0 <= (found := float(json.loads(path.read_text())["accuracy"])) <= 1:
            return found
    found = computed(data, clusters)
    with contextlib.suppress(OSError):  # a home that can't be written to keeps nothing, and nothing is lost
        said = json.dumps({"dataset": data.spec.name, "clusters": clusters, "accuracy": found})
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, said)
    return found


def computed(data: Dataset, clusters: int) -> float:
    """Held-out majority accuracy of k-means (scikit-learn, fixed seed), fitted on 10,000 images at most."""
    from sklearn.cluster import KMeans

    fit = data.train.pixels_ND[:IMAGES].numpy().astype(np.float32)
    clusters = min(clusters, len(fit))
    model = KMeans(clusters, n_init=STARTS, random_state=0).fit(fit)
    held_out = model.predict(data.held_out.pixels_ND.numpy().astype(np.float32))
    labels = data.train.labels_N[:IMAGES].numpy()
    mapping = majority_map(contingency(model.labels_.astype(np.int64), labels, clusters, data.spec.classes))
    return accuracy(mapping, held_out.astype(np.int64), data.held_out.labels_N.numpy())


def _content(data: Dataset) -> str:
    """Of all that the number follows from: images, labels, and whose k-means."""
    parts = [part[:IMAGES] for part in data.train] + [*data.held_out]
    shapes = [(str(part.dtype), tuple(part.shape)) for part in parts]
    made_by = ["scikit-learn", metadata.version("scikit-learn"), IMAGES, STARTS]
    digest = hashlib.sha256(repr([made_by, data.spec.classes, shapes]).encode())
    for part in parts:
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _write(path: Path, text: str) -> None:
    """All of it or nothing, also beside others that write the same. (Training knows no store.)"""
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
