"""One offline HTML page of a study, written into its folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from analysis.data.axes import design, representative
from analysis.data.study_results import StudyResults, open_study
from analysis.findings.findings import findings
from analysis.html.markup import Markup, Plot, element, join, plots_in
from analysis.html.page import document
from analysis.paper import figures as paper_figures
from analysis.paper import verdict
from analysis.sections import (
    choice,
    codes,
    cost,
    curves,
    differences,
    heatmaps,
    importance,
    layouts,
    listings,
    pareto,
    reproduce,
    spent,
    summary,
    troubles,
)
from vmi.spec.errors import InputError, Problem
from vmi.storage.durable import put_replacing
from vmi.storage.paths import AnyPath

FILE = "report.html"
REFRESHED = (
    "The study runs: vmi watch writes this page anew as it goes on, and the page loads itself again every {} s. "
    "vmi report writes one that stays as it is."
)


def write(folder: AnyPath) -> Path:
    """Write `report.html` into a study's folder, whole or not at all, and return its path.

    Of a study in an object store it is written here, as `STUDY-report.html`, and put beside the study as well.

    Damaged files are named on the page. Raises InputError when the folder is no study's or cannot be
    written to, StoreError when study.json is broken or a part is of a newer schema.
    """
    return publish(open_study(folder))


def publish(results: StudyResults, refresh: int | None = None) -> Path:
    """As `write`, for results that are already open; `refresh` as in `render`."""
    text, folder = render(results, refresh), results.folder
    target = folder / FILE if isinstance(folder, Path) else Path(f"{folder.name}-{FILE}")
    temporary = target.with_name(f".tmp-{FILE}-{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        if not isinstance(folder, Path):
            put_replacing(folder, FILE, text.encode())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        allowed = "a folder that can be written to"
        raise InputError([Problem("folder", str(results.folder), allowed, error.strerror or str(error))]) from error
    return target


def render(results: StudyResults, refresh: int | None = None) -> str:
    """The page: the same text for the same results. With `refresh` it says that it loads itself again so often (s)."""
    head = [summary.header(results), *([element("p", REFRESHED.format(refresh), "soft")] if refresh else [])]
    return document(f"{results.name}: report", join(head), body(results), refresh)


def figures(results: StudyResults) -> dict[str, Plot]:
    """Every figure of the page by its name, in the page's order."""
    return plots_in(body(results))


def body(results: StudyResults) -> Markup:
    """The sections of the page, those without anything to say left out."""
    plan = design(results)
    found = findings(results, plan)
    parts = [verdict.section(results)]
    if plan.settings:
        parts += [pareto.section(results, plan, found), summary.figures(results, plan, found)]
        parts += [heatmaps.section(plan, found), layouts.section(results, plan, found)]
        parts += [importance.section(results, plan, found), choice.section(results, plan, found)]
        parts += [codes.section(results, plan, found)]
        few = representative(plan.settings, found.score, found.maximize, curves.room(results, plan.settings))
        parts += [curves.section(results, few), paper_figures.section(results, found.violations)]
        parts += [differences.section(results, plan, found)]
    else:
        parts += [curves.section(results, ())]  # of what is under way
    parts += [listings.section(results, plan, found)] if results.trials else []
    parts += [troubles.troubles(results, found), spent.section(results, plan), cost.section(results.folder)]
    parts += [troubles.methods(results), reproduce.section(results)]
    return join([summary.summary(found), *parts])
