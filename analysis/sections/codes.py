"""The code itself: which classes its categories hold, and what the decoder draws while a part of it is moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from analysis.data import labels
from analysis.data.axes import Design, representative
from analysis.data.mi_checks import primary
from analysis.data.settings import Setting
from analysis.data.study_results import StudyResults
from analysis.figures import captions as plots
from analysis.figures.images import png_uri, tile, with_inputs
from analysis.findings.findings import Findings
from analysis.html.markup import Markup, element, folded, join, picture, wrap
from vmi.spec.trial import Row

MAX_PICTURED = 12
MAX_CATEGORIES = 20

Arrays = Mapping[str, Mapping[str, np.ndarray]]
Shown = Sequence[tuple[Setting, Row, np.ndarray]]


def section(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """Assignments and traversals of the first seed of each setting (of the best and the worst where many)."""
    chosen = representative(plan.settings, found.score, found.maximize, MAX_PICTURED)
    first = [(s, min(s.rows, key=lambda row: (row["seed"] is None, row["seed"]))) for s in chosen]
    arrays = results.arrays(row for _, row in first)
    head = element("h2", "The code itself")
    if not arrays:
        return join([head, element("p", "No assignment counts and no traversals are stored.")])
    few, many = len(chosen), len(plan.settings)
    some = f" Shown: {few} of {many} settings, the best and the worst." if few < many else ""
    counts = _present(first, arrays, "assignments", "c")
    by_category, by_dimension = (_present(first, arrays, "traversal", kind) for kind in ("c", "n"))
    inputs = _inputs(arrays)
    galleries = _present(first, arrays, "gallery", "c")
    held = {row["trial_id"]: counts for _, row, counts in _present(first, arrays, "probabilities", "c")}
    pieces = [
        *_assignments(counts, some),
        *_galleries(galleries, held, some),
        *_categories(by_category, arrays, f"{inputs}{some}"),
    ]
    return join([head, *pieces, *_normal(by_dimension, some)])


def _assignments(shown: Shown, some: str) -> Iterator[Markup]:
    if shown:
        text = "Held-out images per category (rows, ordered by majority class) and true class. "
        text += "A diagonal is a code that classifies, a few full rows a collapse, rows alike a code that ignores "
        text += f"the class.{some}"
        yield element("h3", "Which classes a category holds")
        yield element("p", text, "soft")
        yield wrap("div", join(plots.assignment_plots(shown)), "small")


def _galleries(shown: Shown, held: Mapping[str, np.ndarray], some: str) -> Iterator[Markup]:
    """Of images without labels: those nearest to each category, and how many it surely holds."""
    if shown:
        text = "The held-out images nearest to each category, a category per row: those of largest q(c|x), the largest "
        text += "first. A kind of image per row is a code that found kinds, rows alike are one that is not used. A "
        text += f"category that holds no image has nearest ones, too: how many have q(c|x) ≥ ½ stands below.{some}"
        yield element("h3", "Which images a category holds")
        yield element("p", text, "soft")
        made = [
            picture(png_uri(tile(a[:MAX_CATEGORIES])), labels.setting(s), _held(r, held.get(r["trial_id"])), a.shape[1])
            for s, r, a in shown
        ]
        yield wrap("div", join(made), "medium")


def _held(row: Row, counts: np.ndarray | None) -> str:
    """Images of each category with q(c|x) in the upper half of the histogram [C, bins], which no other one can have."""
    if counts is None:
        return f"Seed {row['seed']}."
    sure = counts[:MAX_CATEGORIES, counts.shape[1] // 2 :].sum(1)
    few = f" The first {MAX_CATEGORIES} of {len(counts)} categories." if len(counts) > MAX_CATEGORIES else ""
    return f"Seed {row['seed']}. Images with q(c|x) ≥ ½, from the first row on: {', '.join(map(str, sure))}.{few}"


def _inputs(arrays: Arrays) -> str:
    """Whether all pictures start from the same images, where the store has these."""
    every = [a["inputs"] for a in arrays.values() if "inputs" in a]
    if len(every) < len(arrays):
        return ""
    if all(np.array_equal(a, every[0]) for a in every):
        return " All settings start from the same inputs: on the left of each row the input and its reconstruction."
    return " The inputs differ between settings (on the left of each row, with their reconstructions)."


def _categories(shown: Shown, arrays: Arrays, more: str) -> Iterator[Markup]:
    if shown:
        text = "The other latents of one image per row, each category in turn per column. "
        text += f"Where the decoder uses the category, it changes the image along a row.{more}"
        yield element("h3", "What each category draws")
        yield element("p", text, "soft")
        made = [_picture(s, r, with_inputs(arrays[r["trial_id"]], a), a.shape[1] + 2) for s, r, a in shown]
        yield wrap("div", join(made), "medium")


def _normal(shown: Shown, some: str) -> Iterator[Markup]:
    if shown:
        text = f"One dimension per row, moved from −2 to 2 from left to right; all else is kept.{some}"
        made = [_picture(s, r, tile(a), a.shape[1]) for s, r, a in shown]
        inner = join([element("p", text, "soft"), wrap("div", join(made), "medium")])
        # As many large pictures as settings: shown on demand, so that they do not bury the tables.
        yield folded(f"What the Normal latents draw ({labels.plural(len(shown), 'setting')})", inner)


def _picture(setting: Setting, row: Row, grid: np.ndarray, columns: int) -> Markup:
    return picture(png_uri(grid), labels.setting(setting), f"Seed {row['seed']}.", columns)


def _present(first: Sequence[tuple[Setting, Row]], arrays: Arrays, array: str, kind: str) -> Shown:
    """Those settings that have this array of their primary block of the kind."""
    found = []
    for setting, row in first:
        block = primary(row, kind)
        stored = arrays.get(row["trial_id"], {}).get(f"{array}_{block.name}") if block else None
        found += [(setting, row, stored)] if stored is not None else []
    return found
