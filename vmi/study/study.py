"""A study is data: which trials, how they are searched and compared. Construction never raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from typing import Any

from vmi.spec.config import TrialConfig
from vmi.spec.datasets import find
from vmi.spec.errors import InputError
from vmi.spec.goals import Bound
from vmi.spec.layout import parse
from vmi.spec.metrics import default_metric
from vmi.spec.resolving import resolve
from vmi.spec.trial import Suggestion, Trial
from vmi.study import seeds as replicates
from vmi.study.space import Choice, Domain
from vmi.study.values import plain


class Unasked(str):
    """A metric that nobody gave: it follows data set and layout, also where a command line changes these."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study: which trials are trained, how they are searched, and what they are compared by.

    Attributes:
        name: the study's folder under the results
        space: a domain (`choice`, `uniform`, `log_uniform`, `integers`) for each searched field
        fixed: fields that every trial shares; fields not named take the data set's defaults
        seeds: the replicates of every suggestion
        restarts: how many seeds, in their order, form one replicate: the trial best by `choose_by` counts for them
        choose_by: the metric by which it is chosen, one that looks at no label
        metric: what suggestions are compared by, as the mean over seeds; if it is not given the accuracy, of images
            without labels `mi_encoder_nats`, or what each of the layouts can give of `mi_encoder_lower_nats` and
            `elbo_nats`
        direction: `"maximize"` or `"minimize"`, of the metric
        objectives: two or more metrics with their directions: the study searches for the front that no suggestion
            beats, and ranks it by `metric`, which is one of them
        constraints: bounds (`at_least`, `at_most`) on means of metrics; a suggestion that breaks one is never best
        conditions: fields of the space that are searched only where another field takes certain values, such as
            `{"mi_weight_normal": {"layout": ("n2*+n14",)}}`; elsewhere they keep their default
        searcher: `"grid"` takes every combination; `"tpe"` and `"random"` propose `suggestions` points
        suggestions: how many points a searcher other than the grid proposes
        pruner: `"median"`, `"successive_halving"` or `"hyperband"` of Optuna, which stops unpromising trials early
        confirm: how many of the best are trained again on `confirm_seeds`: only what they reach there is called best
        confirm_seeds: seeds that the search did not use
        baseline: fields of one more suggestion beside the searched ones, over `fixed`, on the same seeds
        scales: named sets of fields over `fixed` (`"laptop"`, `"full"`); the first runs unless `--scale` names another
        unknown: arguments that `Study` does not have, kept so that a run refuses them by name
    """

    name: str
    space: Mapping[str, Domain]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    seeds: Iterable[int] = range(5)
    restarts: int = 1
    choose_by: str = "mi_view_nats"
    metric: str = Unasked("accuracy_majority")
    direction: str = "maximize"
    objectives: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, Bound] = field(default_factory=dict)
    conditions: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    searcher: str = "grid"
    suggestions: int | None = None
    pruner: str | None = None
    confirm: int = 0
    confirm_seeds: Iterable[int] = ()
    baseline: Mapping[str, Any] = field(default_factory=dict)
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unknown: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for part in fields(self):
            given = getattr(self, part.name)
            held = replicates.held(given) if part.name in ("seeds", "confirm_seeds") else plain(given)
            object.__setattr__(self, part.name, given if type(given) is Unasked else held)
        if type(self.metric) is Unasked:
            object.__setattr__(self, "metric", Unasked(_default_metric(self)))


def _held(made: Callable[..., None]) -> Callable[..., None]:
    """The constructor that raises on nothing: a file run with `python` would end in Python's own traceback."""

    @wraps(made)
    def init(self: Study, *positional: Any, **given: Any) -> None:
        known = {f.name for f in fields(Study)}
        unknown = {name: value for name, value in given.items() if name not in known}
        unknown |= {f"argument {place}": value for place, value in enumerate(positional, 1)}
        absent = dict.fromkeys({"name", "space"} - given.keys())
        named = {name: value for name, value in given.items() if name in known}
        made(self, **absent, **{"unknown": unknown, **named})

    return init


setattr(Study, "__init__", _held(Study.__init__))  # noqa: B010 - what type checkers see stays the dataclass's own


def _default_metric(study: Study) -> str:
    """For what of the study is right: anything may be wrong with it."""
    specs = [spec for name in _values(study, "dataset") if (spec := find(name))]
    layouts = []
    for text in _values(study, "layout"):
        with suppress(InputError):
            layouts.append(parse(text))
    return default_metric(layouts, all(spec.is_labelled for spec in specs))


def _values(study: Study, name: str) -> tuple[Any, ...]:
    """What a field takes in the study, right or wrong."""
    space, fixed, baseline = (m if isinstance(m, Mapping) else {} for m in (study.space, study.fixed, study.baseline))
    domain = space.get(name)
    searched = domain.values if isinstance(domain, Choice) else (fixed.get(name, getattr(TrialConfig, name)),)
    return (*searched, baseline[name]) if name in baseline else tuple(searched)


def trials(study: Study, suggestion: Suggestion, seeds: Iterable[int] | None = None) -> tuple[Trial, ...]:
    """The replicates of one suggestion: one trial per seed, of the search where no others are given."""
    config = resolve({**study.fixed, **suggestion.params})
    suggestion_id = config.suggestion_id
    configs = (replace(config, seed=seed) for seed in (study.seeds if seeds is None else seeds))
    return tuple(Trial(c.trial_id, suggestion_id, c) for c in configs)
