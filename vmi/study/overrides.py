"""What the command line may change of a study, and what the study is then called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vmi.spec.config import TrialConfig
from vmi.spec.datasets import find, is_place
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.study import space as domains
from vmi.study.condition_checks import condition_problems
from vmi.study.conditions import restricted
from vmi.study.space import Choice, Domain
from vmi.study.study import Study

SMOKE_STEPS = 20
SMOKE_SEEDS = 2
SMOKE_SUGGESTIONS = 4
SMOKE_CONFIRM = 1


def wished(study: Study, *, scale: str | None = None, **wishes: Any) -> tuple[Study, tuple[Problem, ...]]:
    """As `override`, and what is wrong with the scale, so that it can be said with all else; then at the first one."""
    try:
        return override(study, scale=scale, **wishes), ()
    except InputError as error:
        return override(study, **wishes), error.problems


def override(
    study: Study,
    *,
    dataset: str | None = None,
    steps: int | None = None,
    seeds: Iterable[int] | None = None,
    restarts: int | None = None,
    smoke: bool = False,
    name: str | None = None,
    scale: str | None = None,
) -> Study:
    """The study with the command line's wishes; another scale, data set or a smoke run is another study by name.

    A smoke run is cut to 20 steps, two seeds, the first and last value of each choice, four suggestions and one that
    is confirmed; with restarts the two seeds are one replicate. Steps, seeds and restarts that are given win.
    Raises InputError for a scale that the study does not have.
    """
    if not isinstance(study.fixed, Mapping) or not isinstance(study.space, Mapping):
        return study  # `validate` says what is wrong with it
    changed = _scaled(study, scale)
    declared = None if "dataset" in changed.space else changed.fixed.get("dataset", TrialConfig.dataset)
    if dataset is not None and dataset != declared:
        # What is no data set is refused as such, not as a part of a name.
        ending = dataset if find(dataset) else _slug(dataset)
        changed = replace(
            _fix(changed, {"dataset": dataset}), name=f"{changed.name}-{ending}" if ending else changed.name
        )
    if smoke:
        changed = _smoke(changed)
    if steps is not None:
        changed = _fix(changed, {"steps": steps})
    if seeds is not None:
        changed = replace(changed, seeds=seeds)
    if restarts is not None:
        changed = replace(changed, restarts=restarts)
    # Replaced in any case, as a metric that nobody gave follows a data set that was made known since.
    return replace(changed, name=changed.name if name is None else name)


def _slug(place: object) -> str:
    """What a study of one's own images is called by: the file's name, in letters, digits and hyphens."""
    if not is_place(place):
        return ""
    return re.sub(r"[^A-Za-z0-9]+", "-", Path(str(place).partition("::")[0]).stem).strip("-").lower()[:40]


def _scaled(study: Study, scale: str | None) -> Study:
    """The study at a scale, its first where none is named; any other is another study."""
    names = [name for name in study.scales if isinstance(name, str)] if isinstance(study.scales, Mapping) else []
    if scale is not None and scale not in names:
        allowed = one_of(names) if names else "absent: this study has no scales"
        raise InputError([Problem("--scale", scale, allowed, did_you_mean(scale, names))])
    chosen = scale or (names[0] if names else None)
    if chosen is None or not isinstance(study.scales[chosen], Mapping):
        return study
    name = study.name if chosen == names[0] else f"{study.name}-{chosen}"
    return replace(_fix(study, study.scales[chosen]), name=name)


def _fix(study: Study, values: Mapping[str, Any]) -> Study:
    """The study with these fields fixed, wherever they stood before."""
    space = {name: domain for name, domain in study.space.items() if name not in values}
    baseline = study.baseline
    if isinstance(baseline, Mapping):
        baseline = {name: value for name, value in baseline.items() if name not in values}
    return cut(replace(study, fixed={**study.fixed, **values}, baseline=baseline), space)


def cut(study: Study, space: Mapping[str, Domain]) -> Study:
    """The study with this part of its space; fields that depend on what is gone go with it."""
    if list(condition_problems(study.conditions, study.space, frozenset())):
        return replace(study, space=space)  # `validate` says what is wrong with the conditions
    kept, conditions = restricted(study.space, space, study.conditions, study.fixed)
    return replace(study, space=kept, conditions=conditions)


def _smoke(study: Study) -> Study:
    small = replace(_fix(study, {"steps": SMOKE_STEPS}), name=f"{study.name}-smoke")
    if isinstance(study.seeds, tuple):
        small = replace(small, seeds=study.seeds[:SMOKE_SEEDS])
    if isinstance(study.restarts, int):
        small = replace(small, restarts=min(study.restarts, SMOKE_SEEDS))
    if isinstance(study.confirm, int) and isinstance(study.confirm_seeds, tuple):
        fresh = study.confirm_seeds[:SMOKE_SEEDS]
        small = replace(small, confirm=min(study.confirm, SMOKE_CONFIRM), confirm_seeds=fresh)
    if study.searcher == "grid":
        return cut(small, {name: _first_and_last(name, d) for name, d in small.space.items()})
    if isinstance(study.suggestions, int):
        return replace(small, suggestions=min(study.suggestions, SMOKE_SUGGESTIONS))
    return small


def _first_and_last(name: str, domain: Domain) -> Domain:
    if domains.problems(name, domain) or domains.size(domain) is None:
        return domain  # left for `validate` to refuse
    return Choice(tuple(dict.fromkeys(domains.ends(domain))))
