"""How a study shrinks when trials are dropped: what only these had is asked for no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vmi.spec.requests import APART, is_searched, request_of
from vmi.spec.restarts import Restarts
from vmi.spec.trial import Row
from vmi.study.checks import study_problems
from vmi.study.conditions import restricted
from vmi.study.space import Choice, Domain
from vmi.study.study import Study
from vmi.study.study_json import spec, study_of

Spec = Mapping[str, Any]


def shrunk(stored: Spec, gone: Sequence[Row], left: Sequence[Row]) -> dict[str, Any]:
    """A study's description without the values, seeds and baseline that only trials have which are gone.

    Arguments:
        stored: what study.json has
        gone: the trials that go, stored or only asked for, as rows
        left: those that stay

    What would be no study any more stays as it is: a request of which nothing is left goes, unless all of them do.
    """
    made = _less(stored, gone, left) or dict(stored)
    kept = [
        {**one, "spec": less, "study": whole}
        for one in stored.get("requests", ())
        if (less := _less(one["spec"], gone, left)) and (whole := _less(one["study"], gone, left))
    ]
    return {**made, "requests": kept} if kept else made


def removed(before: Spec, after: Spec) -> Iterator[str]:
    """What a description has lost, in a few words each: "mi_weight 800", "seeds 3, 4"."""
    for name, domain in before["space"].items():
        values = after["space"].get(name, {}).get("values", ())
        if lost := [value for value in domain.get("values", ()) if value not in values]:
            yield f"{name} {', '.join(f'{v:g}' if isinstance(v, float) else str(v) for v in lost)}"
    for name in ("seeds", "confirm_seeds"):
        if lost := [seed for seed in before.get(name, ()) if seed not in after.get(name, ())]:
            yield f"{name} {', '.join(map(str, lost))}"
    if before.get("baseline") and not after.get("baseline"):
        yield "the baseline"


def _less(request: Spec, gone: Sequence[Row], left: Sequence[Row]) -> dict[str, Any]:
    """One description without what is gone; empty where nothing of it is left, itself where no sound study would be."""

    def stays(name: str, value: Any, of: Callable[[Row], bool] = lambda row: True) -> bool:
        having = [rows for rows in (gone, left) if any(row.get(name) == value and of(row) for row in rows)]
        return having != [gone]

    study, space = study_of(request), dict[str, Domain]()
    for name, domain in study.space.items():
        searched = partial(is_searched, name, spec=request)
        values = tuple(v for v in domain.values if stays(name, v, searched)) if isinstance(domain, Choice) else ()
        # A conditional axis that empties goes with its parents' values, if these go.
        space[name] = Choice(values) if values else domain
        if isinstance(domain, Choice) and not values and name not in study.conditions:
            return {}
    if not all(stays(name, value) for name, value in study.fixed.items()):
        return {}
    kept, conditions = restricted(study.space, space, study.conditions, study.fixed)
    less = replace(study, space=kept, conditions=conditions, seeds=_seeds(study, study.seeds, stays))
    fresh = _seeds(study, study.confirm_seeds, stays)
    less = replace(less, confirm_seeds=fresh, confirm=study.confirm if fresh else 0)
    if not all(stays(name, value) for name, value in study.baseline.items()):
        less = replace(less, baseline={})
    if not less.seeds:
        return {}
    if study_problems(less):
        return dict(request)
    apart = {name: value for name, value in request.items() if name in APART}
    return {**apart, **request_of(json.loads(json.dumps(spec(less, 0))))}


def _seeds(study: Study, seeds: Iterable[int], stays: Callable[[str, Any], bool]) -> tuple[int, ...]:
    """Those that stay; of restarts, groups of which any does."""
    groups = Restarts(tuple(seeds), study.restarts, study.choose_by).groups
    return tuple(seed for group in groups if any(stays("seed", seed) for seed in group) for seed in group)
