"""What `vmi data` says of images of the user's own: shape, count, classes, split, name, copies, defaults."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from vmi.process.console import say
from vmi.sources.arrays import Array
from vmi.sources.dataset import Dataset, is_binary
from vmi.spec.errors import InputError, Problem, printable

PREVIEW_COLUMNS, PREVIEW_ROWS, GAP = 10, 10, 2
# Names of classes that a line can have.
NAMED = 12


def describe(place: str, skip_broken: bool, preview: Path | None, console: Console) -> int:
    """Say what is there, and draw some of it. Raises InputError with all that is wrong with it."""
    dataset = Dataset.from_file(place, skip_broken)
    if preview is not None:
        draw(dataset, preview)
    table = Table("of the images", "", box=None, pad_edge=False, show_header=False)
    across, within = copies(dataset)
    for name, value in _facts(dataset):
        table.add_row(name, Text(printable(value)))
    found = f"{across:,} held-out images are also trained on; {within:,} images are copies within a split"
    table.add_row("copies", found)
    lines: list[RenderableType] = [Text(printable(place)), table, *map(Text, _notes(dataset, across))]
    console.print(*lines, sep="\n")
    if preview is not None:
        say(console, f"preview: {preview}")
    return 0


def _facts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    spec, pixels = dataset.spec, (dataset.train[0], dataset.held_out[0])
    low, high = min(float(part.min()) for part in pixels), max(float(part.max()) for part in pixels)
    height, width = spec.image_shape
    kind = "whole numbers, read as a 255th of them" if spec.levels else "numbers in [0, 1]"
    yield "name", f"{spec.name}: of the content, wherever it lies and in whatever format"
    yield "images", f"{spec.train_count:,} to train on, {spec.held_out_count:,} held out"
    yield "shape", f"{height} x {width} pixels, {spec.channels} channel{'s' if spec.channels > 1 else ''}"
    yield "pixels", f"{kind}, from {low:.6g} to {high:.6g}; {sum(part.nbytes for part in pixels) / 1e6:,.1f} MB"
    yield "classes", _classes(dataset)
    yield "defaults", ", ".join(f"{name} {value}" for name, value in spec.defaults.items())


def _classes(dataset: Dataset) -> str:
    if not dataset.classes:
        return "none: no image has a label"
    counts = np.bincount(dataset.train[1], minlength=len(dataset.classes))
    counts = counts + np.bincount(dataset.held_out[1], minlength=len(dataset.classes))
    names = [f"{name} ({count:,})" for name, count in zip(dataset.classes, counts, strict=True)]
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)}: {', '.join(names[:NAMED])}{more}"


def _notes(dataset: Dataset, across: int) -> Iterator[str]:
    if dataset.skipped:
        yield f"note: {len(dataset.skipped)} broken images left out, the first {dataset.skipped[0]}"
    if is_binary(dataset.train[0]):
        yield "note: every pixel is black or white, so the likelihood is Bernoulli by default"
    if across:
        yield f"warning: {across:,} held-out images are also trained on, so what is held out is not all unseen"


def copies(dataset: Dataset) -> tuple[int, int]:
    """Held-out images that are trained on as well, and images that a split has once more than once."""
    sides = [[hashlib.sha256(row.tobytes()).digest() for row in part[0]] for part in (dataset.train, dataset.held_out)]
    trained = set(sides[0])
    return sum(key in trained for key in sides[1]), sum(len(side) - len({*side}) for side in sides)


def draw(dataset: Dataset, path: Path) -> None:
    """A PNG of the first images, a row for each class where there are some."""
    from PIL import Image

    spec, (pixels_ND, labels_N) = dataset.spec, dataset.train
    rows = range(min(len(dataset.classes), PREVIEW_ROWS)) if dataset.classes else range(PREVIEW_ROWS)
    found = [pixels_ND[labels_N == row] if dataset.classes else pixels_ND[row * PREVIEW_COLUMNS :] for row in rows]
    height, width = (side + GAP for side in spec.image_shape)
    sheet = np.full((len(found) * height - GAP, PREVIEW_COLUMNS * width - GAP, 4), 255, dtype=np.uint8)
    for i, row in enumerate(found):
        for j, image_D in enumerate(row[:PREVIEW_COLUMNS]):
            top, left = i * height, j * width
            sheet[top : top + spec.image_shape[0], left : left + spec.image_shape[1]] = rgba(image_D, dataset)
    scale = max(1, math.ceil(800 / sheet.shape[1]))
    drawn = Image.fromarray(sheet).resize((sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST)
    try:
        drawn.save(path, format="PNG")
    except OSError as error:
        raise InputError(
            [Problem("--preview", str(path), "a file that can be written", error.strerror or "")]
        ) from error


def rgba(image_D: Array, dataset: Dataset) -> Array:
    """[H, W, 4] uint8 of a row of pixels."""
    spec = dataset.spec
    image_CHW = image_D.reshape(spec.channels, *spec.image_shape)
    image_CHW = image_CHW if spec.levels else np.rint(image_CHW * 255).astype(np.uint8)
    grey, opaque = spec.channels < 3, spec.channels in (1, 3)
    colours = [image_CHW[0]] * 3 if grey else list(image_CHW[:3])
    return np.stack([*colours, np.full(spec.image_shape, 255, np.uint8) if opaque else image_CHW[-1]], -1)
