"""How far a valid study reaches: how many trials it has, which values a field takes."""

from __future__ import annotations

from vmi.search.grid import GridSearcher
from vmi.spec.config import TrialConfig
from vmi.study.conditions import count
from vmi.study.space import Choice
from vmi.study.study import Study

EVERYTHING = 10**9


def planned_trials(study: Study) -> int:
    """Suggestions times seeds, and those of the confirmation.

    Of a sampler the number asked for, as far as its space has that many points.
    """
    if study.searcher == "grid":
        suggestions = len(GridSearcher(study).ask(EVERYTHING))
    else:
        points = count(study.space, study.conditions)
        asked = study.suggestions or 0
        suggestions = (asked if points is None else min(asked, points)) + bool(study.baseline)
    again = min(study.confirm, suggestions) * len(tuple(study.confirm_seeds))
    return suggestions * len(tuple(study.seeds)) + again


def values_of(study: Study, field: str) -> tuple[str, ...]:
    """Every value that a string field (layout, dataset) takes in the study, in order of appearance."""
    domain = study.space.get(field)
    default = study.fixed.get(field, getattr(TrialConfig, field))
    searched = domain.values if isinstance(domain, Choice) else (default,)
    return tuple(dict.fromkeys((*searched, study.baseline.get(field, searched[0]))))
