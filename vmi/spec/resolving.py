"""From fields that are given to a whole configuration: types, defaults of presets and data sets, contradictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmi.spec import rules
from vmi.spec.config import FIELD_TYPES, FIELDS, TrialConfig
from vmi.spec.datasets import find
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.spec.presets import NETWORK_DEFAULTS, PRESETS, Preset

_KINDS = {str: "a string", int: "a whole number", float: "a number"}

# In place of the likelihood's variance: that which follows from the data set's pixels.
AUTOMATIC = "auto"


def resolve(given: Mapping[str, Any], where: str = "") -> TrialConfig:
    """A full, validated configuration from the fields given. Raises InputError with every bad field."""
    spec = find(given.get("dataset", TrialConfig.dataset))
    if _is_automatic("likelihood_variance", given.get("likelihood_variance")) and spec:
        given = {**given, "likelihood_variance": spec.auto_variance}
    problems = [
        Problem(name, given[name], "no such field", did_you_mean(name, FIELD_TYPES) or one_of(list(FIELD_TYPES)))
        for name in given
        if name not in FIELD_TYPES
    ]
    typed: dict[str, Any] = {}
    for name in (n for n in given if n in FIELD_TYPES):
        value, problem = coerce(name, given[name])
        typed[name] = value
        problems += [problem] if problem else []
    problems += _contradictions(typed)
    if problems:
        raise InputError([*problems, *rules.problems(FIELDS, typed, complete=False)], where)
    config = TrialConfig(**_with_defaults(typed))
    problems += rules.problems(FIELDS, vars(config), complete=True)
    if problems:
        raise InputError(problems, where)
    return config


def coerce(name: str, value: Any) -> tuple[Any, Problem | None]:
    """The value in the field's type: 4 becomes 4.0 for a float field; nothing else is converted."""
    if _is_automatic(name, value):
        return value, None
    wanted = FIELD_TYPES[name]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None, Problem(name, value, _kind(name))
    if wanted is float and isinstance(value, int):
        return (float(value), None) if abs(value) < 2**53 else (None, Problem(name, value, str(FIELDS[name].range)))
    if not isinstance(value, wanted):
        return None, Problem(name, value, _kind(name))
    # -0.0 and 0.0 are one configuration and must have one hash.
    return (float(value) + 0.0 if wanted is float else value), None


def _kind(name: str) -> str:
    """What a value of the field has to be: "a whole number from 1 to 1e+09"."""
    kind = _KINDS[FIELD_TYPES[name]]
    return f"{kind} {FIELDS[name].range}" if FIELDS[name].range else kind


def _is_automatic(name: str, value: object) -> bool:
    return name == "likelihood_variance" and value == AUTOMATIC


def field_problems(name: str, value: Any) -> list[Problem]:
    """What is wrong with this value of the TrialConfig field `name`, whatever the other fields are."""
    typed, problem = coerce(name, value)
    if problem or _is_automatic(name, value):
        return [problem] if problem else []
    return list(rules.problems(FIELDS, {name: typed}, complete=False))


def _with_defaults(typed: Mapping[str, Any]) -> dict[str, Any]:
    """The fields given over the preset's, the network's and the data set's defaults."""
    spec = find(typed.get("dataset", TrialConfig.dataset))
    defaults = spec.defaults if spec else {}
    preset = PRESETS.get(typed.get("preset", "custom"), Preset({}))
    network = typed.get("network", preset.sets.get("network"))
    merged = {**defaults, **NETWORK_DEFAULTS.get(str(network), {}), **preset.suggests, **preset.sets, **typed}
    return merged | {
        name: merged.get(name, merged.get(field.follows, getattr(TrialConfig, field.follows)))
        for name, field in FIELDS.items()
        if field.follows
    }


def _contradictions(typed: Mapping[str, Any]) -> Iterator[Problem]:
    preset = typed.get("preset")
    for name, value in PRESETS.get(str(preset), Preset({})).sets.items():
        if typed.get(name, value) != value:
            yield Problem(name, typed[name], f"preset {preset!r} sets it to {value}", "drop one of the two")
