"""The leaders of a search on fresh seeds: the only figures that are not flattered by having been selected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.goals import Goals, goals_of
from analysis.data.settings import Setting, setting_of
from analysis.data.study_results import StudyResults
from vmi.spec.trial import Row


class Confirmed(NamedTuple):
    """A setting on the seeds that it was selected by, and on fresh ones."""

    searched: Setting
    fresh: Setting


def confirmed(results: StudyResults, plan: Design, score: str | None, maximize: bool) -> tuple[Confirmed, ...]:
    """What was trained again, best on fresh seeds first; what breaks a constraint there, or has no value, last.

    Without what has not ended on each fresh seed, or was stopped on one: the mean over the others would be too good.
    """
    able = results.whole_again - results.unconfirmed.keys()
    goals = goals_of(results.spec)
    by_id = {row["suggestion_id"]: setting for setting in plan.settings for row in setting.rows}
    groups: dict[str, list[Row]] = {}
    for row in (row for row in results.confirmed if row["suggestion_id"] in able):
        groups.setdefault(row["suggestion_id"], []).append(row)
    made = {i: setting_of(by_id[i].params, rows, results.spec) for i, rows in groups.items() if i in by_id}
    found = [Confirmed(by_id[i], fresh) for i, fresh in made.items() if fresh.rows]
    return tuple(sorted(found, key=lambda c: _order(c.fresh, goals, score, maximize)))


def best_of(found: tuple[Confirmed, ...], goals: Goals, score: str | None) -> Confirmed | None:
    """The best on fresh seeds that keeps every constraint there."""
    held = [c for c in found if score and c.fresh.mean(score) is not None and goals.feasible(c.fresh)]
    return held[0] if held else None


def sentences(results: StudyResults, found: tuple[Confirmed, ...], goals: Goals, score: str | None) -> Iterator[str]:
    """The confirmed best of each data set with the search's own figure beside it, or why there is none."""
    if not goals.confirm or score is None:
        return
    for dataset in dict.fromkeys(c.searched.get("dataset") for c in found):
        own = tuple(c for c in found if c.searched.get("dataset") == dataset)
        yield from _sentence(results, own, goals, score)
    if not found:
        yield from _sentence(results, found, goals, score)


def _sentence(results: StudyResults, found: tuple[Confirmed, ...], goals: Goals, score: str) -> Iterator[str]:
    best, name = best_of(found, goals, score), labels.metric(score)
    if best is None:
        yield f"Nothing is confirmed on fresh seeds: {why_none(results, found)}."
        return
    fresh, searched = best.fresh.interval(score), best.searched.interval(score)
    assert fresh is not None and searched is not None
    ends = labels.from_to(fresh, name.decimals, best.fresh.replicate)
    among = f"best of {len(found)} trained again" if len(found) > 1 else "trained again"
    yield (
        f"Confirmed on fresh seeds ({among}): {labels.setting(best.fresh)}, with {name.short} "
        f"{labels.number(fresh.mean, name.decimals)} ({ends}). The search had read "
        f"{labels.plus_minus(searched, name.decimals)} there (selected, optimistic)."
    )


def why_none(results: StudyResults, found: tuple[Confirmed, ...]) -> str:
    if found:
        return "what was trained again breaks a constraint there"
    if results.unconfirmed:
        return "what was trained again was stopped on one of them"
    return "nothing has ended on all of them yet" if results.confirmed else "nothing was trained again yet"


def _order(fresh: Setting, goals: Goals, score: str | None, maximize: bool) -> tuple[bool, bool, float]:
    mean = fresh.mean(score) if score else None
    return not goals.feasible(fresh), mean is None, (-mean if maximize else mean) if mean is not None else 0.0
