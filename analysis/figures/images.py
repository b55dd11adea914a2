"""Traversals as small PNG images: what the decoder draws while one part of the code is moved.

Pictures are bytes [H, W], or [H, W, C] of C = 2 to 4 channels (`vmi.spec.arrays`). One channel is grey, three are red,
green and blue, the fourth says how opaque a pixel is (over white); two are drawn in grey, one beside the other.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

GAP = 1
WIDE_GAP = 5
BACKGROUND = 128


def png_uri(grid: np.ndarray) -> str:
    """A `data:` address of the PNG of a grid of images, grey [H, W] or [H, W, 3], one pixel to a pixel."""
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def tile(images: np.ndarray) -> np.ndarray:
    """Images [rows, columns, H, W] or [.., H, W, C] (uint8) as one, a grey line of GAP pixels between them."""
    images = _drawn(images) if images.ndim == 5 else images
    rows, columns, height, width, *colours = images.shape
    sides = rows * (height + GAP) - GAP, columns * (width + GAP) - GAP
    grid = np.full((*sides, *colours), BACKGROUND, dtype=np.uint8)
    for r in range(rows):
        for c in range(columns):
            top, left = r * (height + GAP), c * (width + GAP)
            grid[top : top + height, left : left + width] = images[r, c]
    return grid


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one height, a wider line between them."""
    line = np.full((len(left), WIDE_GAP, *left.shape[2:]), BACKGROUND, dtype=np.uint8)
    return np.hstack([left, line, right])


def with_inputs(arrays: Mapping[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Images [rows, columns, ..] as one, on the left of each row its input and reconstruction where they are stored."""
    kept = [arrays[name][: len(images)] for name in ("inputs", "reconstructions") if name in arrays]
    return beside(tile(np.stack(kept, 1)), tile(images)) if len(kept) == 2 else tile(images)


def _drawn(images: np.ndarray) -> np.ndarray:
    """What is drawn of images [.., H, W, C] of several channels: [.., H, 2 W] of two, else [.., H, W, 3]."""
    if images.shape[-1] == 2:
        return np.concatenate([images[..., 0], images[..., 1]], -1)
    colours, opaque = images[..., :3], images[..., 3:] / 255
    return (colours * opaque + 255 * (1 - opaque)).round().astype(np.uint8) if opaque.size else colours
