"""What can be wrong with a study: every check is a generator of Problems, and none raises on any value."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from vmi.spec.arrays import picture_shape
from vmi.spec.config import FIELD_TYPES, TrialConfig
from vmi.spec.datasets import spec_of
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.spec.redaction import holds_secret
from vmi.spec.resolving import field_problems, resolve
from vmi.study import conditions as dependence
from vmi.study import seeds
from vmi.study import space as domains
from vmi.study.condition_checks import condition_problems
from vmi.study.goal_checks import MAX_CONFIRM, goal_problems, named
from vmi.study.space import Choice, Domain
from vmi.study.study import Study

if TYPE_CHECKING:
    from vmi.study.study import Study

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SEARCHERS = ("grid", "tpe", "random")
MAX_SUGGESTIONS = 100_000
MAX_TRIALS = 100_000
# Of fields that are right by themselves, how many combinations are looked at all; and, beyond, of their texts.
MAX_PROBES = 4096
MAX_WORDS = 64


class _Valid(NamedTuple):
    """The parts of a study that are right by themselves, and the names of those fields that are not."""

    fixed: Mapping[str, Any]
    space: Mapping[str, Domain]
    baseline: Mapping[str, Any]
    conditions: dependence.Conditions
    bad: frozenset[str]


def study_problems(study: Study) -> list[Problem]:
    """Everything that is wrong with the study, each field by itself first, then fields against each other."""
    alone = [*_fixed_problems(study, "fixed"), *_space_problems(study), *_fixed_problems(study, "baseline")]
    valid = _valid(study)
    return [
        *_argument_problems(study),
        *_name_problems(study.name),
        *alone,
        *_scale_problems(study.scales),
        *seeds.problems("seeds", study.seeds),
        *named("searcher", study.searcher, SEARCHERS),
        *condition_problems(study.conditions, _mapping(study.space), valid.bad),
        *_suggestion_problems(study),
        *_count_problems(study, valid),
        *_cross_problems(valid),
        *goal_problems(study, _used("layout", valid), _used("dataset", valid)),
        *_dataset_problems(valid),
    ]


def _argument_problems(study: Study) -> Iterator[Problem]:
    names = [f.name for f in dataclasses.fields(study) if f.name != "unknown"]
    for name, value in _mapping(study.unknown).items():
        yield Problem(str(name), value, "no such argument of Study", did_you_mean(name, names) or one_of(names))


def _name_problems(name: object) -> Iterator[Problem]:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield Problem("name", name, f"1 to 64 characters of the pattern {NAME.pattern}")
    elif holds_secret(name):
        yield Problem("name", name, "no key and no password: every result would carry it")


def _scale_problems(scales: object) -> Iterator[Problem]:
    if not isinstance(scales, Mapping):
        yield Problem("scales", scales, "a mapping of names to mappings of field names to values")
        return
    for scale, fields in scales.items():
        if not isinstance(scale, str) or not NAME.fullmatch(scale):
            yield Problem("scales", scale, f"names of the pattern {NAME.pattern}")
        if not isinstance(fields, Mapping):
            yield Problem(f"scales.{scale}", fields, "a mapping of field names to values")
            continue
        for name, value in fields.items():
            for problem in _one_fixed(name, value):
                yield problem._replace(field=f"scales.{scale}.{name}")


def _fixed_problems(study: Study, part: str) -> Iterator[Problem]:
    given = getattr(study, part)
    if not isinstance(given, Mapping):
        yield Problem(part, given, "a mapping of field names to values")
        return
    for name, value in given.items():
        for problem in _one_fixed(name, value):
            yield problem._replace(field=f"{part}.{name}")


def _one_fixed(name: Any, value: object) -> Iterable[Problem]:
    if name == "seed":
        return [Problem(name, value, "not fixed: every suggestion is trained on all seeds", "use seeds=")]
    if name not in FIELD_TYPES:
        hint = did_you_mean(name, FIELD_TYPES) or one_of(list(FIELD_TYPES))
        return [Problem(name, value, "no such field", hint)]
    return field_problems(name, value)


def _space_problems(study: Study) -> Iterator[Problem]:
    if not isinstance(study.space, Mapping) or not study.space:
        yield Problem("space", study.space, "at least one searched field", f"such as {domains.CONSTRUCTORS}")
        return
    for name, domain in study.space.items():
        yield from domains.problems(name, domain)
        if name in _mapping(study.fixed):
            both = f"fixed.{name} and space.{name}"
            yield Problem(both, study.fixed[name], "a field is fixed or searched, not both", "drop one")


def _suggestion_problems(study: Study) -> Iterator[Problem]:
    given = study.suggestions
    if study.searcher == "grid":
        if given is not None:
            yield Problem("suggestions", given, "absent: a grid takes every combination", "or searcher='tpe'")
    elif isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_SUGGESTIONS:
        yield Problem("suggestions", given, f"a whole number from 1 to {MAX_SUGGESTIONS}")


def _count_problems(study: Study, valid: _Valid) -> Iterator[Problem]:
    """What cannot be enumerated, and more trials than one study may have; by arithmetic alone."""
    replicates = len(study.seeds) if isinstance(study.seeds, tuple) else 1
    given = study.suggestions if isinstance(study.suggestions, int) else 0
    points = given if given <= MAX_SUGGESTIONS else 0
    if study.searcher == "grid":
        sizes = {name: domains.size(domain) for name, domain in valid.space.items()}
        for name in (name for name, count in sizes.items() if count is None):
            allowed = "a grid takes values: choice(...), or a range that is not logarithmic with a step"
            hint = "searcher='tpe' and searcher='random' take such a range"
            yield Problem(f"space.{name}", valid.space[name], allowed, hint)
        counted = {name: domain for name, domain in valid.space.items() if sizes[name] is not None}
        points = dependence.count(counted, _within(valid.conditions, counted)) or 0
    points += bool(valid.baseline)
    total = points * replicates + _confirmations(study)
    if total > MAX_TRIALS:
        again = f" and {_confirmations(study)} to confirm" if _confirmations(study) else ""
        allowed = f"at most {MAX_TRIALS}; this is {points} points x {replicates} seeds{again}"
        yield Problem("trials", total, allowed)


def _confirmations(study: Study) -> int:
    fresh, again = study.confirm_seeds, study.confirm
    return len(fresh) * again if isinstance(fresh, tuple) and isinstance(again, int) and 0 < again <= MAX_CONFIRM else 0


def _cross_problems(valid: _Valid) -> Iterator[Problem]:
    """Fields that are right by themselves and wrong together, each problem once."""
    if "dataset" in valid.bad:  # the defaults and limits of another data set would be reported
        return
    seen: dict[tuple[str, str], Problem] = {}
    for point in corners(valid):
        for problem in _resolve_problems(point):
            if problem.field not in valid.bad:
                seen.setdefault((problem.field, problem.allowed), problem)
    yield from seen.values()


def corners(study: Study | _Valid) -> Iterator[Mapping[str, Any]]:
    """The ends of a sound study's ranges, and its baseline: where fields do not go together, it shows here."""
    parents = {parent for allowed in study.conditions.values() for parent in allowed}
    axes = {n: d.values if n in parents and isinstance(d, Choice) else _extremes(d) for n, d in study.space.items()}
    for point in _probes(axes, study.conditions):
        yield {**study.fixed, **point}
    if study.baseline:
        yield {**study.fixed, **study.baseline}


