"""The searcher of a study."""

from __future__ import annotations

from vmi.search.grid import GridSearcher
from vmi.search.searcher import Searcher
from vmi.study.study import Study


def searcher_for(study: Study, seed: int) -> Searcher:
    """The searcher that a valid study names; the grid needs no seed."""
    if study.searcher == "grid":
        return GridSearcher(study)
    from vmi.search.optuna_searcher import OptunaSearcher  # only a sampler needs Optuna

    return OptunaSearcher(study, seed)
