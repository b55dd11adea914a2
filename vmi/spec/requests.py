"""The requests of a study that has grown, as study.json keeps them, and which stored trials each of them asked for.

study.json describes everything that was asked for so far, or with `only` the last request alone. `requests` has those
that made the study larger: when, the request itself, and the `study` that it made. Plain JSON values and rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from vmi.spec.config import FIELD_TYPES
from vmi.spec.errors import InputError
from vmi.spec.resolving import AUTOMATIC, resolve
from vmi.spec.trial import Row

Spec = Mapping[str, Any]
# What belongs to a whole study.json alone.
APART = ("vmi_study_version", "name", "planned", "requests", "only")
# What tells the trials of a suggestion, and those of equal numbers, apart.
_BESIDE = ("seed", "preset")


class Request(NamedTuple):
    """A request that made a study larger: its time (ISO 8601, None where it was not kept), itself, what it led to."""

    asked_at: str | None
    spec: Spec
    study: Spec


def request_of(spec: Spec) -> dict[str, Any]:
    """A description as one request: what decides which trials there are, and how they compare."""
    return {name: value for name, value in spec.items() if name not in APART}


def requests_of(spec: Spec) -> list[Request]:
    """Each request, the first one first."""
    alone = request_of(spec)
    return [Request(one.get("asked_at"), one["spec"], one["study"]) for one in spec.get("requests") or ()] or [
        Request(None, alone, alone)
    ]


def in_view(spec: Spec, rows: Sequence[Row]) -> list[Row]:
    """The rows that the study is about: with `only` those that its last request asks for, else all."""
    return covered(spec, rows) if spec.get("only") else list(rows)


def numbered(spec: Spec, rows: Sequence[Row]) -> dict[str, int]:
    """By trial the number of the request, from 1, that brought it; without those that none asks for."""
    found: dict[str, int] = {}
    for number, request in reversed(list(enumerate(requests_of(spec), 1))):
        found |= {row["trial_id"]: number for row in covered(request.study, rows)}
    return found


def covered(spec: Spec, rows: Sequence[Row]) -> list[Row]:
    """The rows that a description asks for; of a search its first suggestions, in the order in which they ended."""
    fresh = set(spec.get("confirm_seeds") or ())
    seeds = set(spec.get("seeds") or ()) | fresh
    own = [row for row in rows if row["seed"] in seeds]
    by_suggestion = {row["suggestion_id"]: row for row in own}
    baseline = {i for i, row in by_suggestion.items() if spec.get("baseline") and _is_baseline(spec, row)}
    inside = {i for i, row in by_suggestion.items() if i not in baseline and _is_inside(spec, row)}
    if (count := spec.get("suggestions")) is not None:
        inside = _first_suggestions([r for r in own if r["suggestion_id"] in inside and r["seed"] not in fresh], count)
    return [row for row in own if row["suggestion_id"] in baseline | inside]


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


def _is_inside(spec: Spec, row: Row) -> bool:
    """Whether some point of the description's space is the row's configuration; a preset's name is no part of that."""
    space, fixed = spec.get("space") or {}, spec.get("fixed") or {}
    names = [name for name in space if is_searched(name, row, spec)]
    if not all(contains(space[name], row.get(name)) for name in names if name != "preset"):
        return False
    given = {**fixed, **{name: row.get(name) for name in names}}
    return any(_is_row({**given, **point}, row) for point in _presets(space.get("preset"), row))


def _presets(domain: Spec | None, row: Row) -> Iterator[Mapping[str, Any]]:
    """What the preset may have been called where it is searched, the row's own name first."""
    if domain is None:
        yield {}
        return
    for name in sorted(domain.get("values", ()), key=lambda name: bool(name != row.get("preset"))):
        yield {"preset": name}


def _is_baseline(spec: Spec, row: Row) -> bool:
    return _is_row({**(spec.get("fixed") or {}), **spec["baseline"]}, row)


def _is_row(given: Mapping[str, Any], row: Row) -> bool:
    """Whether these fields resolve to the row's configuration; where this program cannot say, whether the row has them.

    (It cannot of images of one's own that nobody has made known, or fields that it lacks.)
    """
    try:
        config: Mapping[str, Any] = vars(resolve(given))
    except InputError:
        return all(value in (row.get(name), AUTOMATIC) for name, value in given.items() if name not in _BESIDE)
    return all(config[name] == row.get(name) for name in FIELD_TYPES if name not in _BESIDE)


def _first_suggestions(rows: Sequence[Row], count: int) -> set[str]:
    """The ids of so many suggestions, those whose first trial ended first."""
    first: dict[str, tuple[str, str]] = {}
    for row in rows:
        ended = (str(row.get("finished_at")), row["suggestion_id"])
        first[row["suggestion_id"]] = min(first.get(row["suggestion_id"], ended), ended)
    return set(sorted(first, key=first.__getitem__)[:count])