def _probes(axes: Mapping[str, tuple[Any, ...]], conditions: dependence.Conditions) -> Iterator[Mapping[str, Any]]:
    """Every combination; where there are too many, those in which at most two numbers are not at one and the same end.

    No rule relates more than two numbers. Texts, and what others depend on, take all their values at either end.
    """
    if math.prod(map(len, axes.values())) <= MAX_PROBES:
        yield from dependence.points(axes, conditions)
        return
    parents = {parent for allowed in conditions.values() for parent in allowed}
    words = {name: axis for name, axis in axes.items() if isinstance(axis[0], str) or name in parents}
    every, few = (
        words
        if math.prod(map(len, words.values())) <= most
        else {name: tuple(dict.fromkeys((axis[0], axis[-1]))) for name, axis in words.items()}
        for most in (MAX_TRIALS, MAX_WORDS)
    )
    numbers = [name for name in axes if name not in words]
    for end, other in ((0, -1), (-1, 0)):
        at_end = {name: (axes[name][end],) for name in numbers}
        yield from dependence.points({name: (at_end | every)[name] for name in axes}, conditions)
        for pair in combinations(numbers, min(2, len(numbers))):
            moved = at_end | {name: (axes[name][other],) for name in pair} | few
            yield from dependence.points({name: moved[name] for name in axes}, conditions)


def _extremes(domain: Domain) -> tuple[Any, ...]:
    """Values that break a rule between fields if any does: all strings, and the two extremes of numbers."""
    if isinstance(domain, Choice) and isinstance(domain.values[0], str):
        return domain.values
    ends = domain.values if isinstance(domain, Choice) else domains.ends(domain)
    return min(ends), max(ends)


def _resolve_problems(point: Mapping[str, Any]) -> tuple[Problem, ...]:
    try:
        resolve(point)
    except InputError as error:
        return error.problems
    return ()


def _dataset_problems(valid: _Valid) -> Iterator[Problem]:
    names = _used("dataset", valid)
    specs = [spec_of(name) for name in names]
    if len({(spec.shape, spec.classes) for spec in specs}) > 1:
        shapes = ", ".join(f"{s.name} {'x'.join(map(str, picture_shape(s)))} {s.classes} classes" for s in specs)
        allowed = "data sets of one image shape and one number of classes"
        yield Problem("dataset", names, allowed, f"{shapes}; make one study of each")


def _used(field: str, valid: _Valid) -> tuple[str, ...]:
    """The valid values that a string field takes in the study, the baseline's own among them."""
    if field in valid.bad:
        return ()
    default = valid.fixed.get(field, getattr(TrialConfig, field))
    domain = valid.space.get(field)
    searched = domain.values if isinstance(domain, Choice) else (default,)
    return tuple(dict.fromkeys((*searched, valid.baseline.get(field, default))[: None if valid.baseline else -1]))


def _valid(study: Study) -> _Valid:
    parts: dict[str, dict[str, Any]] = {"fixed": {}, "space": {}, "baseline": {}}
    bad = set()
    for part, good in parts.items():
        check = domains.problems if part == "space" else _one_fixed
        for name, value in _mapping(getattr(study, part)).items():
            if list(check(name, value)):
                bad.add(name)
            else:
                good[name] = value
    dependent = {} if list(condition_problems(study.conditions, parts["space"], frozenset())) else study.conditions
    return _Valid(parts["fixed"], parts["space"], parts["baseline"], dependent, frozenset(bad))


def _within(conditions: dependence.Conditions, space: Mapping[str, Any]) -> dependence.Conditions:
    """The conditions of these fields alone."""
    return {name: parents for name, parents in conditions.items() if name in space}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def validate(study: Study) -> None:
    """Raises one InputError with everything that is wrong with the study."""
    problems = study_problems(study)
    if problems:
        raise InputError(problems, f"study {study.name!r}" if isinstance(study.name, str) else "study")
