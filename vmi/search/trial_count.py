"""How far a valid study reaches: how many trials it has, which values a field takes."""

from __future__ import annotations

from itertools import product

from vmi.search.grid import GridSearcher
from vmi.spec.config import TrialConfig
from vmi.spec.errors import InputError
from vmi.spec.resolving import resolve
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
    beside = (study.baseline.get(field, default),) if study.baseline else ()  # it does not take what is searched
    return tuple(dict.fromkeys((*searched, *beside)))


def steps_of(study: Study) -> int | None:
    """How many steps each trial of a valid study is trained; None where that differs, or no default is known here."""
    searched = study.space.get("steps")
    if searched is not None:
        found = set(searched.values) if isinstance(searched, Choice) else set()
    else:
        found = {study.fixed["steps"]} if "steps" in study.fixed else _default_steps(study)
    found |= {study.baseline["steps"]} if "steps" in study.baseline else set()
    (steps,) = found if len(found) == 1 else (None,)
    return None if steps is None else int(steps)


def _default_steps(study: Study) -> set[int | None]:
    """Those of every preset on every data set: nothing else decides what steps are by default."""
    pairs = product(values_of(study, "preset"), values_of(study, "dataset"))
    try:
        return {resolve({"preset": preset, "dataset": dataset}).steps for preset, dataset in pairs}
    except InputError:
        return set()
