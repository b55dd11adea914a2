"""What a study calls its data set where it is the user's own: a path, and the shape where the file does not say it.

"photos", "photos::32x32", "flat.npy::3x32x32": what follows "::" is H x W or C x H x W.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from vmi.spec.home import expanded

_SHAPE = re.compile(r"^(.*)::(\d+(?:x\d+){1,2})$", re.DOTALL)


class Place(NamedTuple):
    """Where images lie, and the shape that was declared: (C, H, W) or (H, W)."""

    path: Path
    shape: tuple[int, ...] | None = None


def place_of(text: str) -> Place:
    """Path and declared shape of what a study calls its data set. Raises InputError for the home of nobody."""
    found = _SHAPE.match(text)
    if not found:
        return Place(expanded(text, "dataset"))
    return Place(expanded(found[1], "dataset"), tuple(int(side) for side in found[2].split("x")))
