"""Searching is asking and telling: the protocol that every searcher keeps, and what a suggestion is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from vmi.spec.config import FIELD_TYPES, TrialConfig
from vmi.spec.resolving import resolve
from vmi.spec.trial import Outcome, Suggestion
from vmi.study import conditions
from vmi.study.study import Study

Finished = Sequence[tuple[Mapping[str, Any], Sequence[Outcome]]]


class Searcher(Protocol):
    """Proposes points of a valid study's space; knows suggestions by their id, never twice the same one."""

    def ask(self, count: int) -> list[Suggestion]:
        """Up to `count` new suggestions; fewer when it must wait or is done. The baseline is the first."""

    def tell(self, suggestion_id: str, outcomes: Sequence[Outcome]) -> None:
        """How a suggestion ended: all its seeds at once."""

    def replay(self, finished: Finished, unfinished: Sequence[Mapping[str, Any]] = ()) -> None:
        """Before the first ask: what the store holds of this study, as (params, how each seed ended).

        Finished suggestions are not handed out again; unfinished ones (some of their seeds are missing) are, before
        anything new. `params` may be a row of `trials`.
        """

    @property
    def done(self) -> bool:
        """Nothing more will be handed out."""


def configured(study: Study, params: Mapping[str, Any]) -> TrialConfig:
    """The configuration of a point of the study, without a seed of its own."""
    return resolve({**study.fixed, **params})


def suggestion_of(study: Study, params: Mapping[str, Any]) -> Suggestion:
    """The point as a suggestion, its values in the type of their fields."""
    config = configured(study, params)
    return Suggestion(config.suggestion_id, {name: getattr(config, name) for name in params})


def baseline_of(study: Study) -> Suggestion | None:
    """The reference suggestion that the study declares, if it does."""
    return suggestion_of(study, study.baseline) if study.baseline else None


def stored_suggestion(study: Study, row: Mapping[str, Any]) -> Suggestion:
    """The point that a stored row stands for: the searched fields alone, or the whole configuration."""
    given = {name: row[name] for name in FIELD_TYPES if name in row and name != "seed"}
    config = configured(study, given)
    params = conditions.active(study.space, study.conditions, vars(config))
    return Suggestion(config.suggestion_id, params)
