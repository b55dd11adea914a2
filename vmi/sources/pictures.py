"""PNG and JPEG as arrays: a folder of images, one folder for each class, or encoded bytes.

Shapes: N images, C channels, H x W image plane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vmi.sources.arrays import HELD_OUT, Array, Images, check_size, joined, refused
from vmi.sources.places import Place
from vmi.spec.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")
OTHER_SUFFIXES = (".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".ppm", ".pgm")


def read_folder(place: Place, skip_broken: bool) -> Images:
    """A folder of images, or train/ and test/ of such folders."""
    folders = sorted(entry for entry in place.path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    names = [folder.name.lower() for folder in folders]
    if len(folders) > 1 and all(name in HELD_OUT for name in names) and any(HELD_OUT[name] for name in names):
        parts = [(folder.name.lower(), _pictures(Place(folder, place.shape), skip_broken)) for folder in folders]
        return joined(parts, str(place.path))
    if sum(folder.name.lower() in HELD_OUT for folder in folders) > 1:
        allowed = "train/ with test/ (or held_out/) and nothing else, or one folder for each class; val/ is trained on"
        raise refused(str(place.path), allowed, f"found {', '.join(folder.name for folder in folders)}")
    return _pictures(place, skip_broken)


def _pictures(place: Place, skip_broken: bool) -> Images:
    """One folder a class, or images without any."""
    where = str(place.path)
    files = list(_files(place.path))
    found = sorted(p for p in files if p.suffix.lower() in SUFFIXES)
    if others := sorted(p for p in files if p.suffix.lower() in OTHER_SUFFIXES):
        raise refused(where, "PNG or JPEG alone", f"{len(others)} of another format, such as {others[0]}")
    depths = {len(p.relative_to(place.path).parts) for p in found}
    if not found or (not depths <= {2} and depths != {1}):
        said = "images lie at several depths" if found else "no PNG or JPEG is there"
        raise refused(where, "images in one folder, or in one folder for each class", said)
    opened: list[tuple[str, Callable[[], Any]]] = [(str(p), partial(p.open, "rb")) for p in found]
    pixels, broken = decoded(opened, place, where, skip_broken)
    kept = [p for p in found if str(p) not in broken]
    labels = np.array([p.parent.name for p in kept]) if depths == {2} else None
    return Images(pixels, labels, None, broken)


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder and what it links to; hidden ones are no images. Raises OSError."""
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if not any(parent.samefile(entry) for parent in (folder, *folder.parents)):  # a link to where it lies
                yield from _files(entry)
        elif entry.is_file():
            yield entry


def decoded(
    opened: Sequence[tuple[str, Callable[[], Any]]], place: Place, where: str, skip_broken: bool = False
) -> tuple[Array, tuple[str, ...]]:
    """[N, C, H, W] of encoded images, and the names of those that are broken."""
    made: list[Array] = []
    broken: list[str] = []
    first: tuple[str, tuple[int, ...]] | None = None
    for name, open_image in opened:
        try:
            with open_image() as file, Image.open(file) as image:
                if place.shape is None:
                    check_size((1, *image.size), name)
                picture = _plain_picture(image, place.shape, name)
        except InputError:  # a ValueError too; the picture is whole, and not of a kind that is read
            raise
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if not skip_broken:
                hint = f"{str(error).splitlines()[0]}; --skip-broken leaves such images out"
                raise refused(name, "a whole PNG or JPEG", hint) from error
            broken.append(name)
            continue
        first = first or (name, picture.shape)
        if picture.shape != first[1]:
            allowed = f"images of one size and number of channels, or a declared size ({place.path}::HxW)"
            raise refused(where, allowed, f"{first[0]} has {_sides(first[1])}, {name} has {_sides(picture.shape)}")
        made.append(picture)
    if not made:
        raise refused(where, "at least one whole image", f"{len(broken)} are broken")
    return np.stack(made), tuple(broken)


def _sides(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[2]} pixels of {shape[0]} channel{'s' if shape[0] > 1 else ''}"


def _plain_picture(image: Any, shape: tuple[int, ...] | None, name: str) -> Array:
    """[C, H, W] uint8, at the declared size where there is one."""
    image = ImageOps.exif_transpose(image)  # as whoever held the camera saw it
    modes = {"1": "L", "P": "RGBA" if "transparency" in image.info else "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
    image = image.convert(modes.get(image.mode, image.mode))
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise refused(name, "8 bits a channel, grey or colour, with or without opacity", f"found mode {image.mode}")
    if shape is not None:
        channels = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(shape[0]) if len(shape) == 3 else image.mode
        if channels is None:
            raise refused(name, "a declared shape HxW, or CxHxW of 1 to 4 channels", f"found {shape}")
        if image.mode.endswith("A") and not channels.endswith("A") and image.getextrema()[-1] != (255, 255):
            allowed = f"{'2' if channels == 'L' else '4'} declared channels, or pictures without opacity"
            raise refused(name, allowed, "some of its pixels are not opaque")
        if (shape[-1], shape[-2]) != image.size:
            image = image.resize((shape[-1], shape[-2]), Image.Resampling.BILINEAR)
        image = image.convert(channels)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
