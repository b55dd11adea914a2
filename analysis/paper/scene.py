"""What the paper's figures are drawn from: a group of presets, one row of each at one seed, arrays and curves.

Arrays are bytes [.., H, W], in colour [.., H, W, C]: `vmi.spec.arrays`. Every trial's pictures start from the same
held-out images, which the store keeps as `inputs`; stores written before these were kept have the first input's
traversal alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from analysis.data.mi_checks import Violation
from analysis.data.preset_groups import Group, absent
from analysis.figures.images import png_uri
from analysis.html.markup import Markup, element, join, picture, wrap
from vmi.spec.trial import Row

NOT_STORED = "Not stored for these trials: they were trained before this array was kept."


class Scene(NamedTuple):
    """`rows` and `arrays` by preset; `curves` by trial_id; `presets` are those that the study asked for."""

    group: Group
    presets: Sequence[str]
    rows: Mapping[str, Row]
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    curves: Mapping[str, Sequence[Row]]
    broken: Sequence[Violation]

    def array(self, preset: str, name: str) -> np.ndarray | None:
        return self.arrays[preset].get(name)


def heading(scene: Scene, one_seed: bool) -> Markup:
    """Data set and layout, and what stands in the way of comparing; `one_seed`: one row per preset, no means."""
    return join([element("p", scene.group.name, "group"), *_notes(scene, one_seed)])


def _notes(scene: Scene, one_seed: bool) -> Iterator[Markup]:
    if one_seed and scene.group.seeds() is None:
        yield element("p", "These presets share no seed: the first of each is shown.", "note soft")
    if one_seed and not same_inputs(scene):
        yield element("p", "The inputs differ between these presets: do not compare their pictures.", "note alarm")
    if missing := absent(scene.group, scene.presets):
        yield element("p", f"Without a completed trial: {', '.join(missing)}.", "note soft")


def same_inputs(scene: Scene) -> bool:
    """Whether all presets that have inputs stored have the same."""
    found = [a for preset in scene.rows if (a := scene.array(preset, "inputs")) is not None]
    return all(np.array_equal(a, found[0]) for a in found)


def pictures(scene: Scene, what: str, grids: Mapping[str, np.ndarray], columns: int) -> Markup:
    """One picture per preset, side by side; what is missing is said."""
    if not grids:
        return element("p", NOT_STORED, "note soft")
    made = [
        picture(png_uri(grid), scene.group.label(p), f"{what}Seed {scene.rows[p]['seed']}.", columns)
        for p, grid in grids.items()
    ]
    return wrap("div", join(made), "medium")


def manipulation(scene: Scene, preset: str) -> np.ndarray | None:
    """[dims, inputs, steps, H, W] of the primary Normal block; of one input where no more is stored."""
    block = scene.group.block("n")
    if block is None:
        return None
    several = scene.array(preset, f"manipulation_{block.name}")
    one = scene.array(preset, f"traversal_{block.name}")
    return several if several is not None or one is None else one[:2, None]
