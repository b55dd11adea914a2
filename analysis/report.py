"""One offline HTML page of a study, written into its folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from analysis.data.axes import design, representative
from analysis.data.study_results import StudyResults, open_study
from analysis.findings.findings import findings
from analysis.html.markup import join
from analysis.html.page import document
from analysis.paper import figures as paper_figures
from analysis.paper import verdict
from analysis.sections import (
    codes,
    cost,
    differences,
    heatmaps,
    layouts,
    listings,
    reproduce,
    spent,
)
from analysis.sections import (
    curves as training,
)
from analysis.sections import (
    importance as search,
)
from analysis.sections import (
    pareto as fronts,
)
from analysis.sections import (
    summary as sections,
)
from analysis.sections import (
    troubles as accounts,
)
from vmi.spec.errors import InputError, Problem
from vmi.storage.durable import put_replacing
from vmi.storage.paths import AnyPath

FILE = "report.html"


def write(folder: AnyPath) -> Path:
    """Write `report.html` into a study's folder, whole or not at all, and return its path.

    Of a study in an object store it is written here, as `STUDY-report.html`, and put beside the study as well.

    Damaged files are named on the page. Raises InputError when the folder is no study's or cannot be
    written to, StoreError when study.json is broken or a part is of a newer schema.
    """
    return publish(open_study(folder))


def publish(results: StudyResults) -> Path:
    """As `write`, for results that are already open."""
    text, folder = render(results), results.folder
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


def render(results: StudyResults) -> str:
    """The page: the same text for the same results."""
    plan = design(results)
    found = findings(results, plan)
    parts = [verdict.section(results)]
    if plan.settings:
        parts += [fronts.section(results, plan, found), sections.figures(results, plan, found)]
        parts += [heatmaps.section(plan, found), layouts.section(results, plan, found)]
        parts += [search.section(results, plan, found), codes.section(results, plan, found)]
        few = representative(plan.settings, found.score, found.maximize, training.MAX_LINES)
        parts += [training.section(results, few), paper_figures.section(results, found.violations)]
        parts += [differences.section(results, plan, found)]
    parts += [listings.section(results, plan, found)] if results.trials else []
    parts += [accounts.troubles(results, found), spent.section(results, plan), cost.section(results.folder)]
    parts += [accounts.methods(), reproduce.section(results)]
    return document(f"{results.name}: report", sections.header(results), join([sections.summary(found), *parts]))
