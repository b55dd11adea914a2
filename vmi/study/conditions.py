"""Fields that are searched only where another searched field takes one of some values.

`{"mi_weight_normal": {"layout": ("n2*+n14+c10*",)}}`: elsewhere the field is left at its default. A field with several
parents is searched where all of them allow it, and never where a parent is itself not searched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmi.spec.resolving import coerce
from vmi.study import space as domains
from vmi.study.space import Choice, Domain

Conditions = Mapping[str, Mapping[str, Sequence[Any]]]
# Combinations of parents' values that are counted one by one; beyond this a grid is too large anyway.
MAX_COUNTED = 100_000


def order(space: Mapping[str, Any], conditions: Conditions) -> tuple[str, ...]:
    """The fields of the space in their order, but each after its parents; those in a circle last."""
    placed: list[str] = []
    while ready := [n for n in space if n not in placed and all(p in placed for p in conditions.get(n, ()))]:
        placed.append(ready[0])
    return (*placed, *(name for name in space if name not in placed))


def is_active(name: str, conditions: Conditions, values: Mapping[str, Any]) -> bool:
    """Whether the field is searched beside these values of the active fields before it."""
    return all(p in values and values[p] in allowed for p, allowed in conditions.get(name, {}).items())


def active(space: Mapping[str, Any], conditions: Conditions, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are searched; `values` may be a whole configuration."""
    found: dict[str, Any] = {}
    for name in order(space, conditions):
        if is_active(name, conditions, found):
            found[name] = values[name]
    return {name: found[name] for name in space if name in found}


def points(axes: Mapping[str, Sequence[Any]], conditions: Conditions) -> Iterator[dict[str, Any]]:
    """Every combination of active fields once, the last field fastest."""
    yield from _points(order(axes, conditions), axes, conditions, {})


def _points(
    names: Sequence[str], axes: Mapping[str, Sequence[Any]], conditions: Conditions, before: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    if not names:
        yield dict(before)
    elif not is_active(names[0], conditions, before):
        yield from _points(names[1:], axes, conditions, before)
    else:
        for value in axes[names[0]]:
            yield from _points(names[1:], axes, conditions, {**before, names[0]: value})


def count(space: Mapping[str, Domain], conditions: Conditions) -> int | None:
    """How many points the (valid) space has, without going through them; None where a range is continuous.

    With more than MAX_COUNTED combinations of parents' values, as if every field were active everywhere.
    """
    sizes = {name: domains.size(domain) for name, domain in space.items()}
    if any(size is None for size in sizes.values()):
        return None
    known = {name: size for name, size in sizes.items() if size is not None}
    parents = {p: tuple(domains.values(space[p])) for p in order(space, conditions) if p in _parents(conditions)}
    if math.prod(map(len, parents.values())) > MAX_COUNTED:
        return math.prod(known.values())
    return sum(
        math.prod(size for n, size in known.items() if n not in parents and is_active(n, conditions, point))
        for point in points(parents, conditions)
    )


def canonical(conditions: Conditions) -> dict[str, dict[str, list[Any]]]:
    """The (valid) conditions with every value in its field's type, as study.json holds them."""
    return {
        name: {parent: [coerce(parent, value)[0] for value in allowed] for parent, allowed in parents.items()}
        for name, parents in conditions.items()
    }


def restricted(
    before: Mapping[str, Domain], after: Mapping[str, Domain], conditions: Conditions, fixed: Mapping[str, Any]
) -> tuple[dict[str, Domain], dict[str, dict[str, tuple[Any, ...]]]]:
    """Space and conditions once a (valid) space is cut: `fixed` fields taken out, choices made fewer.

    A field that can never be active any more is left out.
    """
    kept, found = dict(after), {}
    for name in (n for n in order(before, conditions) if n in after and n in conditions):
        left: dict[str, tuple[Any, ...]] = {}
        for parent, allowed in conditions[name].items():
            domain = kept.get(parent)
            if isinstance(domain, Choice):
                left[parent] = tuple(v for v in allowed if v in domain.values)
            elif parent not in fixed or fixed[parent] not in allowed:
                left[parent] = ()
        if not all(left.values()):
            del kept[name]
        elif left:
            found[name] = left
    return kept, found


def _parents(conditions: Conditions) -> set[str]:
    return {parent for parents in conditions.values() for parent in parents}
