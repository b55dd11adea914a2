"""The grid: every point of the space once, the baseline first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmi.search.searcher import Finished, baseline_of, stored_suggestion, suggestion_of
from vmi.spec.trial import Outcome, Suggestion
from vmi.study import conditions as dependence
from vmi.study import space as domains
from vmi.study.study import Study


class GridSearcher:
    """Every combination of active fields once: the baseline first, then the domains' product, the last fastest."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._known: set[str] = set()
        self._points = self._enumerate()
        self._next = next(self._points, None)

    def ask(self, count: int) -> list[Suggestion]:
        asked: list[Suggestion] = []
        while self._next is not None and len(asked) < count:
            asked.append(self._next)
            self._next = next(self._points, None)
        return asked

    def tell(self, suggestion_id: str, outcomes: Sequence[Outcome]) -> None:
        """A grid does not learn."""

    def replay(self, finished: Finished, unfinished: Sequence[Mapping[str, Any]] = ()) -> None:
        """Finished points are left out; unfinished ones come in their turn."""
        self._known = {stored_suggestion(self._study, row).suggestion_id for row, _ in finished}
        self._points = self._enumerate()
        self._next = next(self._points, None)

    @property
    def done(self) -> bool:
        return self._next is None

    def _enumerate(self) -> Iterator[Suggestion]:
        """Points of one configuration are one suggestion: two presets may name the same numbers."""
        seen = set(self._known)
        for suggestion in self._all():
            if suggestion.suggestion_id not in seen:
                seen.add(suggestion.suggestion_id)
                yield suggestion

    def _all(self) -> Iterator[Suggestion]:
        baseline = baseline_of(self._study)
        if baseline:
            yield baseline
        space = domains.canonical_space(self._study.space)
        axes = {name: tuple(domains.values(domain)) for name, domain in space.items()}
        for point in dependence.points(axes, self._study.conditions):
            yield suggestion_of(self._study, point)
