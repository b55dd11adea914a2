"""How a study grows: what it was asked for before and what it is asked for now as one study, or why they contradict.

Seeds, values, ranges, suggestions, objectives and confirmations unite; a request that asks for less adds nothing. What
would change the meaning of the trials that are there (fixed fields, the metric, the searcher, …) contradicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from vmi.spec.config import FIELDS
from vmi.spec.errors import Problem
from vmi.spec.requests import contains
from vmi.spec.resolving import AUTOMATIC, resolve
from vmi.study.conditions import canonical, points
from vmi.study.space import Choice, Domain, Float, Integer, size
from vmi.study.space import values as values_of
from vmi.study.study import Study, Unasked
from vmi.study.study_json import as_text, differences, spec, study_of

# Parts of a study that a later request may not change; the others grow.
KEPT = ("direction", "searcher", "pruner", "restarts", "choose_by", "constraints")
_ABSENT = object()


class Grown(NamedTuple):
    """The study that two requests make together, and everything in which they contradict each other."""

    study: Study
    problems: tuple[Problem, ...]


def grown(stored: Mapping[str, Any], asked: Study) -> Grown:
    """A stored study (its description in study.json) and a valid new request of the same name, as one study."""
    old, problems = study_of(stored), list[Problem]()
    metric = old.metric if type(asked.metric) is Unasked else asked.metric
    new_spec = {**spec(replace(asked, metric=metric), 0), "name": stored.get("name", asked.name)}
    for name in ("metric", *KEPT):
        mine, theirs = ({name: side[name]} if name in side else {} for side in (stored, new_spec))
        problems += differences(mine, theirs)
    fixed, space = _fields(stored, new_spec, problems)
    conditions = _conditions(stored, new_spec, problems)
    made = replace(
        asked,
        metric=metric,
        fixed=fixed,
        space={name: space[name] for name in (*(n for n in asked.space if n in space), *space)},
        conditions=conditions,
        seeds=_united(old.seeds, asked.seeds),
        confirm_seeds=_united(old.confirm_seeds, asked.confirm_seeds),
        confirm=max(old.confirm, asked.confirm),
        suggestions=_larger(old.suggestions, asked.suggestions),
        objectives=_objectives(stored, new_spec, problems),
        baseline=_baseline(stored, new_spec, space, problems),
    )
    return Grown(made, tuple(problems))


def growth(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What a study's description has gained, in a few words each: "seeds 5 → 10"."""
    old, new = study_of(before), study_of(after)
    counts = {
        "seeds": (len(tuple(old.seeds)), len(tuple(new.seeds))),
        "suggestions": (old.suggestions or 0, new.suggestions or 0),
        "objectives": (max(1, len(old.objectives)), max(1, len(new.objectives))),
        "confirm": (old.confirm, new.confirm),
        "confirm_seeds": (len(tuple(old.confirm_seeds)), len(tuple(new.confirm_seeds))),
    }
    said = [f"{name} {had} → {has}" for name, (had, has) in counts.items() if had != has]
    said += [_axis_said(name, old, domain) for name, domain in new.space.items() if domain != old.space.get(name)]
    said += [f"conditions of {name}" for name in rewritten(old, new)]
    return said + (["a baseline"] if new.baseline and not old.baseline else [])


def rewritten(old: Study, new: Study) -> list[str]:
    """The fields of both that have come to be searched beside other values than before."""
    mine, theirs = (canonical(study.conditions) for study in (old, new))
    return [name for name in new.space if name in old.space and mine.get(name) != theirs.get(name)]


def _axis_said(name: str, old: Study, domain: Domain) -> str:
    before = old.space.get(name)
    if isinstance(domain, Choice) and isinstance(before, Choice):
        return f"{name} {len(before.values)} → {len(domain.values)} values"
    return f"{name} {_span(before)} → {_span(domain)}" if before else f"{name}: {_span(domain)}"


def _span(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return f"{len(domain.values)} value{'s' if len(domain.values) != 1 else ''}"
    return f"{domain.low:g} to {domain.high:g}"


def _united(old: Iterable[int], new: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*old, *new)))


def _larger(old: int | None, new: int | None) -> int | None:
    return None if old is None and new is None else max(old or 0, new or 0)


def _fields(
    old: Mapping[str, Any], new: Mapping[str, Any], problems: list[Problem]
) -> tuple[dict[str, Any], dict[str, Domain]]:
    """What both fix, and the axes of both as one space; the old axes first."""
    fixed, space = dict[str, Any](), dict[str, Domain]()
    held = [(side["fixed"], side["space"], study_of(side).space) for side in (old, new)]
    for name in dict.fromkeys(n for fix, axes, _ in held for n in (*axes, *fix)):
        had, has = (fix.get(name, axes.get(name, _ABSENT)) for fix, axes, _ in held)
        if not any(name in axes for _, axes, _ in held):
            problems += differences({"fixed": _only(name, had)}, {"fixed": _only(name, has)})
            fixed[name] = has if had is _ABSENT else had
            continue
        mine, theirs = (
            axes.get(name) or _point(name, side) for side, (_, _, axes) in zip((old, new), held, strict=True)
        )
        united = _union(mine, theirs) if mine and theirs else None
        if united is None:
            problems.append(_apart(name, had, has))
        else:
            space[name] = united
    return fixed, space


