"""Which suggestion leads does not depend on the order in which suggestions finish."""

from __future__ import annotations

import itertools

import pytest

from vmi.search.ranking import Ranking
from vmi.spec.trial import Completed, Suggestion
from vmi.study.space import choice
from vmi.study.study import Study

MADE = Study(name="s", space={"mi_weight": choice(0, 1, 4)}, seeds=range(1))
EQUAL = [Suggestion(f"id{weight}", {"mi_weight": float(weight)}) for weight in (4, 0, 1)]


@pytest.mark.parametrize("order", list(itertools.permutations(EQUAL)), ids=lambda order: "".join(s[0] for s in order))
def test_of_equal_suggestions_the_same_one_leads_in_whatever_order_they_finish(order: tuple[Suggestion, ...]) -> None:
    ranking = Ranking(MADE)
    for suggestion in order:
        ranking.note(suggestion, {0: Completed(1, {"accuracy_majority": 0.5}, {})})
    assert ranking.best is not None and ranking.best.params == {"mi_weight": 0.0}
