"""A data set of the user's own in one order, with one split and one name, whatever file or array it came from.

Images are ordered by a hash of their content, so that the first of them are a random sample, and where nobody has
declared a split the first fifth of each class is held out, copies of one image on the same side. So the name, which is
the fingerprint of pixels, labels and split, is that of the content: no path, no format and no order of files is in it.
Loads no torch.
Shapes: N images, C channels, H x W image plane, D pixels.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmi.sources.arrays import Array, Images, arrays, refused
from vmi.sources.files import read
from vmi.spec.datasets import DatasetSpec, register
from vmi.spec.errors import InputError, Problem

HELD_OUT_SHARE = 0.2
MIN_IMAGES = 40
# Of a split that the user declares: what is estimated on fewer held-out images is not finite, or says nothing.
MIN_SIDE = 8
SMALL = 256

_made: dict[str, Dataset] = {}


class Dataset(NamedTuple):
    """Images of your own, as a study's `dataset` or for `vmi.evaluate`.

    Attributes:
        spec: what it is: its name, the shape of an image, how many, its fingerprint, the defaults of its trials
        train: rows of pixels [N, D], uint8 or float32 in [0, 1], and classes [N]
        held_out: the same of the held-out split
        classes: the label of each class, in their order; empty where no image has one
        skipped: files, and rows of tables, that are no image, where these were to be left out
    """

    spec: DatasetSpec
    train: tuple[Array, Array]
    held_out: tuple[Array, Array]
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a study calls it: "data-" and its fingerprint."""
        return self.spec.name

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any = None,
        split: Any = None,
        shape: tuple[int, ...] | None = None,
        source: str = "arrays",
    ) -> Dataset:
        """Images [N, H, W], [N, H, W, C], [N, C, H, W] or flat [N, D], uint8 or floats in [0, 1].

        Arguments:
            images: the images
            labels: a whole number or a string for each
            split: "train", "val" or "test" for each, or true for what is held out; without it, a fifth of each class is
            shape: of flat or ambiguous images, (H, W) or (C, H, W)
            source: what the page calls them

        Raises:
            vmi.InputError: with all that is wrong with them
        """
        return held(dataset_of(arrays(images, labels, split, shape, source), source))

    @classmethod
    def from_file(cls, path: str | Path, skip_broken: bool = False) -> Dataset:
        """A .npz, .npy, Parquet or Arrow file, a folder of such tables, or a folder of PNG or JPEG images.

        Arguments:
            path: where it lies; with a shape where the file does not say it: "photos::32x32"
            skip_broken: leave broken images out, and name their files or rows in `skipped`

        Raises:
            vmi.InputError: with all that is wrong with it
        """
        return held(dataset_of(read(str(path), skip_broken), str(path)))


def held(dataset: Dataset) -> Dataset:
    """Known by its name in this process from here on."""
    register(dataset.spec)
    _made[dataset.name] = dataset
    return dataset


def made(name: str) -> Dataset | None:
    """The data set of that name, if this process has read it."""
    return _made.get(name)


def dataset_of(images: Images, source: str) -> Dataset:
    """In its own order and split, described and named. Raises InputError with all that is wrong with it."""
    count = len(images.pixels)
    classes, labels = _classes(images.labels, count)
    _check(images, labels, classes, source)
    rows = np.ascontiguousarray(images.pixels).reshape(count, -1)
    keys = [hashlib.sha256(row.tobytes()).digest() for row in rows]
    order = np.array(sorted(range(count), key=lambda i: (keys[i], labels[i])))
    held_out = images.held_out if images.held_out is not None else _held_out(order, labels, keys)
    order = _shuffled(order, keys)
    of_train, of_held_out = (order[side] for side in (~held_out[order], held_out[order]))
    if not len(of_train) or not len(of_held_out):
        raise refused(source, "a split with images on both sides", f"{len(of_train)} and {len(of_held_out)} of {count}")
    if images.held_out is not None and min(len(of_train), len(of_held_out)) < MIN_SIDE:
        found = f"{len(of_train)} to train on, {len(of_held_out)} held out"
        raise refused(source, f"a split with at least {MIN_SIDE} images on each side", found)
    train, held = ((rows[side], labels[side]) for side in (of_train, of_held_out))
    told = f"{source}, {len(images.skipped)} broken left out" if images.skipped else source
    spec = _described(images.pixels.shape[1:], train, held, len(classes), told)
    return Dataset(spec, train, held, classes, images.skipped)


