"""The sections of a report that show what was found: functions from results to markup."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.goals import goals_of, phrases
from analysis.data.study_results import StudyResults
from analysis.figures import captions as plots
from analysis.findings.findings import Findings, is_plain
from analysis.html.markup import Markup, element, join, wrap
from analysis.sections.spent import seconds
from vmi.spec.datasets import told
from vmi.spec.trial import CUT_SHORT, Row
from vmi.spec.words import duration


def header(results: StudyResults) -> Markup:
    """Name, what was swept, and the account of trials."""
    spec = results.spec
    fixed = {k: told(str(v)) if k == "dataset" else v for k, v in spec.get("fixed", {}).items()}
    pairs = [f"{labels.symbol(str(k))} = {labels.value(v)}" for k, v in fixed.items()]
    space = ", ".join(labels.symbol(str(name)) for name in spec.get("space", {}))
    about = f"Swept: {space or 'nothing'}. Fixed: {', '.join(pairs) or 'nothing'}. "
    about += " ".join([f"Searcher: {spec.get('searcher', 'unknown')}.", *phrases(spec, goals_of(spec))])
    head = [element("h1", f"Study {results.name}"), element("p", about, "soft")]
    return join([*head, _facts(results)])


def summary(found: Findings) -> Markup:
    """What the study says."""
    lines = [element("li", s, "alarm" if s.startswith("What must hold") else "") for s in found.sentences]
    return join([element("h2", "Findings"), wrap("ul", join(lines), "findings")])


def _facts(results: StudyResults) -> Markup:
    short = {outcome: len(results.ended_as(outcome)) for outcome in CUT_SHORT}
    always = {
        "planned": results.planned, "completed": len(results.completed), "failed": len(results.failed),
        "missing": max(0, results.missing - len(results.under_way)),
    }  # fmt: skip
    some = {"under way": len(results.under_way), **short, "damaged files": len(results.damaged)}
    counts = always | {name: count for name, count in some.items() if count}
    alarming = {name for name in ("failed", "missing", "damaged files") if counts.get(name)}
    shown = {name: f"{count:,}" for name, count in counts.items()}
    shown["training time"] = duration(seconds(results.trials))
    cells = [
        wrap("div", join([element("dt", name), element("dd", text)]), "bad" if name in alarming else "")
        for name, text in shown.items()
    ]
    return wrap("dl", join(cells), "facts")


def figures(results: StudyResults, plan: Design, found: Findings) -> Markup:
    """The figures over settings."""
    pieces = [element("h2", "Score"), plots.scores(plan, found)]
    if found.unused is None and any(s.values("accuracy_majority") for s in plan.settings):
        pieces.append(element("p", _no_level(plan), "note soft"))
    pieces += [element("h2", "Mutual information"), plots.information(plan, found)]
    pieces += [element("h2", "Rate and distortion"), plots.plane(plan)]
    return join(pieces)


def _no_level(plan: Design) -> str:
    """Why there is no level of an unused code: what is missing first, as several reasons may hold."""
    return f"No level of an unused code is drawn: {_why_no_level([row for s in plan.settings for row in s.rows])}."


def _why_no_level(rows: Sequence[Row]) -> str:
    unused = [row for row in rows if row["mi_weight"] == 0]
    plain = [row for row in unused if is_plain(row)]
    if not unused:
        return "no setting has λ = 0"
    if not plain:
        return "what has λ = 0 has another term that may make the code used, or β other than 1"
    if all(row.get("accuracy_majority") is None for row in plain):
        return "what has λ = 0 has no accuracy"
    return "data set or layout vary, and it differs between them"
