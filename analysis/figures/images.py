"""Traversals as small PNG images: what the decoder draws while one part of the code is moved."""

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
    """A `data:` address of the PNG of a grid of images, one pixel to a pixel."""
    buffer = io.BytesIO()
    Image.fromarray(grid, mode="L").save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def tile(images: np.ndarray) -> np.ndarray:
    """Images [rows, columns, H, W] (uint8) as one image, a grey line of GAP pixels between them."""
    rows, columns, height, width = images.shape
    grid = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), BACKGROUND, dtype=np.uint8)
    for r in range(rows):
        for c in range(columns):
            top, left = r * (height + GAP), c * (width + GAP)
            grid[top : top + height, left : left + width] = images[r, c]
    return grid


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one height, a wider line between them."""
    return np.hstack([left, np.full((len(left), WIDE_GAP), BACKGROUND, dtype=np.uint8), right])


def with_inputs(arrays: Mapping[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Images [R, C, H, W] as one, on the left of each row its input and its reconstruction where they are stored."""
    kept = [arrays[name][: len(images)] for name in ("inputs", "reconstructions") if name in arrays]
    return beside(tile(np.stack(kept, 1)), tile(images)) if len(kept) == 2 else tile(images)