def _classes(given: Array | None, count: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of the classes, numbers by their value, and each image's class by its place among them."""
    if given is None:
        return (), np.zeros(count, dtype=np.int64)
    names = sorted({str(label) for label in given.tolist()}, key=_by_value)
    place = {name: i for i, name in enumerate(names)}
    return tuple(names), np.array([place[str(label)] for label in given.tolist()], dtype=np.int64)


def _by_value(name: str) -> tuple[bool, int, str]:
    whole = bool(re.fullmatch(r"-?\d{1,1000}", name))
    return not whole, int(name) if whole else 0, name


def _check(images: Images, labels: NDArray[np.int64], classes: tuple[str, ...], source: str) -> None:
    problems, count = [], len(labels)
    if count < MIN_IMAGES:
        problems.append(Problem("dataset", source, f"at least {MIN_IMAGES} images, found {count}"))
    alone = [classes[c] for c, n in enumerate(np.bincount(labels, minlength=len(classes))) if classes and n < 2]
    if alone:
        allowed = "at least two images of each class, one to train on and one held out"
        problems.append(Problem("dataset", source, allowed, f"one image of {', '.join(alone[:5])}"))
    if problems:
        raise InputError(problems)


def _held_out(order: NDArray[np.int64], labels: NDArray[np.int64], keys: list[bytes]) -> NDArray[np.bool_]:
    """The first fifth of each class by content, and at least one, copies of an image on one side.

    Copies of the last of them are held out with it, unless that would be twice what is to be.
    """
    found = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        wanted = max(1, round(HELD_OUT_SHARE * len(own)))
        first, end = wanted - 1, wanted
        while end < len(own) - 1 and keys[own[end]] == keys[own[end - 1]]:
            end += 1
        while first > 0 and keys[own[first]] == keys[own[first - 1]]:
            first -= 1
        found[own[: first if first and end > 2 * wanted else end]] = True
    return found


def _shuffled(order: NDArray[np.int64], keys: list[bytes]) -> NDArray[np.int64]:
    """By a hash of the content and of how many copies came before, so that copies of an image do not lie together."""
    copies: Counter[bytes] = Counter()
    hashes = []
    for i in order:
        hashes.append(hashlib.sha256(keys[i] + copies[keys[i]].to_bytes(8, "little")).digest())
        copies[keys[i]] += 1
    return order[sorted(range(len(order)), key=hashes.__getitem__)]


def _described(
    shape: tuple[int, ...], train: tuple[Array, Array], held_out: tuple[Array, Array], classes: int, source: str
) -> DatasetSpec:
    levels = 255 if train[0].dtype == np.uint8 else 0
    name = fingerprint(shape, levels, classes, train, held_out)
    channels, height, width = shape
    return DatasetSpec(
        name=f"data-{name}",
        image_shape=(int(height), int(width)),
        channels=int(channels),
        classes=classes,
        train_count=len(train[0]),
        held_out_count=len(held_out[0]),
        levels=levels,
        fingerprint=name,
        defaults=_defaults(train[0], levels),
        source=source,
        auto_variance=auto_variance(train[0], levels),
    )


def _defaults(pixels_ND: Array, levels: int) -> Mapping[str, float | int | str]:
    """Small networks for small images, and a variance of the likelihood that neither ignores nor forces the code."""
    count, size = pixels_ND.shape
    batch = min(128, 1 << max(3, (count // 4).bit_length() - 1))
    hidden, rate = ("128-64", 3e-3) if size <= SMALL else ("256-128", 1e-3)
    found: dict[str, float | int | str] = {"hidden": hidden, "learning_rate": rate, "steps": 1200, "batch_size": batch}
    if is_binary(pixels_ND):
        return found | {"likelihood": "bernoulli"}
    return found | {"likelihood_variance": auto_variance(pixels_ND, levels)}


def is_binary(pixels_ND: Array) -> bool:
    """Whether each pixel is black or white, so that a Bernoulli likelihood fits."""
    white = 255 if pixels_ND.dtype == np.uint8 else 1
    return bool(((pixels_ND == 0) | (pixels_ND == white)).all())


def auto_variance(pixels_ND: Array, levels: int) -> float:
    """Half the mean squared distance of a pixel, read as [0, 1], from the mean image's; three digits."""
    total, squares = np.zeros(pixels_ND.shape[1]), 0.0
    for start in range(0, len(pixels_ND), 4096):
        part = pixels_ND[start : start + 4096].astype(np.float64) / (levels or 1)
        total += part.sum(0)
        squares += float((part * part).sum())
    mean = total / len(pixels_ND)
    variance = squares / pixels_ND.size - float((mean * mean).mean())
    return max(float(f"{variance / 2:.3g}"), 1e-4)


def fingerprint(
    shape: tuple[int, ...], levels: int, classes: int, train: tuple[Array, Array], held_out: tuple[Array, Array]
) -> str:
    """SHA-256 (16 digits) over shape, pixels, labels and split."""
    digest = hashlib.sha256(json.dumps([list(map(int, shape)), levels, classes]).encode())
    for pixels_ND, labels_N in (train, held_out):
        digest.update(f"/{len(pixels_ND)}/".encode())
        digest.update(np.ascontiguousarray(pixels_ND).data)
        digest.update(labels_N.astype("<i8").tobytes() if classes else b"")
    return digest.hexdigest()[:16]
