"""The arrays that a trial leaves beside its metrics: names and shapes. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

from vmi.datasets import spec_of
from vmi.latents import Block

HISTOGRAM_BINS = 20
TRAVERSAL_ROWS = 8
TRAVERSAL_STEPS = 9
TRAVERSAL_DIMS = 10
TRAVERSAL_RANGE = 2.0


def array_shapes(block: Block, dataset: str) -> Mapping[str, tuple[int, ...]]:
    """Shape of each array of a block, by column name.

    assignments_c10    [C, classes]     held-out images per assigned category and true class (int32)
    probabilities_c10  [C, bins]        histogram of q(c|x) over [0, 1] per category, held-out (int32)
    traversal_c10      [rows, C, H, W]  decoder means: one image's other blocks with each category in turn (uint8)
    traversal_n16      [dims, steps, H, W]  one image's code with one dimension moved from -2 to 2 (uint8)
    """
    spec = spec_of(dataset)
    if not block.is_categorical:
        return {f"traversal_{block.name}": (min(block.size, TRAVERSAL_DIMS), TRAVERSAL_STEPS, *spec.image_shape)}
    return {
        f"assignments_{block.name}": (block.size, spec.classes),
        f"probabilities_{block.name}": (block.size, HISTOGRAM_BINS),
        f"traversal_{block.name}": (TRAVERSAL_ROWS, block.size, *spec.image_shape),
    }
