"""Published data sets by name, as torchvision reads them, with their published split. Loads torch when it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vmi.sources.arrays import Images, arrays, joined
from vmi.spec.datasets import PUBLISHED, data_folder
from vmi.spec.errors import InputError, Problem

# Each with what its constructor takes for the two sides of the split.
NAMES: Mapping[str, tuple[str, Mapping[str, Mapping[str, Any]]]] = {
    "kmnist": ("KMNIST", {"train": {"train": True}, "test": {"train": False}}),
    "qmnist": ("QMNIST", {"train": {"what": "train"}, "test": {"what": "test"}}),
    "usps": ("USPS", {"train": {"train": True}, "test": {"train": False}}),
    "svhn": ("SVHN", {"train": {"split": "train"}, "test": {"split": "test"}}),
    "cifar10": ("CIFAR10", {"train": {"train": True}, "test": {"train": False}}),
    **{
        name: ("EMNIST", {side: {"split": split, "train": side == "train"} for side in ("train", "test")})
        for name in PUBLISHED
        if (split := name.removeprefix("emnist_")) != name
    },
}


def read_published(name: str) -> Images:
    """Both sides, from VMI_DATA_DIR or the user's cache, or downloaded there. Raises InputError where it is absent."""
    import torchvision.datasets

    kind, sides = NAMES[name]
    made = getattr(torchvision.datasets, kind)
    return joined([(side, _side(made, name, side, given)) for side, given in sides.items()], name)


def _side(made: Callable[..., Any], name: str, side: str, given: Mapping[str, Any]) -> Images:
    folder = str(data_folder())
    try:
        found = made(root=folder, download=False, **given)
    except (RuntimeError, OSError):
        try:
            found = made(root=folder, download=True, **given)
        except (RuntimeError, OSError) as error:
            said = f"found none in {folder}, and could not download it: {str(error).splitlines()[0]}"
            hint = (
                "fetch it with torchvision.datasets where there is a network, or point VMI_DATA_DIR at a folder with it"
            )
            raise InputError([Problem("dataset", name, said, hint)]) from error
    labels = np.asarray(found.labels if name == "svhn" else found.targets)
    pixels = np.asarray(found.data)
    if name.startswith("emnist"):
        pixels = pixels.swapaxes(1, 2)  # its files have each image on its side
    return arrays(pixels, labels[:, 0] if labels.ndim == 2 else labels, where=f"{name}: {side}")
