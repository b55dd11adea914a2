"""What study.json says of a study: its seeds, restarts and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmi.spec.restarts import Restarts


def fresh_seeds(spec: Mapping[str, Any]) -> frozenset[int]:
    """The seeds of the confirmation, on which no setting was selected."""
    seeds = spec.get("confirm_seeds")
    return frozenset(s for s in seeds if isinstance(s, int)) if isinstance(seeds, list) else frozenset()


def search_seeds(spec: Mapping[str, Any]) -> frozenset[int]:
    """The seeds by which settings are ranked."""
    return frozenset(spec.get("seeds") or ()) - fresh_seeds(spec)


def restarts_of(spec: Mapping[str, Any]) -> Restarts:
    """How trials become replicates: every seed is one where the study says nothing of restarts."""
    seeds = [seed for name in ("seeds", "confirm_seeds") for seed in spec.get(name) or ()]
    return Restarts(tuple(seeds), spec.get("restarts", 1), str(spec.get("choose_by", "")))


def conditional(spec: Mapping[str, Any]) -> frozenset[str]:
    """The parameters that are searched only where another one takes certain values."""
    return frozenset(part_of(spec, "conditions"))


def part_of(spec: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """A part of a JSON file that is itself a mapping; empty where it is not."""
    given = spec.get(part)
    return given if isinstance(given, Mapping) else {}
