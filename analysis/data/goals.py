"""What a study wanted beyond one metric, read from its study.json, and which settings met it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.data.study_json import fresh_seeds, part_of, restarts_of
from vmi.spec.goals import DIRECTIONS, Bound, front

if TYPE_CHECKING:
    from analysis.data.settings import Setting


@dataclass(frozen=True, kw_only=True)
class Goals:
    """Directions by objective (none: a single one), bounds by metric, how many leaders are trained again."""

    objectives: Mapping[str, str]
    constraints: Mapping[str, Bound]
    confirm: int

    def feasible(self, setting: Setting) -> bool:
        """The setting's means keep every bound; one without a value keeps none."""
        means = {metric: setting.mean(metric) for metric in self.constraints}
        return all((m := means[name]) is not None and b.excess(m) <= 0 for name, b in self.constraints.items())

    def front(self, found: Sequence[Setting]) -> tuple[Setting, ...]:
        """Feasible settings that no other one of their data set beats in the means of all objectives.

        None without objectives.
        """
        judged = [(s, [m for name in self.objectives if (m := s.mean(name)) is not None]) for s in found]
        able = [(s, means) for s, means in judged if len(means) == len(self.objectives) > 0 and self.feasible(s)]
        kept: list[Setting] = []
        for dataset in dict.fromkeys(s.get("dataset") for s, _ in able):
            own = [(s, means) for s, means in able if s.get("dataset") == dataset]
            kept += [own[i][0] for i in front([means for _, means in own], list(self.objectives.values()))]
        return tuple(kept)


def goals_of(spec: Mapping[str, Any]) -> Goals:
    """The goals that a study.json names; what is malformed in it is passed over."""
    objectives = {str(name): d for name, d in part_of(spec, "objectives").items() if d in DIRECTIONS}
    bounds = {str(name): _bound(b) for name, b in part_of(spec, "constraints").items() if isinstance(b, Mapping)}
    confirm = spec.get("confirm")
    return Goals(
        objectives=objectives if len(objectives) > 1 else {},
        constraints={name: bound for name, bound in bounds.items() if bound != Bound()},
        confirm=confirm if isinstance(confirm, int) and fresh_seeds(spec) else 0,
    )


def rivals(found: Sequence[Setting]) -> str:
    """Whom a setting is compared with: no metric compares settings across data sets."""
    return "no other of its data set" if len({s.get("dataset") for s in found}) > 1 else "no other"


def restarts_said(spec: Mapping[str, Any]) -> str:
    """With restarts, what a replicate is; empty without."""
    restarts = restarts_of(spec)
    if restarts.size == 1:
        return ""
    return (
        f"Replicates are groups of {restarts.size} seeds, of each of which the trial best by {restarts.choose_by}, "
        "without labels, counts alone: where means, intervals and pairs are over seeds, they are over these groups."
    )


def phrases(spec: Mapping[str, Any], goals: Goals) -> Iterator[str]:
    """What was wanted, as sentences for the head of a page."""
    if said := restarts_said(spec):
        yield said
    if goals.objectives:
        aims = ", ".join(f"{direction} {name}" for name, direction in goals.objectives.items())
        yield f"Objectives: {aims}."
    if goals.constraints:
        yield f"Constraints: {', '.join(f'{name} {bound}' for name, bound in goals.constraints.items())}."


def _bound(given: Mapping[str, Any]) -> Bound:
    low, high = (side if isinstance(side := given.get(name), int | float) else None for name in ("low", "high"))
    return Bound(low, high)
