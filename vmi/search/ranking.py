"""Which suggestion leads: the search's own means, the front of several objectives, and what was confirmed.

The search's figure of its leader is the largest of many noisy means, and so too good on average. Where a study has
`confirm`, the leaders are trained again on seeds that the search has not seen, and only what they reach there is
called best.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from vmi.search.score import Score, deciding, directions, replicates, score
from vmi.spec.goals import front
from vmi.spec.intervals import Interval, interval
from vmi.spec.trial import Completed, Outcome, Pruned, Stopped, Suggestion
from vmi.study.study import Study


class Best(NamedTuple):
    """A suggestion's searched values, and the headline metric over its replicates; with restarts over all trials."""

    params: Mapping[str, Any]
    value: Interval
    all_trials: Interval | None = None
    suggestion_id: str = ""


class Standing(NamedTuple):
    """A suggestion that can be compared: its score, and by metric the interval over the replicates behind it.

    `all_trials` has the headline metric over every completed trial where the replicates are chosen among restarts.
    """

    suggestion: Suggestion
    score: Score
    intervals: Mapping[str, Interval]
    all_trials: Interval | None = None


class Confirmed(NamedTuple):
    """A suggestion of the search on fresh seeds; `fresh` is None where no seed gave a value."""

    searched: Standing
    fresh: Standing | None


class Ranking:
    """The finished suggestions of a valid study, as they come in."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.confirmed: list[Confirmed] = []
        self.broken = self.pruned = self.stopped = 0
        self._standings: dict[str, Standing] = {}
        self._leader: Standing | None = None

    @property
    def leader(self) -> Best | None:
        """What is best by the search's own seeds; a suggestion that breaks a constraint never is."""
        return self._headline(self._leader)

    @property
    def best(self) -> Best | None:
        """The best of what was confirmed, by fresh seeds alone; the leader where a study confirms nothing."""
        if not self.study.confirm:
            return self.leader
        fresh = [c.fresh for c in self.confirmed if c.fresh and c.fresh.score.feasible]
        return self._headline(min(fresh, key=self._order, default=None))

    def note(self, suggestion: Suggestion, ended: Mapping[int, Outcome]) -> None:
        """A suggestion of the search is finished: how the trial of each seed ended."""
        kinds = {type(outcome) for outcome in replicates(self.study, ended)}
        self.pruned, self.stopped = self.pruned + (Pruned in kinds), self.stopped + (Stopped in kinds)
        standing = self._standing(suggestion, ended)
        if standing is None:
            return
        self._standings[suggestion.suggestion_id] = standing
        self.broken += not standing.score.feasible
        if standing.score.feasible and (self._leader is None or self._order(standing) < self._order(self._leader)):
            self._leader = standing

    def note_confirmed(self, suggestion: Suggestion, ended: Mapping[int, Outcome]) -> None:
        """A suggestion of the confirmation is finished: how the trial of each fresh seed ended."""
        searched = self._standings[suggestion.suggestion_id]
        self.confirmed.append(Confirmed(searched, self._standing(suggestion, ended)))

    def front(self) -> list[Standing]:
        """The feasible suggestions that no other one beats in the means of all objectives, best by the headline first.

        Of a single objective: the leader and what equals it.
        """
        feasible = [s for s in self._standings.values() if s.score.feasible]
        wanted = directions(self.study)
        indexes = front([[s.score.means[m] for m in wanted] for s in feasible], list(wanted.values()))
        return sorted((feasible[i] for i in indexes), key=self._order)

    def candidates(self) -> list[Suggestion]:
        """What is to be confirmed: the best by the headline metric, of the front where there are objectives."""
        several = len(self.study.objectives) > 1
        feasible = (s for s in self._standings.values() if s.score.feasible)
        ranked = self.front() if several else sorted(feasible, key=self._order)
        return [standing.suggestion for standing in ranked[: self.study.confirm]]

    def _standing(self, suggestion: Suggestion, ended: Mapping[int, Outcome]) -> Standing | None:
        outcomes = replicates(self.study, ended)
        found = score(self.study, outcomes)
        if found is None:
            return None
        made = {metric: _interval(outcomes, metric) for metric in deciding(self.study)}
        by_seed = (outcome for _, outcome in sorted(ended.items(), key=lambda item: item[0]))
        every = _interval(by_seed, self.study.metric) if self.study.restarts > 1 else None
        return Standing(suggestion, found, {metric: i for metric, i in made.items() if i is not None}, every)

    def _rank(self, standing: Standing) -> float:
        mean = standing.score.means[self.study.metric]
        return mean if self.study.direction == "maximize" else -mean

    def _order(self, standing: Standing) -> tuple[float, str]:
        """The best first; equal ones by their id, so that a resumed study confirms, and names, the same."""
        return -self._rank(standing), standing.suggestion.suggestion_id

    def _headline(self, standing: Standing | None) -> Best | None:
        if standing is None:
            return None
        suggestion, value = standing.suggestion, standing.intervals[self.study.metric]
        return Best(suggestion.params, value, standing.all_trials, suggestion.suggestion_id)


def _interval(outcomes: Iterable[Outcome], metric: str) -> Interval | None:
    return interval(o.metrics[metric] for o in outcomes if isinstance(o, Completed) and metric in o.metrics)
