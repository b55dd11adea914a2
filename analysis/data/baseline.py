"""A study's baseline: its configuration, and the fields by which it lies beside every point of the space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from analysis.data.study_json import part_of
from vmi.spec.config import FIELD_TYPES, FIELDS, TrialConfig
from vmi.spec.datasets import find
from vmi.spec.errors import InputError
from vmi.spec.requests import is_searched
from vmi.spec.resolving import AUTOMATIC, resolve
from vmi.spec.trial import Row

# What tells the trials of a setting, and those of equal numbers, apart.
_BESIDE = ("seed", "preset")


class Baseline(NamedTuple):
    """`config` has every field; where this program cannot resolve them, those alone that the study gives.

    `own` are the fields that the point of the space with the baseline's searched values has otherwise.
    """

    config: Mapping[str, Any]
    own: frozenset[str]

    def has(self, row: Row) -> bool:
        """Whether the row is a trial of the baseline; a field that is newer than the row tells nothing."""
        told = ((name, value) for name, value in self.config.items() if name not in _BESIDE and value != AUTOMATIC)
        return all(row.get(n) == v or (n in FIELD_TYPES and row.get(n) is None) for n, v in told)


def baseline_of(spec: Mapping[str, Any]) -> Baseline | None:
    """The baseline that a study.json names, if any."""
    given, fixed = part_of(spec, "baseline"), part_of(spec, "fixed")
    if not given:
        return None
    told = {**fixed, **given}
    whole = _resolved(told) or told
    searched = [name for name in part_of(spec, "space") if name in whole and is_searched(name, whole, spec)]
    point = _resolved({**fixed, **{name: whole[name] for name in searched}})
    beyond: Iterable[str] = (name for name, value in given.items() if name not in searched and fixed.get(name) != value)
    if point is not None and whole is not told:
        beyond = (name for name in FIELD_TYPES if whole[name] != point[name])
    own = _leading(frozenset(beyond) - set(_BESIDE), whole)
    return Baseline(whole if _is_known(told) else told, own)


def _resolved(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The whole configuration, of images that nobody has made known as of any others; None where it is none."""
    try:
        return vars(resolve(given if _is_known(given) else {n: v for n, v in given.items() if n != "dataset"}))
    except InputError:
        return None


def _is_known(given: Mapping[str, Any]) -> bool:
    return find(given.get("dataset", TrialConfig.dataset)) is not None


def _leading(own: frozenset[str], config: Mapping[str, Any]) -> frozenset[str]:
    """Without fields that only follow another one of them."""
    return frozenset(n for n in own if not (_follows(n) in own and config.get(n) == config.get(_follows(n))))


def _follows(name: str) -> str:
    return FIELDS[name].follows or "" if name in FIELDS else ""
