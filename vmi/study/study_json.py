"""A study as study.json has it, and what two of them differ in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vmi.spec.errors import Problem
from vmi.spec.goals import Bound
from vmi.spec.resolving import coerce
from vmi.spec.version import STUDY_VERSION
from vmi.study import conditions as dependence
from vmi.study import space as domains
from vmi.study.study import Study

# Parts of a spec that are compared entry by entry.
NESTED = ("fixed", "space", "baseline", "objectives", "constraints", "conditions")
# Parts that follow from the rest, or say how it came about.
FOLLOWING = ("planned", "requests", "only")


def spec(study: Study, planned: int) -> dict[str, Any]:
    """What `study.json` holds of a valid study: JSON values only, numbers in the type of their field."""
    space = domains.canonical_space(study.space)
    return {
        "vmi_study_version": STUDY_VERSION,
        "name": study.name,
        "fixed": _typed(study.fixed),
        "space": {name: domain.spec() for name, domain in space.items()},
        "seeds": list(study.seeds),
        "metric": study.metric,
        "direction": study.direction,
        "searcher": study.searcher,
        "suggestions": study.suggestions,
        "baseline": _typed(study.baseline),
        **_goals(study),
        "planned": planned,
    }


def study_of(spec: Mapping[str, Any]) -> Study:
    """The study that a sound description (`vmi.results.study_file`) asks for, without scales."""
    given = {name: spec[name] for name in _PLAIN if name in spec}
    space = {name: _domain(domain) for name, domain in spec.get("space", {}).items()}
    bounds = {name: Bound(**bound) for name, bound in spec.get("constraints", {}).items()}
    seeds = tuple(spec.get("seeds", ()))
    return Study(name=str(spec.get("name")), space=space, constraints=bounds, seeds=seeds, **given)


# What a description has as a study has it.
_PLAIN = (
    "fixed", "restarts", "choose_by", "metric", "direction", "objectives", "conditions", "searcher", "suggestions",
    "pruner", "confirm", "confirm_seeds", "baseline",
)  # fmt: skip


def _domain(spec: Mapping[str, Any]) -> domains.Domain:
    low, high, log, step = (spec.get(name) for name in ("low", "high", "log", "step"))
    if spec.get("kind") == "float":
        return domains.Float(low, high, bool(log), step)
    if spec.get("kind") == "int":
        return domains.Integer(low, high, bool(log), 1 if step is None else step)
    return domains.Choice(tuple(spec.get("values", ())))


def _goals(study: Study) -> dict[str, Any]:
    """What goes beyond one metric; absent where it is not asked for, so that older studies stay the same."""
    given = {
        "objectives": dict(study.objectives),
        "constraints": {name: bound.spec() for name, bound in study.constraints.items()},
        "conditions": dependence.canonical(study.conditions),
        "pruner": study.pruner,
        "confirm": study.confirm,
        "confirm_seeds": list(study.confirm_seeds),
        "restarts": study.restarts if study.restarts > 1 else None,
        "choose_by": study.choose_by if study.restarts > 1 else None,
    }
    return {name: value for name, value in given.items() if value}


def differences(old_spec: Mapping[str, Any], new_spec: Mapping[str, Any]) -> list[Problem]:
    """Where two specs ask for different things, field by field."""
    old, new = _flat(old_spec), _flat(new_spec)
    return [
        Problem(
            name,
            new.get(name, "absent"),
            f"the stored study has {as_text(old[name]) if name in old else 'none'}",
        )
        for name in {**old, **new}
        if name not in FOLLOWING and (name in old, old.get(name)) != (name in new, new.get(name))
    ]


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: coerce(name, value)[0] for name, value in values.items()}


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in spec.items():
        nested = name in NESTED and isinstance(value, Mapping)
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if nested else {name: value}
    return flat


def as_text(value: object) -> str:
    """A value of a description, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 200 else f"{text[:199]}…"
