"""The arrays that a trial leaves beside its metrics: names and shapes. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

from vmi.spec.datasets import DatasetSpec, spec_of
from vmi.spec.layout import Block, Layout

HISTOGRAM_BINS = 20
TRAVERSAL_ROWS = 8
TRAVERSAL_STEPS = 9
TRAVERSAL_DIMS = 10
TRAVERSAL_RANGE = 2.0
# Several inputs are moved along the first dimensions only: a row of the store stays small.
MANIPULATED_INPUTS = 4
MANIPULATED_DIMS = 2
# As many bytes as the block's traversal, a third more of a row of n16+c10*: only where no assignments can be stored.
GALLERY_IMAGES = 8
_COUNTS = ("assignments", "probabilities")


def picture_shape(spec: DatasetSpec) -> tuple[int, ...]:
    """[H, W] of one channel; of more [H, W, C], as image files have them."""
    return spec.image_shape if spec.channels == 1 else (*spec.image_shape, spec.channels)


def array_shapes(block: Block, dataset: str) -> Mapping[str, tuple[int, ...]]:
    """Shape of each array of a block, by column name; where images have several channels, [H, W] is [H, W, C].

    assignments_c10    [C, classes]     held-out images per assigned category and true class, of labelled images (int32)
    probabilities_c10  [C, bins]        histogram of q(c|x) over [0, 1] per category, held-out (int32)
    traversal_c10      [rows, C, H, W]  decoder means: one image's other blocks with each category in turn (uint8)
    traversal_n16      [dims, steps, H, W]  one image's code with one dimension moved from -2 to 2 (uint8)
    """
    spec = spec_of(dataset)
    image = picture_shape(spec)
    if not block.is_categorical:
        return {f"traversal_{block.name}": (min(block.size, TRAVERSAL_DIMS), TRAVERSAL_STEPS, *image)}
    assignments = {f"assignments_{block.name}": (block.size, spec.classes)} if spec.is_labelled else {}
    return assignments | {
        f"probabilities_{block.name}": (block.size, HISTOGRAM_BINS),
        f"traversal_{block.name}": (_rows(spec), block.size, *image),
    }


def layout_shapes(layout: Layout, dataset: str) -> Mapping[str, tuple[int, ...]]:
    """Shape of every array of a trial with this layout: those of its blocks, and (n2, c10: its primary blocks)

    inputs             [rows, H, W]     the first held-out image of each of the first classes, then the first of all
                                        others: rows of traversal_c10
    reconstructions    [rows, H, W]     decoder means of these images' most probable codes
    manipulation_n2    [dims, inputs, steps, H, W]  each of these codes with one dimension moved from -2 to 2
    plane_n2           [steps, steps, H, W]  blocks of two dimensions: the first code with both moved (rows: the first)
    gallery_c10        [C, images, H, W]     without labels: the held-out images of largest q(c|x), the largest first
    """
    spec = spec_of(dataset)
    image = picture_shape(spec)
    shapes = {name: shape for block in layout.blocks for name, shape in array_shapes(block, dataset).items()}
    shapes |= dict.fromkeys(("inputs", "reconstructions"), (_rows(spec), *image))
    block = layout.primary("n")
    if block is not None:
        dims = min(block.size, MANIPULATED_DIMS)
        shapes[f"manipulation_{block.name}"] = (dims, min(MANIPULATED_INPUTS, _rows(spec)), TRAVERSAL_STEPS, *image)
        if block.size == 2:
            shapes[f"plane_{block.name}"] = (TRAVERSAL_STEPS, TRAVERSAL_STEPS, *image)
    block = layout.primary("c")
    if block is not None and not spec.is_labelled:
        shapes[f"gallery_{block.name}"] = (block.size, min(GALLERY_IMAGES, spec.held_out_count), *image)
    return shapes


def _rows(spec: DatasetSpec) -> int:
    """Inputs that pictures start from: fewer where the held-out split has no more."""
    return min(TRAVERSAL_ROWS, spec.held_out_count)


def is_picture(name: str) -> bool:
    """Whether an array holds images (uint8); else it holds counts (int32)."""
    return not name.startswith(_COUNTS)
