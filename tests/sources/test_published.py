"""Published data sets, on small files that are written as theirs are; nothing is fetched."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets

from vmi.sources import published
from vmi.sources.dataset import Dataset
from vmi.spec.datasets import PUBLISHED, is_place
from vmi.spec.errors import InputError

COUNTS = {"train": 50, "test": 20}


def made(side: str, shape: tuple[int, ...] = (28, 28), classes: int = 10) -> tuple[Any, Any]:
    numbers = np.random.default_rng(len(side))
    return numbers.integers(0, 256, (COUNTS[side], *shape), dtype=np.uint8), np.arange(COUNTS[side]) % classes


def idx(path: Path, array: Any, whole: bool = False) -> None:
    """The format of MNIST's files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code, array = (12, array.astype(">i4")) if whole else (8, array.astype(np.uint8))
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def like_mnist(root: Path, kind: str, prefixes: dict[str, str] | None = None) -> None:
    prefixes = prefixes or {"train": "train-", "test": "t10k-"}
    for side, prefix in prefixes.items():
        x, y = made(side)
        idx(root / kind / "raw" / f"{prefix}images-idx3-ubyte", x)
        idx(root / kind / "raw" / f"{prefix}labels-idx1-ubyte", y)


def usps(root: Path) -> None:
    for side, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        x, y = made(side, (256,))
        lines = [
            f"{c + 1} " + " ".join(f"{i + 1}:{v / 127.5 - 1:.6f}" for i, v in enumerate(row))
            for row, c in zip(x, y, strict=True)
        ]
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode()))


def svhn(root: Path, patch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    listed = {}
    for side in COUNTS:
        x, y = made(side, (32, 32, 3))
        path = root / f"{side}_32x32.mat"
        savemat(path, {"X": x.transpose(1, 2, 3, 0), "y": np.where(y == 0, 10, y)[:, None]})
        listed[side] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    patch.setattr(torchvision.datasets.SVHN, "split_list", listed)


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()

    def written(name: str, content: object) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    kind = torchvision.datasets.CIFAR10
    for side, attribute in (("train", "train_list"), ("test", "test_list")):
        x, y = made(side, (3, 32, 32))
        patch.setattr(kind, attribute, [written(side, {"data": x.reshape(len(x), -1), "labels": y.tolist()})])
    name, md5 = written("batches.meta", {"label_names": [str(i) for i in range(10)]})
    patch.setattr(kind, "meta", {"filename": name, "key": "label_names", "md5": md5})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMI_DATA_DIR", str(tmp_path))
    return tmp_path


def check(name: str, shape: tuple[int, ...], side_of: Any = lambda x: x) -> None:
    found = Dataset.from_file(name)
    assert (found.spec.train_count, found.spec.held_out_count, found.spec.classes) == (50, 20, 10)
    assert found.spec.source == name and (found.spec.channels, *found.spec.image_shape) == shape
    wanted = {side_of(image).tobytes() for image in made("test", shape if shape[0] > 1 else shape[1:])[0]}
    assert {row.tobytes() for row in found.held_out[0]} == wanted


def test_kmnist_and_emnist_upright(folder: Path) -> None:
    like_mnist(folder, "KMNIST")
    check("kmnist", (1, 28, 28))
    like_mnist(folder, "EMNIST", {s: f"emnist-digits-{s}-" for s in COUNTS})
    check("emnist_digits", (1, 28, 28), lambda image: np.ascontiguousarray(image.T))


def test_qmnist_has_its_class_in_the_first_column(folder: Path) -> None:
    for side, prefix in (("train", "train"), ("test", "test")):
        x, y = made(side)
        idx(folder / "QMNIST" / "raw" / f"qmnist-{prefix}-images-idx3-ubyte", x)
        idx(folder / "QMNIST" / "raw" / f"qmnist-{prefix}-labels-idx2-int", np.stack([y] * 8, 1), whole=True)
    check("qmnist", (1, 28, 28))


def test_usps_is_read_to_its_bytes(folder: Path) -> None:
    usps(folder)
    found = Dataset.from_file("usps")
    assert (found.spec.image_shape, found.spec.train_count, found.spec.held_out_count) == ((16, 16), 50, 20)


def test_colour_in_the_files_of_svhn_and_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(folder, monkeypatch)
    check("cifar10", (3, 32, 32))
    svhn(folder, monkeypatch)
    found = Dataset.from_file("svhn")
    wanted = {np.moveaxis(image, -1, 0).tobytes() for image in made("test", (32, 32, 3))[0]}
    assert {row.tobytes() for row in found.held_out[0]} == wanted and found.spec.channels == 3


def test_what_is_not_there_is_refused_with_where_it_was_looked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(self: object) -> None:
        raise RuntimeError("no network here")

    monkeypatch.setattr(torchvision.datasets.KMNIST, "download", absent)
    with pytest.raises(InputError, match="no network here") as error:
        Dataset.from_file("kmnist")
    assert str(folder) in str(error.value)


def test_the_names_are_those_that_a_study_takes() -> None:
    assert set(published.NAMES) == set(PUBLISHED) and all(is_place(name) for name in PUBLISHED)
