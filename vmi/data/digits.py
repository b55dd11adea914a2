"""The table of scikit-learn's digits: 8 x 8 images and their labels, read without importing scikit-learn."""

from __future__ import annotations

import importlib.util
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmi.spec.datasets import DatasetSpec
from vmi.spec.errors import InputError, Problem

FILE = Path("datasets") / "data" / "digits.csv.gz"


def table(spec: DatasetSpec) -> NDArray[np.float64]:
    """Pixels and label of each image: [N, D + 1].

    The package is found and not imported, which takes 1.4 s and is in vain where no categorical code is scored.
    Where the file is not in it, `load_digits` is asked. Raises InputError naming a file that is damaged.
    """
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        if (path := Path(folder) / FILE).is_file():
            return read(path, (spec.train_count + spec.held_out_count, spec.pixels + 1))
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])


def read(path: Path, shape: tuple[int, int]) -> NDArray[np.float64]:
    """A compressed table of numbers, separated by commas, of this shape. Raises InputError naming the file."""
    try:
        numbers = np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damage(path, shape, str(error)) from error
    if numbers.shape != shape:
        raise _damage(path, shape, f"{numbers.shape[0]} rows of {numbers.shape[1]}")
    return numbers


def _damage(path: Path, shape: tuple[int, int], found: str) -> InputError:
    allowed = f"{shape[0]} rows of {shape[1]} numbers, found: {found}"
    return InputError([Problem("dataset", str(path), allowed, "install scikit-learn anew")])
