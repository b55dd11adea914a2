"""One thread everywhere: the bitwise promises are made for one thread per worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# A timing says nothing on a shared machine; the seed is fixed, so that a red run can be run again.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fresh_torch() -> Iterator[None]:
    """Each test draws the same numbers, in whatever order tests run.

    Training in this process flushes denormals for good, and Hypothesis refuses to draw floats after that.
    """
    torch.manual_seed(0)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with MNIST and FashionMNIST; tests that need it are skipped by name where there is none."""
    folder = os.environ.get("VMI_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs VMI_DATA_DIR: a folder with MNIST and FashionMNIST in torchvision's layout")
    return Path(folder)
