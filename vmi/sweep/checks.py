"""What can be wrong with a study: every check is a generator of Problems, and none raises on any value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from vmi import latents
from vmi.config import FIELD_TYPES, MAX_SEED, TrialConfig, field_problems, resolve
from vmi.datasets import DATASETS
from vmi.errors import InputError, Problem, did_you_mean, one_of
from vmi.metrics import METRICS, available
from vmi.sweep import space as domains
from vmi.sweep.space import Choice, Domain

if TYPE_CHECKING:
    from vmi.sweep.study import Study

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SEARCHERS = ("grid", "tpe", "random")
DIRECTIONS = ("maximize", "minimize")
MAX_SEEDS = 10_000
MAX_SUGGESTIONS = 100_000
MAX_TRIALS = 100_000


class _Valid(NamedTuple):
    """The parts of a study that are right by themselves, and the names of those fields that are not."""

    fixed: Mapping[str, Any]
    space: Mapping[str, Domain]
    baseline: Mapping[str, Any]
    bad: frozenset[str]


def study_problems(study: Study) -> list[Problem]:
    """Everything that is wrong with the study, each field by itself first, then fields against each other."""
    alone = [*_fixed_problems(study, "fixed"), *_space_problems(study), *_fixed_problems(study, "baseline")]
    valid = _valid(study)
    return [
        *_name_problems(study.name),
        *alone,
        *_scale_problems(study.scales),
        *_seed_problems(study.seeds),
        *_named("metric", study.metric, tuple(METRICS)),
        *_named("direction", study.direction, DIRECTIONS),
        *_named("searcher", study.searcher, SEARCHERS),
        *_suggestion_problems(study),
        *_count_problems(study, valid),
        *_cross_problems(valid),
        *_metric_problems(study.metric, valid),
        *_dataset_problems(valid),
    ]


def _name_problems(name: object) -> Iterator[Problem]:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield Problem("name", name, f"1 to 64 characters of the pattern {NAME.pattern}")


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


def _named(field: str, value: object, valid: Sequence[str]) -> Iterator[Problem]:
    if not isinstance(value, str) or value not in valid:
        yield Problem(field, value, one_of(valid), did_you_mean(value, valid) if isinstance(value, str) else "")


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


def _seed_problems(seeds: Any) -> Iterator[Problem]:
    if not isinstance(seeds, tuple):
        yield Problem("seeds", seeds, f"1 to {MAX_SEEDS} whole numbers from 0 to {MAX_SEED}")
        return
    if not 1 <= len(seeds) <= MAX_SEEDS:
        yield Problem("seeds", seeds, f"1 to {MAX_SEEDS} of them")
    first: dict[int, int] = {}
    for index, seed in enumerate(seeds):
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
            yield Problem(f"seeds[{index}]", seed, f"a whole number from 0 to {MAX_SEED}")
        elif first.setdefault(seed, index) != index:
            yield Problem(f"seeds[{index}]", seed, f"different seeds; index {first[seed]} is the same")


def _suggestion_problems(study: Study) -> Iterator[Problem]:
    given = study.suggestions
    if study.searcher == "grid":
        if given is not None:
            yield Problem("suggestions", given, "absent: a grid takes every combination", "or searcher='tpe'")
    elif isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_SUGGESTIONS:
        yield Problem("suggestions", given, f"a whole number from 1 to {MAX_SUGGESTIONS}")


def _count_problems(study: Study, valid: _Valid) -> Iterator[Problem]:
    """What cannot be enumerated, and more trials than one study may have; by arithmetic alone."""
    seeds = len(study.seeds) if isinstance(study.seeds, tuple) else 1
    given = study.suggestions if isinstance(study.suggestions, int) else 0
    points = given if given <= MAX_SUGGESTIONS else 0
    if study.searcher == "grid":
        sizes = {name: domains.size(domain) for name, domain in valid.space.items()}
        for name in (name for name, count in sizes.items() if count is None):
            allowed = "a grid takes values: choice(...), or a range that is not logarithmic with a step"
            hint = "searcher='tpe' and searcher='random' take such a range"
            yield Problem(f"space.{name}", valid.space[name], allowed, hint)
        points = math.prod(count for count in sizes.values() if count is not None)
    points += bool(valid.baseline)
    if points * seeds > MAX_TRIALS:
        yield Problem("trials", points * seeds, f"at most {MAX_TRIALS}; this is {points} points x {seeds} seeds")


def _cross_problems(valid: _Valid) -> Iterator[Problem]:
    """Fields that are right by themselves and wrong together, each problem once."""
    if "dataset" in valid.bad:  # the defaults and limits of another data set would be reported
        return
    axes = {name: _extremes(domain) for name, domain in valid.space.items()}
    if math.prod(len(axis) for axis in axes.values()) > MAX_TRIALS:
        axes = {name: (axis[0], axis[-1]) for name, axis in axes.items()}
    points = [{**valid.fixed, **dict(zip(axes, point, strict=True))} for point in product(*axes.values())]
    points += [{**valid.fixed, **valid.baseline}] if valid.baseline else []
    seen: dict[tuple[str, str], Problem] = {}
    for point in points:
        for problem in _resolve_problems(point):
            if problem.field not in valid.bad:
                seen.setdefault((problem.field, problem.allowed), problem)
    yield from seen.values()


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


def _metric_problems(metric: object, valid: _Valid) -> Iterator[Problem]:
    if not isinstance(metric, str) or metric not in METRICS:
        return
    for text in _used("layout", valid):
        given = available(latents.parse(text))
        if metric not in given:
            yield Problem("metric", metric, f"one that layout {text!r} can give", one_of(given))


def _dataset_problems(valid: _Valid) -> Iterator[Problem]:
    names = _used("dataset", valid)
    specs = [DATASETS[name] for name in names]
    if len({(spec.image_shape, spec.classes) for spec in specs}) > 1:
        shapes = ", ".join(f"{s.name} {s.image_shape[0]}x{s.image_shape[1]} {s.classes} classes" for s in specs)
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
    return _Valid(parts["fixed"], parts["space"], parts["baseline"], frozenset(bad))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
