"""One offline HTML page of a study, written into its folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from analysis import accounts, cost, fronts, paper_figures, sections, training, verdict
from analysis.design import design, representative
from analysis.findings import findings
from analysis.markup import join
from analysis.page import document
from analysis.read import StudyResults, open_study
from vmi.errors import InputError, Problem

FILE = "report.html"


def write(folder: Path) -> Path:
    """Write `report.html` into a study's folder, whole or not at all, and return its path.

    Damaged files are named on the page. Raises InputError when the folder is no study's or cannot be
    written to, StoreError when study.json is broken or a part is of a newer schema.
    """
    return publish(open_study(folder))


def publish(results: StudyResults) -> Path:
    """As `write`, for results that are already open."""
    text = render(results)
    target = results.folder / FILE
    temporary = results.folder / f".tmp-{FILE}-{secrets.token_hex(4)}"
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        allowed = "a folder that can be written to"
        raise InputError([Problem("folder", str(results.folder), allowed, error.strerror or str(error))]) from error
    return target


def render(results: StudyResults) -> str:
    """The page: the same text for the same results."""
    plan = design(results)
    found = findings(results, plan)
    parts = [sections.header(results, found)]
    parts.append(verdict.section(results))
    if plan.settings:
        parts.append(fronts.section(results, plan, found))
        parts += [sections.figures(results, plan, found), sections.codes(results, plan, found)]
        few = representative(plan.settings, found.score, found.maximize, training.MAX_LINES)
        parts += [training.section(results, few), paper_figures.section(results, found.violations)]
    parts += [accounts.tables(results, plan, found)] if results.trials else []
    parts += [accounts.troubles(results, found), cost.section(results.folder), accounts.methods(results)]
    return document(f"{results.name}: report", join(parts))
