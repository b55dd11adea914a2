"""Images of the user's own from .npz, .npy, Parquet, Arrow or a folder of images. Nothing is ever unpickled."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from vmi.sources import pictures, published, tables
from vmi.sources.arrays import Images, arrays, check_size, joined, refused
from vmi.sources.places import Place, place_of
from vmi.spec.errors import InputError, did_you_mean

KINDS = "a .npz, .npy, .parquet or .arrow file, or a folder of these tables or of PNG or JPEG images"
_PARTS = ("train", "val", "test")


def read(text: str, skip_broken: bool = False) -> Images:
    """The images of a place. Raises InputError that names the place, what was found and what is allowed."""
    if text in published.NAMES:
        return published.read_published(text)
    place = place_of(text)
    path = place.path
    if place.shape is not None:
        check_size((1, *place.shape), text)
    try:
        if path.is_dir():
            return _folder(place, skip_broken)
        if not path.exists():
            near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [])
            raise refused(text, KINDS, near or "no such file")
        readers: dict[str, Callable[[Place], Images]] = {".npz": _npz, ".npy": _npy}
        readers |= dict.fromkeys(tables.SUFFIXES, partial(tables.read_table, skip_broken=skip_broken))
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise refused(text, KINDS, f"found a file {path.suffix or 'without a suffix'}")
        if not path.stat().st_size:
            raise refused(text, KINDS, "the file is empty")
        return reader(place)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise refused(text, "a file that can be read", getattr(error, "strerror", None) or str(error)) from error


def _folder(place: Place, skip_broken: bool) -> Images:
    shards = sorted(p for p in place.path.iterdir() if p.suffix.lower() in tables.SUFFIXES and p.name[0] != ".")
    return tables.read_shards(place, shards, skip_broken) if shards else pictures.read_folder(place, skip_broken)


def _npy(place: Place) -> Images:
    where = str(place.path)
    with place.path.open("rb") as file:
        _check_header(file, place.path.stat().st_size, where)
    try:
        found = np.load(place.path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise refused(where, "a whole .npy file of numbers", str(error)) from error
    return arrays(found, shape=place.shape, where=where)


def _npz(place: Place) -> Images:
    where = str(place.path)
    try:
        with zipfile.ZipFile(place.path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    size = archive.getinfo(name).file_size
                    _check_header(member, size, f"{where}: {name.removesuffix('.npy')}")
        with np.load(place.path, allow_pickle=False) as held:
            found = {name.lower(): held[name] for name in held.files}
    except InputError:  # what an array's header tells, a ValueError too
        raise
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise refused(where, "a whole .npz file of numbers", str(error)) from error
    parts = [part for part in _PARTS if f"{part}_images" in found]
    if "images" in found:
        return arrays(found["images"], found.get("labels"), found.get("split"), place.shape, where)
    if not {"train", "test"} <= {*parts}:
        names = ", ".join(found) or "nothing"
        raise refused(where, "an array 'images', or 'train_images' and 'test_images'", f"found {names}")
    return joined([
        (part, arrays(found[f"{part}_images"], found.get(f"{part}_labels"), None, place.shape, f"{where}: {part}"))
        for part in parts
    ], where)  # fmt: skip


def _check_header(file: Any, size: int, where: str) -> None:
    """The shape that a .npy file of so many bytes announces, before it takes any memory."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.hasobject:
        raise refused(where, "an array of numbers", "found an array of objects, which would have to be unpickled")
    if len(shape) > 1:
        check_size(shape, where)
    if math.prod(shape) * dtype.itemsize > size:
        raise refused(where, "a whole file", f"{size:,} bytes cannot hold {' x '.join(map(str, shape))} of {dtype}")