def _only(name: str, value: Any) -> dict[str, Any]:
    return {} if value is _ABSENT else {name: value}


def _point(name: str, side: Mapping[str, Any]) -> Choice | None:
    """The values that a field has in a study that does not search it: fixed, or what it is left at beside each word.

    None where these are no values of their own: of a field that follows a searched one.
    """
    fixed, space = side["fixed"], side["space"]
    if name in fixed:
        return None if fixed[name] == AUTOMATIC else Choice((fixed[name],))
    if FIELDS[name].follows in space:
        return None
    words = {n: d["values"] for n, d in space.items() if d["kind"] == "choice" and isinstance(d["values"][0], str)}
    conditions = side.get("conditions", {})
    within = {n: {p: v for p, v in conditions.get(n, {}).items() if p in words} for n in words}
    found = (resolve({**fixed, **point}) for point in points(words, within))
    return Choice(tuple(dict.fromkeys(getattr(config, name) for config in found)))


def _union(old: Domain, new: Domain) -> Domain | None:
    """One domain that has the values of both; None where no domain has just these."""
    if isinstance(old, Choice) and isinstance(new, Choice):
        first, then = (new, old) if set(old.values) < set(new.values) else (old, new)
        return Choice(tuple(dict.fromkeys((*first.values, *then.values))))
    for wide, narrow in ((old, new), (new, old)):
        if isinstance(narrow, Choice) and all(contains(wide.spec(), value) for value in narrow.values):
            return wide
    if isinstance(old, Choice) or isinstance(new, Choice) or type(old) is not type(new) or old.log != new.log:
        return None
    return _wider(old, new)


def _wider(old: Float | Integer, new: Float | Integer) -> Domain | None:
    """The range from the lower low to the higher high, where the steps of both meet."""
    if old.step != new.step:
        return None
    if old.step is not None and (Fraction(str(new.low)) - Fraction(str(old.low))) % Fraction(str(old.step)):
        return None
    return replace(old, low=min(old.low, new.low), high=max(_end(old), _end(new)))


def _end(domain: Float | Integer) -> Any:
    """The last value that the range has: where a step does not reach `high`, another low may."""
    return domain.high if size(domain) is None else list(values_of(domain))[-1]


def _apart(name: str, had: Any, has: Any) -> Problem:
    """Why the two sides of a field are no one axis."""
    old, new = (as_text("its default" if side is _ABSENT else side) for side in (had, has))
    allowed = f"the values of the stored study, {old}, and more of their kind"
    return Problem(f"space.{name}", new, allowed, "a choice grows by values, a range of the same step by its ends")


def _conditions(
    old: Mapping[str, Any], new: Mapping[str, Any], problems: list[Problem]
) -> dict[str, dict[str, tuple[Any, ...]]]:
    """The conditions of both: of a field that both search the same parents, with the values of both."""
    mine, theirs = (side.get("conditions", {}) for side in (old, new))
    made: dict[str, dict[str, tuple[Any, ...]]] = {}
    for name in dict.fromkeys((*mine, *theirs)):
        both = name in old["space"] and name in new["space"]
        if both and set(mine.get(name, {})) != set(theirs.get(name, {})):
            problems += differences({"conditions": {name: mine.get(name)}}, {"conditions": {name: theirs.get(name)}})
        parents = {**mine.get(name, {}), **theirs.get(name, {})}
        made[name] = {
            parent: _united(mine.get(name, {}).get(parent, ()), theirs.get(name, {}).get(parent, ()))
            for parent in parents
        }
    return made


def _objectives(old: Mapping[str, Any], new: Mapping[str, Any], problems: list[Problem]) -> dict[str, str]:
    """The objectives of both; those that both have must agree."""
    mine, theirs = (side.get("objectives", {}) for side in (old, new))
    shared = mine.keys() & theirs.keys()
    problems += differences(*({"objectives": {n: side[n] for n in sorted(shared)}} for side in (mine, theirs)))
    return {**theirs, **mine}


def _baseline(
    old: Mapping[str, Any], new: Mapping[str, Any], space: Mapping[str, Domain], problems: list[Problem]
) -> dict[str, Any]:
    """The baseline of either; with what it had by a fixed field that is an axis now."""
    mine, theirs = (
        {**{n: v for n, v in side["fixed"].items() if n in space}, **baseline} if baseline else {}
        for side, baseline in ((side, side.get("baseline", {})) for side in (old, new))
    )
    if mine and theirs and resolve({**old["fixed"], **mine}) != resolve({**new["fixed"], **theirs}):
        problems += differences({"baseline": mine}, {"baseline": theirs})
    return dict(mine or theirs)
