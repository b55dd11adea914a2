"""What can be wrong with what a study wants: metrics, objectives, constraints, the pruner and the confirmation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vmi.spec import layout
from vmi.spec.datasets import spec_of
from vmi.spec.errors import Problem, did_you_mean, one_of
from vmi.spec.goals import DIRECTIONS, Bound
from vmi.spec.metrics import METRICS, available, unsupervised
from vmi.study import seeds

if TYPE_CHECKING:
    from vmi.study.study import Study

# Optuna's pruners that judge a member by values of others at the same step.
PRUNERS = ("median", "successive_halving", "hyperband")
# More objectives than this, and nearly every suggestion is on the front.
MAX_OBJECTIVES = 4
MAX_CONFIRM = 1000
BOUNDS = "at_least(x) or at_most(x) of finite numbers"


def goal_problems(study: Study, layouts: Sequence[str], datasets: Sequence[str]) -> Iterator[Problem]:
    """Everything that is wrong with what is wanted; layouts and data sets of the study are those that are right."""
    yield from named("metric", study.metric, tuple(METRICS))
    yield from named("direction", study.direction, DIRECTIONS)
    yield from _objective_problems(study)
    yield from _constraint_problems(study.constraints)
    yield from _missing_metrics(study, layouts, datasets)
    yield from _pruner_problems(study)
    yield from _confirm_problems(study)
    yield from _restart_problems(study)
    yield from _choice_problems(study, layouts)


def named(field: str, value: object, valid: Sequence[str]) -> Iterator[Problem]:
    """The value is not one of the valid names."""
    if not isinstance(value, str) or value not in valid:
        yield Problem(field, value, one_of(valid), did_you_mean(value, valid) if isinstance(value, str) else "")


def _objective_problems(study: Study) -> Iterator[Problem]:
    given = study.objectives
    if not isinstance(given, Mapping):
        yield Problem("objectives", given, "a mapping of metrics to 'maximize' or 'minimize'")
        return
    for metric, direction in given.items():
        yield from _metric_name(f"objectives.{metric}", metric)
        yield from named(f"objectives.{metric}", direction, DIRECTIONS)
    if len(given) == 1 or len(given) > MAX_OBJECTIVES:
        hint = "one objective is metric= and direction=" if len(given) == 1 else ""
        yield Problem("objectives", dict(given), f"none, or 2 to {MAX_OBJECTIVES} of them", hint)
    elif given and isinstance(study.metric, str) and study.metric in METRICS and study.metric not in given:
        allowed = f"one of the objectives ({', '.join(map(str, given))}): suggestions of the front are ranked by it"
        yield Problem("metric", study.metric, allowed)
    elif study.metric in tuple(given) and study.direction in DIRECTIONS and given[study.metric] != study.direction:
        yield Problem("direction", study.direction, f"as in objectives: {given[study.metric]!r} for {study.metric}")


def _metric_name(field: str, metric: object) -> Iterator[Problem]:
    if not isinstance(metric, str) or metric not in METRICS:
        hint = did_you_mean(metric, METRICS) if isinstance(metric, str) else ""
        yield Problem(field, metric, f"a metric, {one_of(list(METRICS))}", hint)


def _constraint_problems(given: object) -> Iterator[Problem]:
    if not isinstance(given, Mapping):
        yield Problem("constraints", given, f"a mapping of metrics to {BOUNDS}")
        return
    for metric, bound in given.items():
        where = f"constraints.{metric}"
        yield from _metric_name(where, metric)
        sides = [side for side in (bound.low, bound.high) if side is not None] if isinstance(bound, Bound) else []
        if not sides or not all(map(_is_finite, sides)):
            yield Problem(where, bound, BOUNDS)
        elif len(sides) == 2 and sides[0] > sides[1]:
            yield Problem(where, bound, "low must be at most high")


def _is_finite(side: object) -> bool:
    return isinstance(side, int | float) and not isinstance(side, bool) and abs(side) < 2**53


def _missing_metrics(study: Study, layouts: Sequence[str], datasets: Sequence[str]) -> Iterator[Problem]:
    """Metrics that data or a layout of the study cannot give: it could never be compared, or never be feasible."""
    wanted: list[tuple[str, Any]] = [("metric", study.metric)]
    for part, given in (("objectives", study.objectives), ("constraints", study.constraints)):
        wanted += [(f"{part}.{metric}", metric) for metric in given] if isinstance(given, Mapping) else []
    known = [(field, metric) for field, metric in wanted if isinstance(metric, str) and metric in METRICS]
    unlabelled = [name for name in datasets if not spec_of(name).is_labelled]
    blind = {metric for text in layouts for metric in available(layout.parse(text), labelled=False)}
    for field, metric in known if unlabelled else ():
        if METRICS[metric].labels:
            allowed = f"one that looks at no label, as {', '.join(unlabelled)} has none"
            yield Problem(field, metric, allowed, one_of(sorted(blind or unsupervised())))
    for text in layouts:
        given_by = available(layout.parse(text), not unlabelled)
        for field, metric in known:
            if metric not in given_by and not (unlabelled and METRICS[metric].labels):
                yield Problem(field, metric, f"one that layout {text!r} can give", one_of(given_by))


def _pruner_problems(study: Study) -> Iterator[Problem]:
    if study.pruner is None:
        return
    yield from named("pruner", study.pruner, PRUNERS)
    if isinstance(study.objectives, Mapping) and len(study.objectives) > 1:
        yield Problem("pruner", study.pruner, "absent beside objectives: a pruner compares one value")
    if study.searcher == "grid":
        yield Problem("pruner", study.pruner, "absent: a grid trains every combination to its end", "or searcher='tpe'")


def _confirm_problems(study: Study) -> Iterator[Problem]:
    given, fresh = study.confirm, study.confirm_seeds
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MAX_CONFIRM:
        yield Problem("confirm", given, f"how many suggestions to train again: a whole number from 0 to {MAX_CONFIRM}")
    elif given == 0 and fresh != ():
        yield Problem("confirm", given, "at least 1 where confirm_seeds are given")
    elif given and study.searcher != "grid" and isinstance(study.suggestions, int) and given > study.suggestions > 0:
        yield Problem("confirm", given, f"at most the {study.suggestions} suggestions of the search")
    if given == 0 and fresh == ():
        return
    yield from seeds.problems("confirm_seeds", fresh)
    known = set(_whole(study.seeds))
    if shared := [seed for seed in _whole(fresh) if seed in known]:
        allowed = "seeds that the search does not use: a winner is confirmed on fresh ones"
        yield Problem("confirm_seeds", fresh, allowed, f"both have {', '.join(map(str, shared[:5]))}")


def _restart_problems(study: Study) -> Iterator[Problem]:
    """A count of restarts that cannot be, and seeds that do not make whole groups of so many."""
    count = study.restarts
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= seeds.MAX_SEEDS:
        allowed = f"how many seeds form one replicate: a whole number from 1 to {seeds.MAX_SEEDS}"
        yield Problem("restarts", count, allowed)
        return
    found = len(study.seeds) if isinstance(study.seeds, tuple) else 0
    if 0 < found < count:
        allowed = f"at most the {found} seeds, of which so many form one replicate"
        yield Problem("restarts", count, allowed, f"nearest: {found}, or {count} seeds")
    elif found % count:
        divisors = [n for n in range(1, found + 1) if found % n == 0]
        near = [max(n for n in divisors if n < count), min(n for n in divisors if n > count)]
        hint = f"nearest: {near[0]} or {near[1]}, or {_multiples(found, count)} seeds"
        yield Problem("restarts", count, f"a count that divides the {found} seeds into groups", hint)
    fresh = study.confirm_seeds
    if isinstance(fresh, tuple) and len(fresh) % count:
        hint = f"nearest: {_multiples(len(fresh), count)} seeds"
        yield Problem("confirm_seeds", fresh, f"whole groups of {count} restarts; these are {len(fresh)} seeds", hint)


def _multiples(found: int, count: int) -> str:
    """The counts of seeds nearest to what was found that make whole groups."""
    below = found // count * count
    return f"{below} or {below + count}" if below else str(count)


def _choice_problems(study: Study, layouts: Sequence[str]) -> Iterator[Problem]:
    """A metric that a trial cannot be chosen by without labels; what a layout lacks matters only with restarts."""
    name, able = study.choose_by, unsupervised()
    if not isinstance(name, str) or name not in METRICS:
        yield from named("choose_by", name, able)
    elif METRICS[name].labels:
        yield Problem("choose_by", name, f"a metric that looks at no label, {one_of(able)}", METRICS[name].labels)
    elif not METRICS[name].direction:
        yield Problem("choose_by", name, f"a metric of which one way is better, {one_of(able)}")
    elif study.restarts != 1:
        for text in layouts:
            given_by = available(layout.parse(text))
            if name not in given_by:
                allowed = f"one that layout {text!r} can give"
                yield Problem("choose_by", name, allowed, one_of([other for other in able if other in given_by]))


def _whole(given: object) -> list[int]:
    return [seed for seed in given if isinstance(seed, int)] if isinstance(given, tuple) else []
