"""What can be wrong with the conditions of a study: unknown fields, values that a field does not take, circles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmi.spec.errors import Problem, did_you_mean, one_of
from vmi.spec.resolving import coerce
from vmi.study.space import Choice

MAX_LISTED = 10


def condition_problems(conditions: object, space: Mapping[str, Any], bad: frozenset[str]) -> Iterator[Problem]:
    """Everything that is wrong with the conditions; `bad` are the fields that are wrong by themselves."""
    if not isinstance(conditions, Mapping):
        yield Problem("conditions", conditions, "a mapping of searched fields to what they depend on")
        return
    for name, parents in conditions.items():
        where = f"conditions.{name}"
        if name not in space:
            yield _not_searched(where, parents, name, space)
        if not isinstance(parents, Mapping) or not parents:
            yield Problem(where, parents, "a mapping of searched fields to those of their values that it needs")
            continue
        for parent, allowed in parents.items():
            if parent not in space:
                yield _not_searched(f"{where}.{parent}", allowed, parent, space)
            elif parent not in bad:
                yield from _value_problems(f"{where}.{parent}", parent, allowed, space[parent])
    yield from _circle_problems(conditions)


def _not_searched(where: str, value: object, name: object, space: Mapping[str, Any]) -> Problem:
    return Problem(where, value, f"a searched field, {one_of([str(n) for n in space])}", did_you_mean(str(name), space))


def _value_problems(where: str, parent: str, allowed: object, domain: object) -> Iterator[Problem]:
    if not isinstance(allowed, tuple | list) or not allowed:
        yield Problem(where, allowed, "a tuple of at least one value")
        return
    if not isinstance(domain, Choice):
        yield Problem(where, allowed, f"a field searched with choice(...); space.{parent} is a range")
        return
    for index, value in enumerate(allowed):
        if isinstance(value, bool) or value not in domain.values or coerce(parent, value)[1]:
            hint = did_you_mean(value, map(str, domain.values)) if isinstance(value, str) else ""
            yield Problem(f"{where}[{index}]", value, f"a value of space.{parent}: {_listed(domain.values)}", hint)


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(map(str, values[:MAX_LISTED]))
    return shown if len(values) <= MAX_LISTED else f"{shown}, …"


def _circle_problems(conditions: Mapping[Any, Any]) -> Iterator[Problem]:
    """One circle, where there is any: fields that wait for each other."""
    waiting = {name: [p for p in c if p in conditions] for name, c in conditions.items() if isinstance(c, Mapping)}
    while free := [name for name, parents in waiting.items() if not any(p in waiting for p in parents)]:
        for name in free:
            del waiting[name]
    if not waiting:
        return
    path = [next(iter(waiting))]
    while path.count(path[-1]) == 1:
        path.append(next(p for p in waiting[path[-1]] if p in waiting))
    circle = path[path.index(path[-1]) :]
    text = " depends on ".join(map(str, circle))
    yield Problem(f"conditions.{circle[0]}", conditions[circle[0]], f"conditions without a circle; {text}")
