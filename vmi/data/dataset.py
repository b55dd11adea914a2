"""Data sets as resident tensors, verified against their fingerprint.

Shapes: N images, D pixels. Pixels are kept as integers 0..levels and read as [0, 1].
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from vmi.data import digits
from vmi.spec.datasets import DatasetSpec, data_folder, register, spec_of
from vmi.spec.errors import InputError, Problem


class Split(NamedTuple):
    """Images [N, D] as integers (or numbers in [0, 1]) and their classes [N], all 0 where none has a label."""

    pixels_ND: Tensor
    labels_N: Tensor


class Dataset(NamedTuple):
    """A training and a held-out split on one device."""

    spec: DatasetSpec
    train: Split
    held_out: Split

    def images(self, split: Split, index: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """The images of `index` (any shape), scaled to [0, 1]: [..., D]."""
        if isinstance(index, slice):
            return split.pixels_ND[index].to(dtype) / (self.spec.levels or 1)
        # Row by row: indexing with a tensor of two dimensions takes three times as long.
        rows = split.pixels_ND.index_select(0, index.reshape(-1)).to(dtype).div_(self.spec.levels or 1)
        return rows.view(*index.shape, -1)

    def first(self, count: int) -> Dataset:
        """The first images of either split, `count` of them at most."""
        train, held_out = (Split(*(t[:count] for t in split)) for split in (self.train, self.held_out))
        return Dataset(self.spec, train, held_out)

    def to(self, device: torch.device) -> Dataset:
        train, held_out = (Split(*(t.to(device) for t in split)) for split in (self.train, self.held_out))
        return Dataset(self.spec, train, held_out)


_held: dict[str, Dataset] = {}


def of_arrays(
    spec: DatasetSpec, train: tuple[NDArray[Any], NDArray[Any]], held_out: tuple[NDArray[Any], NDArray[Any]]
) -> Dataset:
    """Rows of pixels [N, D] and classes [N] of either split, as they lie in memory."""
    return Dataset(spec, *(Split(*map(torch.from_numpy, pair)) for pair in (train, held_out)))


def as_dataset(given: Any) -> Dataset:
    """By its name, or what is one already: of tensors, or of arrays with `spec`, `train` and `held_out`."""
    if isinstance(given, str):
        return load(given)
    return given if isinstance(given, Dataset) else of_arrays(given.spec, given.train, given.held_out)


def is_held(name: str) -> bool:
    return name in _held


def hold(dataset: Dataset) -> None:
    """Keep a data set of the user's own: its name is known in this process from here on, and `load` gives it."""
    register(dataset.spec)
    _held[dataset.spec.name] = dataset


def load(name: str, folder: Path | None = None) -> Dataset:
    """The data set on the CPU, once per process.

    `digits` is embedded; the others are read from `folder` (default: VMI_DATA_DIR, else the user's cache), or
    downloaded into it when absent. Raises InputError naming path, expected and found; a damaged file is kept.
    """
    return _held.get(name) or _loaded(name, folder)


def forget() -> None:
    """What was loaded is loaded anew when it is asked for again."""
    _loaded.cache_clear()


@lru_cache(maxsize=2)
def _loaded(name: str, folder: Path | None) -> Dataset:
    spec = spec_of(name)
    dataset = _digits(spec) if name == "digits" else _torchvision(spec, folder or data_folder())
    found = fingerprint(dataset)
    if found != spec.fingerprint:
        raise InputError([Problem("dataset", name, f"content with fingerprint {spec.fingerprint}", f"found {found}")])
    return dataset


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 (16 digits) over pixels and labels, training split first, so over the split as well."""
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.held_out):
        digest.update(split.pixels_ND.numpy().tobytes())
        digest.update(split.labels_N.numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def _digits(spec: DatasetSpec) -> Dataset:
    table = digits.table(spec)
    pixels, labels = torch.from_numpy(table[:, :-1].astype("uint8")), torch.from_numpy(table[:, -1].astype("int64"))
    # Ordered by a hash of the index: a fixed shuffle that no library's generator can change.
    order = sorted(range(len(labels)), key=lambda i: hashlib.sha256(f"digits-{i}".encode()).digest())
    train, held_out = order[: spec.train_count], order[spec.train_count :]
    return Dataset(spec, *(Split(pixels[i], labels[i]) for i in (torch.tensor(train), torch.tensor(held_out))))


def _torchvision(spec: DatasetSpec, folder: Path) -> Dataset:
    from torchvision import datasets

    kind = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[spec.name]
    missing = [name for name in spec.md5 if not (folder / spec.folder / name).is_file()]
    if missing:
        _download(kind, folder, spec, missing)
    problems = [problem for name in spec.md5 if (problem := _damage(folder / spec.folder / name, spec.md5[name]))]
    if problems:
        raise InputError(problems)
    splits = [kind(root=str(folder), train=train, download=False) for train in (True, False)]
    return Dataset(spec, *(Split(s.data.reshape(len(s.data), -1), s.targets.long()) for s in splits))


def _download(kind: type, folder: Path, spec: DatasetSpec, missing: list[str]) -> None:
    try:
        kind(root=str(folder), train=True, download=True)
    except (OSError, RuntimeError) as error:
        path = folder / spec.folder / missing[0]
        hint = "fetch it with torchvision.datasets where there is a network, or point VMI_DATA_DIR at a folder with it"
        problem = Problem("dataset", spec.name, f"file {path} is absent and could not be downloaded: {error}", hint)
        raise InputError([problem]) from error


def _damage(path: Path, expected: str) -> Problem | None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found == expected:
        return None
    size = path.stat().st_size
    return Problem(
        "dataset",
        str(path),
        f"MD5 {expected}, found {found} ({size} bytes)",
        "the file was kept; remove it to fetch it again",
    )
