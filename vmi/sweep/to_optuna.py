"""Optuna behind ask and tell: the tree-structured Parzen estimator (TPE) and random search.

Optuna's study lives in memory and is rebuilt from the store by `replay`: nothing of it has to survive.

What a resumed search keeps: the i-th draw takes its random numbers from (seed, i) alone. Random search
therefore goes through one fixed sequence of points; a resumed search walks it from its start and leaves out
what is finished, in whatever order trials ended: the set of suggestions is that of an uninterrupted search.
TPE depends on the values told before each draw as well, so a resumed search keeps every stored point and goes
on with as good a model, not with the same points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from vmi.sweep import space as domains
from vmi.sweep.search import Finished, baseline_of, objective, stored_suggestion, suggestion_of
from vmi.sweep.space import Choice, Domain, Float
from vmi.sweep.study import Study
from vmi.trial import Outcome, Suggestion

# Draws in a row that may repeat known points before a small discrete space counts as exhausted.
MAX_REPEATS = 200


class OptunaSearcher:
    """TPE or random search over a valid study's space: `suggestions` different points, and the baseline."""

    def __init__(self, study: Study, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study, self._seed = study, seed
        self._domains = domains.canonical_space(study.space)
        self._space = {name: _distribution(domain) for name, domain in self._domains.items()}
        self._optuna = optuna.create_study(direction=cast(Literal["minimize", "maximize"], study.direction))
        self._baseline = baseline_of(study)
        self._first = [self._baseline] if self._baseline else []  # handed out before anything is drawn
        self._running: dict[str, int] = {}  # suggestion -> number of its Optuna trial
        self._values: dict[str, float | None] = {}  # of finished suggestions
        self._drawn: set[str] = set()  # by this object, in its own sequence
        self._left = study.suggestions or 0
        self._draws = self._repeats = 0

    @property
    def done(self) -> bool:
        return not self._first and (self._left <= 0 or self._repeats >= MAX_REPEATS)

    def ask(self, count: int) -> list[Suggestion]:
        asked: list[Suggestion] = []
        while len(asked) < count and not self.done:
            suggestion = self._first.pop(0) if self._first else self._draw()
            asked += [suggestion] if suggestion else []
        return asked

    def tell(self, suggestion_id: str, outcomes: Sequence[Outcome]) -> None:
        """Raises KeyError for a suggestion that is not running. The baseline teaches nothing."""
        if self._is_baseline(suggestion_id):
            return
        number = self._running.pop(suggestion_id)
        self._values[suggestion_id] = value = objective(outcomes, self._study.metric)
        self._finish(number, value)

    def replay(self, finished: Finished, unfinished: Sequence[Mapping[str, Any]] = ()) -> None:
        for row, value in finished:
            self._recall(row, value, TrialState.FAIL if value is None else TrialState.COMPLETE)
        for row in unfinished:
            self._recall(row, None, TrialState.RUNNING)

    def _recall(self, row: Mapping[str, Any], value: float | None, state: TrialState) -> None:
        """Take one stored point over, running or finished; one outside the space is not of this search."""
        suggestion = stored_suggestion(self._study, row)
        if self._is_baseline(suggestion.suggestion_id):
            self._first = self._first if state == TrialState.RUNNING else []
            return
        if self._is_known(suggestion.suggestion_id):
            return
        try:
            params, space = dict(suggestion.params), self._space
            self._optuna.add_trial(create_trial(state=state, value=value, params=params, distributions=space))
        except ValueError:
            return
        self._left -= 1
        if state == TrialState.RUNNING:
            self._running[suggestion.suggestion_id] = self._optuna.get_trials(deepcopy=False)[-1].number
            self._first.append(suggestion)
        else:
            self._values[suggestion.suggestion_id] = value

    def _draw(self) -> Suggestion | None:
        """The next point of the sequence, None when it is known already."""
        self._optuna.sampler = _sampler(self._study.searcher, self._seed, self._draws)
        self._draws += 1
        trial = self._optuna.ask(self._space)
        params = {name: domains.nearest(self._domains[name], v) for name, v in trial.params.items()}
        suggestion = suggestion_of(self._study, params)
        if self._is_known(suggestion.suggestion_id):
            self._repeat(trial.number, suggestion.suggestion_id)
            return None
        self._drawn.add(suggestion.suggestion_id)
        self._running[suggestion.suggestion_id] = trial.number
        self._left -= 1
        self._repeats = 0
        return suggestion

    def _repeat(self, number: int, suggestion_id: str) -> None:
        """A known point drawn again: its value is told once more; a repeat within this sequence is counted.

        The first time that the sequence meets a point of the store it is that very point, and is dropped.
        """
        again = suggestion_id in self._drawn
        self._drawn.add(suggestion_id)
        self._repeats = self._repeats + 1 if again else 0
        self._finish(number, self._values.get(suggestion_id) if again else None)

    def _is_known(self, suggestion_id: str) -> bool:
        known = suggestion_id in self._values or suggestion_id in self._running
        return known or self._is_baseline(suggestion_id)

    def _is_baseline(self, suggestion_id: str) -> bool:
        return self._baseline is not None and suggestion_id == self._baseline.suggestion_id

    def _finish(self, number: int, value: float | None) -> None:
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self._optuna.tell(number, value, state=state)


def _sampler(name: str, seed: int, draw: int) -> optuna.samplers.BaseSampler:
    stream = int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])
    if name == "random":
        return optuna.samplers.RandomSampler(seed=stream)
    # Multivariate: MI weight and temperature act together. Constant liar: many are asked at once.
    return optuna.samplers.TPESampler(seed=stream, multivariate=True, constant_liar=True)


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    low, high = domains.ends(domain)
    kind: Any = FloatDistribution if isinstance(domain, Float) else IntDistribution
    return cast(BaseDistribution, kind(low, high, log=domain.log, step=domain.step))
