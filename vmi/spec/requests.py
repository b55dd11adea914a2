"""The requests of a study that has grown, as study.json keeps them, and which stored trials each of them asked for.

study.json describes everything that was asked for so far, or with `only` the last request alone; `requests` has those
that made the study larger, with their times. Plain JSON values and rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from vmi.spec.config import AUTOMATIC, FIELD_TYPES, resolve
from vmi.spec.errors import InputError
from vmi.spec.trial import Row

Spec = Mapping[str, Any]
# What belongs to a whole study.json alone.
APART = ("vmi_study_version", "name", "planned", "requests", "only")


def request_of(spec: Spec) -> dict[str, Any]:
    """A description as one request: what decides which trials there are, and how they compare."""
    return {name: value for name, value in spec.items() if name not in APART}


def requests_of(spec: Spec) -> list[tuple[str | None, Spec]]:
    """Each request with its time (ISO 8601, None where it was not kept), the first one first."""
    kept = spec.get("requests") or [{"asked_at": None, "spec": request_of(spec)}]
    return [(one.get("asked_at"), one["spec"]) for one in kept]


def in_view(spec: Spec, rows: Sequence[Row]) -> list[Row]:
    """The rows that the study is about: with `only` those that its last request asks for, else all."""
    return covered(spec, rows) if spec.get("only") else list(rows)


def numbered(spec: Spec, rows: Sequence[Row]) -> dict[str, int]:
    """By trial the number of the request, from 1, that asked for it first; without those that none asks for."""
    found: dict[str, int] = {}
    for number, (_, request) in reversed(list(enumerate(requests_of(spec), 1))):
        found |= {row["trial_id"]: number for row in covered({**request, "requests": spec.get("requests")}, rows)}
    return found


def covered(spec: Spec, rows: Sequence[Row]) -> list[Row]:
    """The rows that a request asks for; of a search its first suggestions, in the order in which they ended."""
    fresh, fields = set(spec.get("confirm_seeds") or ()), _searched_anywhere(spec)
    seeds = set(spec.get("seeds") or ()) | fresh
    own = [row for row in rows if row["seed"] in seeds]
    baseline = [row for row in own if spec.get("baseline") and _is_baseline(spec, row, fields)]
    ids = {row["trial_id"] for row in baseline}
    inside = [row for row in own if row["trial_id"] not in ids and _is_inside(spec, row, fields)]
    if (count := spec.get("suggestions")) is not None:
        kept = _first_suggestions([row for row in inside if row["seed"] not in fresh], count)
        inside = [row for row in inside if row["suggestion_id"] in kept]
    ids |= {row["trial_id"] for row in inside}
    return [row for row in own if row["trial_id"] in ids]


def contains(domain: Spec, value: Any) -> bool:
    """Whether a domain, as study.json has it, has this value."""
    if domain.get("kind") == "choice":
        return value in domain["values"] or AUTOMATIC in domain["values"]
    if isinstance(value, str | None) or not domain["low"] <= value <= domain["high"]:
        return False
    step = domain.get("step")
    return step is None or (Fraction(str(value)) - Fraction(str(domain["low"]))) % Fraction(str(step)) == 0


def is_searched(name: str, row: Row, spec: Spec, seen: frozenset[str] = frozenset()) -> bool:
    """Whether the parameter was searched beside the row's others; elsewhere it has its default."""
    conditions = spec.get("conditions")
    parents = conditions.get(name) if isinstance(conditions, Mapping) else None
    if not isinstance(parents, Mapping) or name in seen:
        return True
    return all(
        isinstance(allowed, list) and row.get(parent) in allowed and is_searched(parent, row, spec, seen | {name})
        for parent, allowed in parents.items()
    )


def default_of(spec: Spec, name: str, row: Mapping[str, Any]) -> Any:
    """What a field that the request neither fixes nor searches is beside the row's searched words (a preset, a layout).

    None where this program cannot say.
    """
    words = {n: row.get(n) for n in spec.get("space") or {} if FIELD_TYPES.get(n) is str}
    return _default(name, tuple(sorted({**(spec.get("fixed") or {}), **words}.items())))


@cache
def _default(name: str, given: tuple[tuple[str, Any], ...]) -> Any:
    try:
        return getattr(resolve(dict(given)), name, None)
    except InputError:
        return None


def _searched_anywhere(spec: Spec) -> list[str]:
    """The fields that any of the study's requests searches: no other one tells its trials apart."""
    spaces = [spec.get("space") or {}, *(one["spec"].get("space") or {} for one in spec.get("requests") or ())]
    return list(dict.fromkeys(name for space in spaces for name in space))


def _is_inside(spec: Spec, row: Row, fields: Iterable[str]) -> bool:
    """Whether the request's space, over what it fixes, has the row's point."""
    space, fixed = spec.get("space") or {}, spec.get("fixed") or {}
    for name in fields:
        if name in space:
            inside = contains(space[name], row.get(name)) if is_searched(name, row, spec) else True
        else:
            inside = (fixed[name] if name in fixed else default_of(spec, name, row)) in (row.get(name), AUTOMATIC)
        if not inside:
            return False
    return True


def _is_baseline(spec: Spec, row: Row, fields: Iterable[str]) -> bool:
    over = {**(spec.get("fixed") or {}), **spec["baseline"]}
    point = {"fixed": over}
    names = dict.fromkeys((*fields, *spec["baseline"]))
    return all((over[n] if n in over else default_of(point, n, row)) in (row[n], AUTOMATIC) for n in names)


def _first_suggestions(rows: Iterable[Row], count: int) -> set[str]:
    """The ids of so many suggestions, those whose first trial ended first."""
    first: dict[str, tuple[str, str]] = {}
    for row in rows:
        ended = (str(row.get("finished_at")), row["suggestion_id"])
        first[row["suggestion_id"]] = min(first.get(row["suggestion_id"], ended), ended)
    return set(sorted(first, key=first.__getitem__)[:count])
