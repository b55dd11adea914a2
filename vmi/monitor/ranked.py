"""A study's rows ranked as its driver ranks them, from the store alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmi.monitor.under_way import baseline, point_of
from vmi.search.ranking import Ranking
from vmi.spec.trial import Outcome, Row, outcome_of
from vmi.study.study import Study


def ranking(study: Study, rows: Sequence[Row]) -> Ranking:
    """The search, then what was confirmed."""
    found, reference = Ranking(study), baseline(study)
    for chosen in _whole(rows, set(study.seeds)):
        found.note(point_of(study, chosen[0], reference), _by_seed(chosen))
    known = {s.suggestion_id for s in found.candidates()} if study.confirm else set()
    for chosen in _whole(rows, set(study.confirm_seeds)) if known else ():
        if chosen[0]["suggestion_id"] in known:
            found.note_confirmed(point_of(study, chosen[0], reference), _by_seed(chosen))
    return found


def _whole(rows: Sequence[Row], seeds: set[int]) -> Iterator[list[Row]]:
    """The rows on these seeds of every suggestion that has them all."""
    groups: dict[str, list[Row]] = {}
    for row in (row for row in rows if row["seed"] in seeds):
        groups.setdefault(row["suggestion_id"], []).append(row)
    yield from (group for group in groups.values() if {row["seed"] for row in group} == seeds)


def _by_seed(rows: Sequence[Row]) -> dict[int, Outcome]:
    return {row["seed"]: outcome_of(row) for row in rows}
