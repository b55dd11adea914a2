"""How far a valid study reaches: how many trials it has, which values a field takes."""

from __future__ import annotations

import math

from vmi.config import TrialConfig
from vmi.sweep import space as domains
from vmi.sweep.search import GridSearcher
from vmi.sweep.space import Choice
from vmi.sweep.study import Study

EVERYTHING = 10**9


def planned_trials(study: Study) -> int:
    """Suggestions times seeds; of a sampler the number asked for, as far as its space has that many points."""
    if study.searcher == "grid":
        suggestions = len(GridSearcher(study).ask(EVERYTHING))
    else:
        sizes = [domains.size(domain) for domain in study.space.values()]
        points = math.prod(count if count is not None else EVERYTHING for count in sizes)
        suggestions = min(study.suggestions or 0, points) + bool(study.baseline)
    return suggestions * len(tuple(study.seeds))


def values_of(study: Study, field: str) -> tuple[str, ...]:
    """Every value that a string field (layout, dataset) takes in the study, in order of appearance."""
    domain = study.space.get(field)
    default = study.fixed.get(field, getattr(TrialConfig, field))
    searched = domain.values if isinstance(domain, Choice) else (default,)
    return tuple(dict.fromkeys((*searched, study.baseline.get(field, searched[0]))))
