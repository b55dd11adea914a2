"""Which settings no other one beats, and which can never be best, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.data import labels
from analysis.data.axes import Design
from analysis.data.goals import Goals, rivals
from analysis.data.settings import Setting
from analysis.data.study_results import StudyResults
from vmi.spec.trial import CUT_SHORT

MAX_LISTED = 4


def sentences(results: StudyResults, plan: Design, goals: Goals, able: Sequence[Setting]) -> Iterator[str]:
    """The front of several objectives; then what broke a constraint (`able` did not), was pruned or was stopped."""
    yield from _front(plan, goals)
    yield from _left_out(results, plan, goals, able)


def _front(plan: Design, goals: Goals) -> Iterator[str]:
    if goals.objectives and (kept := goals.front(plan.whole)):
        aims = labels.listed([f"{labels.metric(m).short} ({d})" for m, d in goals.objectives.items()])
        shown = [labels.setting(s) for s in kept[:MAX_LISTED]]
        more = f" and {len(kept) - len(shown)} more" if len(kept) > len(shown) else ""
        many = labels.plural(len(plan.whole), "setting")
        yield f"Beaten by {rivals(plan.whole)} in {aims}: {len(kept)} of {many}: {'; '.join(shown)}{more}."


def _left_out(results: StudyResults, plan: Design, goals: Goals, able: Sequence[Setting]) -> Iterator[str]:
    """What can never be best: broken constraints, and suggestions of which a seed was pruned or stopped."""
    if len(able) < len(plan.whole):
        bounds = labels.listed([f"{labels.metric(m).short} {b}" for m, b in goals.constraints.items()])
        yield f"{len(plan.whole) - len(able)} of {labels.plural(len(plan.whole), 'setting')} broke: {bounds}."
    for outcome in CUT_SHORT:
        if count := sum(outcome in outcomes for outcomes in results.cut_short.values()):
            some = labels.plural(count, "suggestion")
            yield f"{some} {outcome} on some seed, and so not among the settings: the other seeds would flatter them."
