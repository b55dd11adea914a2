"""The sections of a report that show what was found: functions from results to markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from analysis import labels, plots
from analysis.aggregate import Setting
from analysis.design import Design, representative
from analysis.findings import Findings
from analysis.goals import goals_of, phrases
from analysis.information import primary
from analysis.markup import Markup, element, folded, join, picture, wrap
from analysis.pictures import png_uri, tile
from analysis.read import Row, StudyResults

MAX_PICTURED = 12

Arrays = Mapping[str, Mapping[str, np.ndarray]]
Shown = Sequence[tuple[Setting, Row, np.ndarray]]


def header(results: StudyResults, found: Findings) -> Markup:
    """Name, what was swept, the account of trials, and the findings."""
    spec = results.spec
    pairs = [f"{labels.symbol(str(k))} = {labels.value(v)}" for k, v in spec.get("fixed", {}).items()]
    space = ", ".join(labels.symbol(str(name)) for name in spec.get("space", {}))
    about = f"Swept: {space or 'nothing'}. Fixed: {', '.join(pairs) or 'nothing'}. "
    about += " ".join([f"Searcher: {spec.get('searcher', 'unknown')}.", *phrases(goals_of(spec))])
    lines = [element("li", s, "alarm" if s.startswith("What must hold") else "") for s in found.sentences]
    head = [element("h1", f"Study {results.name}"), element("p", about, "soft")]
    return join([*head, _facts(results), wrap("ul", join(lines), "findings")])


def _facts(results: StudyResults) -> Markup:
    pruned = len(results.trials) - len(results.completed) - len(results.failed)
    always = {
        "planned": results.planned, "completed": len(results.completed), "failed": len(results.failed),
        "missing": results.missing,
    }  # fmt: skip
    counts = always | {k: v for k, v in (("pruned", pruned), ("damaged files", len(results.damaged))) if v}
    alarming = {name for name in ("failed", "missing", "damaged files") if counts.get(name)}
    shown = {name: f"{count:,}" for name, count in counts.items()}
    shown["training time"] = duration(sum(row["train_seconds"] or 0.0 for row in results.trials))
    cells = [
        wrap("div", join([element("dt", name), element("dd", text)]), "bad" if name in alarming else "")
        for name, text in shown.items()
    ]
    return wrap("dl", join(cells), "facts")


def duration(seconds: float) -> str:
    """ "90 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def figures(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """The figures over settings."""
    pieces = [element("h2", "Score"), plots.scores(plan, found)]
    if found.unused is None and any(s.values("accuracy_majority") for s in plan.settings):
        pieces.append(element("p", _no_level(results), "note soft"))
    pieces += [element("h2", "Mutual information"), plots.information(plan, found)]
    pieces += [element("h2", "Rate and distortion"), plots.plane(plan)]
    return join(pieces)


def _no_level(results: StudyResults) -> str:
    if any(row["mi_weight"] == 0 for row in results.completed):
        return "No level of an unused code is drawn: data set or layout vary, and it differs between them."
    return "No level of an unused code is drawn: this study has no trial with λ = 0."


def codes(results: StudyResults, plan: Design, found: Findings) -> Markup:
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
    return join([head, *_assignments(counts, some), *_categories(by_category, some), *_normal(by_dimension, some)])


def _assignments(shown: Shown, some: str) -> Iterator[Markup]:
    if shown:
        text = "Held-out images per category (rows, ordered by majority class) and true class. "
        text += "A diagonal is a code that classifies, a few full rows a collapse, rows alike a code that ignores "
        text += f"the class.{some}"
        yield element("h3", "Which classes a category holds")
        yield element("p", text, "soft")
        yield wrap("div", join(plots.assignment_plots(shown)), "small")


def _categories(shown: Shown, some: str) -> Iterator[Markup]:
    if shown:
        text = "The other latents of one image per row, each category in turn per column. "
        text += f"Where the decoder uses the category, it changes the image along a row.{some}"
        yield element("h3", "What each category draws")
        yield element("p", text, "soft")
        yield _pictures(shown)


def _normal(shown: Shown, some: str) -> Iterator[Markup]:
    if shown:
        text = f"One dimension per row, moved from −2 to 2 from left to right; all else is kept.{some}"
        inner = join([element("p", text, "soft"), _pictures(shown)])
        # As many large pictures as settings: shown on demand, so that they do not bury the tables.
        yield folded(f"What the Normal latents draw ({labels.plural(len(shown), 'setting')})", inner)


def _pictures(shown: Shown) -> Markup:
    made = [picture(png_uri(tile(a)), labels.setting(s), f"Seed {r['seed']}.", a.shape[1]) for s, r, a in shown]
    return wrap("div", join(made), "medium")


def _present(first: Sequence[tuple[Setting, Row]], arrays: Arrays, array: str, kind: str) -> Shown:
    """Those settings that have this array of their primary block of the kind."""
    found = []
    for setting, row in first:
        block = primary(row, kind)
        stored = arrays.get(row["trial_id"], {}).get(f"{array}_{block.name}") if block else None
        found += [(setting, row, stored)] if stored is not None else []
    return found
