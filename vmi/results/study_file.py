"""study.json as it has to be: whether what was read is the description of a study. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_BOUND_SIDES = {"low", "high"}


def flaw(spec: object) -> str:
    """What is wrong with the shape of a description, "" where nothing is; parts that are absent are not missed."""
    if not isinstance(spec, dict):
        return "not a study's description: not a JSON object"
    wrong = [name for name, fits in PARTS.items() if name in spec and not fits(spec[name])]
    return f"not a study's description: {', '.join(wrong)}" if wrong else ""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _are_seeds(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in value)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _are_scalars(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_scalar, value.values()))


def _is_space(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_domain, value.values()))


def _is_domain(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    values = value.get("values", [])
    return isinstance(values, list) and all(map(_is_scalar, [*values, *(value.get(end) for end in ("low", "high"))]))


def _are_bounds(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(bound, dict)
        and set(bound) <= _BOUND_SIDES
        and all(side is None or (isinstance(side, int | float)) for side in bound.values())
        for bound in value.values()
    )


def _are_requests(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(n), dict) and not flaw(one[n]) for n in ("spec", "study"))
        for one in value
    )


def _are_conditions(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(parents, dict) and all(isinstance(allowed, list) for allowed in parents.values())
        for parents in value.values()
    )


PARTS: Mapping[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "fixed": _are_scalars,
    "baseline": _are_scalars,
    "space": _is_space,
    "seeds": _are_seeds,
    "confirm_seeds": _are_seeds,
    "confirm": _is_count,
    "restarts": _is_positive,
    "choose_by": _is_text,
    "suggestions": _is_count,
    "planned": _is_count,
    "metric": _is_text,
    "direction": _is_text,
    "searcher": _is_text,
    "objectives": _are_scalars,
    "constraints": _are_bounds,
    "conditions": _are_conditions,
    "requests": _are_requests,
}
