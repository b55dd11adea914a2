"""Arrays as images: which shapes, types and ranges they may have, their labels and their split. Nothing is unpickled.

Shapes: N images, C channels, H x W image plane, D pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmi.spec.errors import InputError, Problem

Array = NDArray[Any]
CHANNELS = range(1, 5)
# A row of more pixels makes a first layer of a billion weights.
MAX_PIXELS = 1 << 20
# How the sides of a split are named; what is to choose a model by is trained on, as nothing here is chosen by it.
HELD_OUT: Mapping[str, bool] = {
    "train": False, "training": False, "val": False, "validation": False, "valid": False,
    "test": True, "testing": True, "held_out": True, "heldout": True,
}  # fmt: skip


class Images(NamedTuple):
    """What a place holds: pixels [N, C, H, W], uint8 or float32 in [0, 1]; a label and a side of each, if any.

    labels    whole numbers or strings [N]; `held_out`: [N]
    skipped   files, and rows of tables, that are no image, where they were to be skipped
    """

    pixels: Array
    labels: Array | None = None
    held_out: Array | None = None
    skipped: tuple[str, ...] = ()


def refused(text: object, allowed: str, found: str = "") -> InputError:
    return InputError([Problem("dataset", str(text), allowed, found)])


def arrays(
    images: Any, labels: Any = None, split: Any = None, shape: tuple[int, ...] | None = None, where: str = "images"
) -> Images:
    """Arrays as `Images`. Raises InputError with everything that is wrong with them."""
    found: list[Array | None] = []
    problems: list[Problem] = []
    parts: list[tuple[str, Any, Callable[[Any], Array | None]]] = [
        ("images", images, partial(pixels_of, shape=shape, where=where)),
        ("labels", labels, partial(labels_of, where=where)),
        ("split", split, partial(sides_of, where=where)),
    ]
    for name, given, taken in parts:
        try:
            found.append(None if given is None else taken(np.asarray(given)))
        except InputError as error:
            found.append(None)
            problems += error.problems
        except (ValueError, TypeError) as error:  # rows of several lengths, bytes that are no text
            found.append(None)
            problems.append(Problem(f"{where}: {name}", type(given).__name__, f"one array; NumPy: {error}"))
    if not problems:
        count = len(found[0]) if found[0] is not None else 0
        for name, part in (("labels", found[1]), ("split", found[2])):
            if part is not None and len(part) != count:
                problems.append(Problem(f"{where}: {name}", len(part), f"one for each of the {count} images"))
    if problems or found[0] is None:
        raise InputError(problems or [Problem(where, None, "images")])
    return Images(found[0], found[1], found[2])


def pixels_of(given: Array, shape: tuple[int, ...] | None = None, where: str = "images") -> Array:
    """[N, C, H, W] of [N, H, W], [N, H, W, C], [N, C, H, W] or flat [N, D]: uint8, or float32 in [0, 1].

    Numbers in [0, 1] that are all of 0/255 to 255/255 are these bytes, in whatever format they were stored.
    """
    if given.dtype == object:
        raise refused(where, "an array of numbers", "found an array of objects, which would have to be unpickled")
    if given.dtype.kind not in "buf" or (given.dtype.kind == "u" and given.dtype != np.uint8):
        hint = f"found {given.dtype}" + _range_of(given)
        raise refused(where, "uint8 from 0 to 255, floats in [0, 1], or booleans", hint)
    if not given.ndim:
        raise refused(where, "at least one image", "found a single number")
    planes = _planes(given, shape, where)
    check_size(planes.shape, where)
    if planes.dtype == bool:
        return planes.astype(np.uint8) * np.uint8(255)
    if planes.dtype == np.uint8:
        if planes.max() == 1:
            raise refused(where, "uint8 from 0 to 255, floats in [0, 1], or booleans", "found uint8 of 0 and 1 alone")
        return planes
    if not np.isfinite(planes).all():
        raise refused(where, "floats in [0, 1]", "found a value that is not finite")
    low, high = float(planes.min()), float(planes.max())
    if low < 0 or high > 1:
        raise refused(where, "floats in [0, 1], or uint8 from 0 to 255", f"found {low:.6g} to {high:.6g}")
    numbers = planes.astype(np.float32)
    whole = np.rint(numbers * 255)
    return whole.astype(np.uint8) if np.abs(numbers * 255 - whole).max() < 1e-3 else numbers


def _range_of(given: Array) -> str:
    return f" from {given.min()} to {given.max()}" if given.size and given.dtype.kind in "iu" else ""


def _planes(given: Array, shape: tuple[int, ...] | None, where: str) -> Array:
    if not len(given) or not given.size:
        raise refused(where, "at least one image", f"found an array of shape {list(given.shape)}")
    if shape is not None:
        wanted = shape if len(shape) == 3 else (1, *shape)
        if given.ndim == 2 and math.prod(wanted) == given.shape[1]:
            return given.reshape(-1, *wanted)
        if given.shape[1:] == wanted or (wanted[0] == 1 and given.shape[1:] == wanted[1:]):
            return given.reshape(-1, *wanted)
        if given.shape[1:] == (*wanted[1:], wanted[0]):
            return np.moveaxis(given, -1, 1)
        raise refused(where, f"images of the declared shape {'x'.join(map(str, shape))}", f"found {list(given.shape)}")
    if given.ndim == 3:
        return given[:, None]
    if given.ndim == 2:
        side = math.isqrt(given.shape[1])
        if side * side == given.shape[1] and side > 1:
            return given.reshape(-1, 1, side, side)
        allowed = "a declared shape of flat images, such as file.npy::3x32x32"
        raise refused(where, allowed, f"found {list(given.shape)}, and {given.shape[1]} is no square")
    if given.ndim == 4:
        first, last = given.shape[1] in CHANNELS, given.shape[3] in CHANNELS
        if first != last:
            return given if first else np.moveaxis(given, -1, 1)
        said = "which may be [N, C, H, W] or [N, H, W, C]: declare CxHxW" if first else "which has no 1 to 4 channels"
        raise refused(where, "images of 1 to 4 channels", f"found {list(given.shape)}, {said}")
    raise refused(where, "[N, H, W], [N, H, W, C], [N, C, H, W] or flat [N, D]", f"found {list(given.shape)}")


def check_size(shape: Sequence[int], where: str) -> None:
    if math.prod(shape[1:]) > MAX_PIXELS:
        found = " x ".join(f"{side:,}" for side in shape[1:])
        raise refused(where, f"images of at most {MAX_PIXELS:,} pixels, channels counted", f"found {found}")


def labels_of(given: Array, where: str = "images") -> Array:
    """Whole numbers or strings [N]; a column [N, 1] is one, too."""
    flat = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given
    if flat.ndim != 1 or flat.dtype.kind not in "iuUSO":
        found = f"found {flat.dtype} of shape {list(given.shape)}"
        raise refused(f"{where}: labels", "one whole number or string for each image", found)
    if flat.dtype.kind == "O":
        if not all(isinstance(label, str) for label in flat):
            raise refused(f"{where}: labels", "one whole number or string for each image", "found objects")
        return flat.astype(str)
    return np.char.decode(flat, "utf-8") if flat.dtype.kind == "S" else flat


def sides_of(given: Array, where: str = "images") -> Array:
    """Which images are held out, [N], of "train", "val" and "test", or of true for what is held out."""
    if given.dtype == bool and given.ndim == 1:
        return given
    names = [str(name).lower() for name in given.ravel()] if given.dtype.kind in "UO" else []
    unknown = [name for name in dict.fromkeys(names) if name not in HELD_OUT]
    if given.ndim != 1 or not names or unknown:
        found = f"found {unknown[0]!r}" if unknown else f"found {given.dtype} of shape {list(given.shape)}"
        raise refused(f"{where}: split", "train, val or test for each image, or true for what is held out", found)
    return np.array([HELD_OUT[name] for name in names])


def joined(parts: Sequence[tuple[str, Images]], where: str) -> Images:
    """The parts of a declared split, one after the other."""
    shapes = {part: found.pixels.shape[1:] for part, found in parts}
    if len({*shapes.values()}) > 1 or len({found.pixels.dtype for _, found in parts}) > 1:
        said = ", ".join(f"{part} {found.pixels.dtype} {list(shapes[part])}" for part, found in parts)
        raise refused(where, "images of one shape and type", f"found {said}")
    labelled = [found.labels is not None for _, found in parts]
    if any(labelled) != all(labelled):
        raise refused(where, "labels of all parts of the split, or of none")
    sides = [np.full(len(found.pixels), HELD_OUT[part]) for part, found in parts]
    labels = np.concatenate([found.labels for _, found in parts if found.labels is not None]) if labelled[0] else None
    skipped = tuple(name for _, found in parts for name in found.skipped)
    return Images(np.concatenate([found.pixels for _, found in parts]), labels, np.concatenate(sides), skipped)
