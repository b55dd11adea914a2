"""A study is data: which trials, how they are searched and compared. Construction never raises."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from pathlib import Path
from types import CodeType
from typing import Any

from vmi.spec.config import coerce, resolve
from vmi.spec.errors import InputError, Problem
from vmi.spec.goals import Bound
from vmi.spec.trial import Suggestion, Trial
from vmi.study import conditions as dependence
from vmi.study import seeds as replicates
from vmi.study import space as domains
from vmi.study.checks import study_problems
from vmi.study.space import Domain
from vmi.study.values import plain

STUDY_VERSION = 1
# Parts of a spec that are compared entry by entry.
NESTED = ("fixed", "space", "baseline", "objectives", "constraints", "conditions")


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is asked for.

    fixed        TrialConfig fields that every trial shares; those not named take the data set's defaults
    space        a domain of `vmi.study.space` per searched field
    seeds        the replicates of every suggestion
    metric       what suggestions are compared by, the mean over seeds (a name of `vmi.spec.metrics.METRICS`)
    objectives   two or more metrics with their directions: the search is for the front that no suggestion beats, and
                 `metric`, one of them, is what those of the front are ranked by
    constraints  bounds that the means of metrics must keep; a suggestion that breaks one is never best
    conditions   fields of the space that are searched only where another one takes certain values, such as
                 {"mi_weight_normal": {"layout": ("n2*+n14",)}}; elsewhere they are left at their default
    searcher     "grid" takes every combination; "tpe" and "random" propose `suggestions` points
    pruner       one of Optuna's ("median", "successive_halving", "hyperband"), which stops unpromising members early
    confirm      how many of the best are trained again, on `confirm_seeds`: only what they reach there is called best
    baseline     fields of one more suggestion beside the searched ones, over `fixed`, on the same seeds
    scales       named sets of fields over `fixed` ("laptop", "full"); the first is what runs unless --scale says else
    unknown      arguments that Study does not have, kept for `validate` to refuse
    """

    name: str
    space: Mapping[str, Domain]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    seeds: Iterable[int] = range(5)
    metric: str = "accuracy_majority"
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
            object.__setattr__(self, part.name, held)


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


def validate(study: Study) -> None:
    """Raises one InputError with everything that is wrong with the study."""
    problems = study_problems(study)
    if problems:
        raise InputError(problems, f"study {study.name!r}" if isinstance(study.name, str) else "study")


def trials(study: Study, suggestion: Suggestion, seeds: Iterable[int] | None = None) -> tuple[Trial, ...]:
    """The replicates of one suggestion: one trial per seed, of the search where no others are given."""
    config = resolve({**study.fixed, **suggestion.params})
    suggestion_id = config.suggestion_id
    configs = (replace(config, seed=seed) for seed in (study.seeds if seeds is None else seeds))
    return tuple(Trial(c.trial_id, suggestion_id, c) for c in configs)


def spec(study: Study, planned: int) -> dict[str, Any]:
    """What `study.json` holds of a valid study: JSON values only, numbers in the type of their field."""
    space = domains.canonical_space(study.space)
    return {
        "vmi_study_version": STUDY_VERSION,
        "name": study.name,
        "fixed": _typed(study.fixed),
        "space": {name: domain.spec() for name, domain in space.items()},
        "seeds": list(study.seeds),
        "metric": study.metric,
        "direction": study.direction,
        "searcher": study.searcher,
        "suggestions": study.suggestions,
        "baseline": _typed(study.baseline),
        **_goals(study),
        "planned": planned,
    }


def _goals(study: Study) -> dict[str, Any]:
    """What goes beyond one metric; absent where it is not asked for, so that studies of before are the same."""
    given = {
        "objectives": dict(study.objectives),
        "constraints": {name: bound.spec() for name, bound in study.constraints.items()},
        "conditions": dependence.canonical(study.conditions),
        "pruner": study.pruner,
        "confirm": study.confirm,
        "confirm_seeds": list(study.confirm_seeds),
    }
    return {name: value for name, value in given.items() if value}


def differences(old_spec: Mapping[str, Any], new_spec: Mapping[str, Any]) -> list[Problem]:
    """Where two specs ask for different things, field by field; `planned` follows from the rest."""
    old, new = _flat(old_spec), _flat(new_spec)
    return [
        Problem(
            name,
            new.get(name, "absent"),
            f"the stored study has {_json(old[name]) if name in old else 'none'}",
        )
        for name in {**old, **new}
        if name != "planned" and (name in old, old.get(name)) != (name in new, new.get(name))
    ]


def load(path: str | Path) -> Study:
    """The `study` that a Python file declares; by path, since no one can import a module called lambda.

    Raises InputError when there is no such file, or it is not Python, raises, or does not declare one study.
    """
    where = Path(path)
    if not where.is_file():
        found = "a folder" if where.is_dir() else "no such file"
        raise _bad_file(where, f"a Python file that declares `study`; this is {found}")
    namespace = _run(where)
    studies = {name: value for name, value in namespace.items() if isinstance(value, Study)}
    if len({id(value) for value in studies.values()}) > 1:
        raise _bad_file(where, f"one study; it declares {', '.join(studies)}")
    study = namespace.get("study")
    if not isinstance(study, Study):
        got = f"`study` is a {type(study).__name__}" if "study" in namespace else "it declares no `study`"
        hint = f"rename {next(iter(studies))!r} to study" if studies else ""
        raise _bad_file(where, f"study = Study(...) at its top level; {got}", hint)
    return study


def _bad_file(path: Path, allowed: str, hint: str = "") -> InputError:
    return InputError([Problem("study file", str(path), allowed, hint)])


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: coerce(name, value)[0] for name, value in values.items()}


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in spec.items():
        nested = name in NESTED and isinstance(value, Mapping)
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if nested else {name: value}
    return flat


def _json(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _run(path: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "vmi_study_file", "__file__": str(path)}
    try:
        exec(_compiled(path), namespace)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        at = f" at line {lines[-1]}" if lines else ""
        raise _bad_file(path, f"a file that runs; it raises {type(error).__name__}{at}: {error}") from error
    return namespace


def _compiled(path: Path) -> CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec")
    except SyntaxError as error:
        said = f"Python; line {error.lineno}: {error.msg}"
    except (ValueError, OSError) as error:  # a null byte; a file that may not be read
        said = f"Python; {error}"
    raise _bad_file(path, said)
