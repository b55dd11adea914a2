"""The catalogue of data sets: what each is, its fixed split, its fingerprint and its default trial settings.

Standard library only, so that planning a study needs no torch; `vmi.data.dataset` loads the pixels and checks them
against the fingerprint given here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.spec.home import cache_folder

Defaults = Mapping[str, float | int | str]


class DatasetSpec(NamedTuple):
    """One data set. `fingerprint` is the SHA-256 over pixels, labels and split of `vmi.data.dataset.fingerprint`.

    An image is `channels` planes of `image_shape`, [C, H, W], one row of D pixels. `classes` is 0 where none has a
    label. Pixels are whole numbers up to `levels`, or with `levels` 0 numbers in [0, 1]. `auto_variance` is half the
    mean squared distance of a training pixel, read as [0, 1], from that of the mean image; three digits.
    """

    name: str
    image_shape: tuple[int, int]
    classes: int
    train_count: int
    held_out_count: int
    levels: int
    fingerprint: str
    defaults: Defaults
    source: str
    folder: str = ""
    md5: Mapping[str, str] = {}
    channels: int = 1
    auto_variance: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, *self.image_shape

    @property
    def pixels(self) -> int:
        return math.prod(self.shape)

    @property
    def is_labelled(self) -> bool:
        return self.classes > 0


# Likelihood variance, step count and learning rate are those under which the code is neither ignored nor forced.
_MLP_28: Defaults = {"hidden": "256-128", "likelihood_variance": 0.49, "learning_rate": 1e-3, "steps": 1200}
_SOURCE_28 = "torchvision.datasets (downloaded into the data folder when absent), official train and test split"

DATASETS: Mapping[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec(
            name="digits",
            image_shape=(8, 8),
            classes=10,
            train_count=1437,
            held_out_count=360,
            levels=16,
            fingerprint="3d91ba60b6729582",
            auto_variance=0.0368,
            defaults={"hidden": "128-64", "likelihood_variance": 0.04, "learning_rate": 3e-3, "steps": 300},
            source="scikit-learn load_digits (embedded, nothing to fetch), split by the hash of the image's index",
        ),
        DatasetSpec(
            name="mnist",
            image_shape=(28, 28),
            classes=10,
            train_count=60_000,
            held_out_count=10_000,
            levels=255,
            fingerprint="1e35582d42a90940",
            auto_variance=0.0336,
            defaults=_MLP_28,
            source=_SOURCE_28,
            folder="MNIST/raw",
            md5={
                "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
                "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
                "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
                "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
            },
        ),
        DatasetSpec(
            name="fashion_mnist",
            image_shape=(28, 28),
            classes=10,
            train_count=60_000,
            held_out_count=10_000,
            levels=255,
            fingerprint="ece172613115fb18",
            auto_variance=0.0435,
            defaults=_MLP_28,
            source=_SOURCE_28,
            folder="FashionMNIST/raw",
            md5={
                "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
                "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
                "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
            },
        ),
    )
}


# Data sets of the user's own, which this process was told of, and where they are kept, by their names.
_own: dict[str, DatasetSpec] = {}
_places: dict[str, str] = {}


def register(spec: DatasetSpec, place: str = "") -> None:
    """Make a data set known by its name in this process, beside those of the catalogue."""
    _own[spec.name] = spec
    if place:
        _places[spec.name] = place


def place_of(name: str) -> str:
    """Where a data set of the user's own is kept; empty for one of the catalogue, and where that is not known."""
    return _places.get(name, "")


def spec_to_json(spec: DatasetSpec) -> dict[str, Any]:
    return {**spec._asdict(), "image_shape": list(spec.image_shape), "defaults": dict(spec.defaults), "md5": {}}


def spec_from_json(content: Mapping[str, Any]) -> DatasetSpec:
    known = {name: content[name] for name in DatasetSpec._fields if name in content}
    return DatasetSpec(**{**known, "image_shape": tuple(content["image_shape"])})


def find(name: object) -> DatasetSpec | None:
    """The data set of that name; None where this process knows none."""
    return (DATASETS.get(name) or _own.get(name)) if isinstance(name, str) else None


# Read by `vmi.sources.published`.
PUBLISHED = (
    "kmnist", "qmnist", "usps", "svhn", "cifar10",
    *(f"emnist_{split}" for split in ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")),
)  # fmt: skip
# Of files that `vmi.sources.files` reads.
SUFFIXES = (".npz", ".npy", ".parquet", ".arrow", ".feather")


def is_place(value: object) -> bool:
    """Whether what a study calls its data set has to be read first: a file, a folder, or a published one."""
    if not isinstance(value, str) or not value.strip() or find(value) is not None:
        return False
    try:
        there = Path(value).exists()
    except (OSError, ValueError):  # no path of this system
        there = False
    return there or value in PUBLISHED or "::" in value or os.sep in value or value.lower().endswith(SUFFIXES)


def spec_of(name: str) -> DatasetSpec:
    """The data set of that name. Raises InputError with the nearest valid name."""
    if (spec := find(name)) is None:
        raise InputError([Problem("dataset", name, one_of(list(DATASETS)), did_you_mean(name, DATASETS))])
    return spec


def told(name: str) -> str:
    """What a reader is told of a data set: its name, and of the user's own where it came from."""
    spec = _own.get(name)
    return f"{name} ({spec.source})" if spec else name


def data_folder() -> Path:
    """Where data sets lie: VMI_DATA_DIR, else the user's cache."""
    return Path(os.environ.get("VMI_DATA_DIR") or cache_folder())
