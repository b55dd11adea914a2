"""Optuna behind ask and tell: the tree-structured Parzen estimator (TPE) and random search.

Optuna's studies live in memory; the searcher's is rebuilt from the store by `replay`: nothing of it has to survive.

What a resumed search keeps: the i-th draw takes its random numbers from (seed, i) alone. Random search therefore goes
through one fixed sequence of points; a resumed search walks it from its start and leaves out what is finished, in
whatever order trials ended: the set of suggestions is that of an uninterrupted search. TPE depends on the values told
before each draw as well, so a resumed search keeps every stored point and goes on with as good a model.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from vmi.search.score import Ending, directions, ending
from vmi.search.searcher import Finished, baseline_of, stored_suggestion, suggestion_of
from vmi.spec.errors import InputError
from vmi.spec.trial import Outcome, Suggestion
from vmi.study import conditions, space
from vmi.study.space import Choice, Domain, Float
from vmi.study.study import Study

MAX_REPEATS = 200  # draws in a row that may repeat known points before a small discrete space counts as exhausted
FAILED = Ending(None, {}, None)


class OptunaSearcher:
    """TPE or random search over a valid study's space: `suggestions` different points, and the baseline.

    A field with a condition is drawn only where it holds; TPE then models fields that are drawn together as a group.
    """

    def __init__(self, study: Study, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study, self._seed = study, seed
        self._domains = space.canonical_space(study.space)
        self._space = {name: distribution(domain) for name, domain in self._domains.items()}
        self._order = conditions.order(study.space, study.conditions)
        wanted = [StudyDirection[direction.upper()] for direction in directions(study).values()]
        self._optuna = optuna.create_study(directions=wanted)
        self._baseline = baseline_of(study)
        self._first = [self._baseline] if self._baseline else []  # handed out before anything is drawn
        self._running: dict[str, optuna.trial.Trial] = {}  # by suggestion
        self._endings: dict[str, Ending] = {}  # of finished suggestions
        self._beside: dict[str, Ending] = {}  # of stored suggestions that Optuna does not take as points of the space
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
        trial = self._running.pop(suggestion_id)
        self._endings[suggestion_id] = ending(self._study, outcomes)
        self._finish(trial, self._endings[suggestion_id])

    def replay(self, finished: Finished, unfinished: Sequence[Mapping[str, Any]] = ()) -> None:
        for row, outcomes in finished:
            self._recall(row, ending(self._study, outcomes))
        for row in unfinished:
            self._recall(row, None)

    def _recall(self, row: Mapping[str, Any], ended: Ending | None) -> None:
        """Take one stored point over, running or finished; one outside the space is not of this search."""
        suggestion = stored_suggestion(self._study, row)
        if self._is_baseline(suggestion.suggestion_id):
            self._first = [] if ended else self._first
            return
        if self._is_known(suggestion.suggestion_id):
            return
        if not self._is_point(suggestion) or not self._add(suggestion.params, ended):
            self._beside |= {suggestion.suggestion_id: ended} if ended else {}
            return
        self._left -= 1
        if ended is None:
            newest = self._optuna.get_trials(deepcopy=False)[-1]
            self._running[suggestion.suggestion_id] = optuna.trial.Trial(self._optuna, newest._trial_id)
            self._first.append(suggestion)
        else:
            self._endings[suggestion.suggestion_id] = ended

    def _is_point(self, stored: Suggestion) -> bool:
        """Whether the space has it: a field that is searched beside fewer values now is at its default elsewhere."""
        if not self._study.conditions:
            return True
        try:
            return suggestion_of(self._study, stored.params).suggestion_id == stored.suggestion_id
        except InputError:
            return False

    def _add(self, params: Mapping[str, Any], ended: Ending | None) -> bool:
        """Put a stored point into Optuna's study; False where it does not fit the space."""
        try:
            self._optuna.add_trial(frozen_trial(params, ended, self._space))
        except ValueError:
            return False
        return True

    def _draw(self) -> Suggestion | None:
        """The next point of the sequence, None when it is known already."""
        self._optuna.sampler = _sampler(self._study.searcher, self._seed, self._draws, bool(self._study.conditions))
        self._draws += 1
        trial = self._optuna.ask()
        params: dict[str, Any] = {}
        for name in self._order:
            if conditions.is_active(name, self._study.conditions, params):
                params[name] = space.nearest(self._domains[name], _suggest(trial, name, self._domains[name]))
        suggestion = suggestion_of(self._study, params)
        if self._is_known(suggestion.suggestion_id):
            self._repeat(trial, suggestion.suggestion_id)
            return None
        self._drawn.add(suggestion.suggestion_id)
        if ended := self._beside.pop(suggestion.suggestion_id, None):
            # It is one of this search after all: by another name of its preset, "auto", or a step too small for Optuna.
            self._endings[suggestion.suggestion_id] = ended
            self._finish(trial, ended)
            self._left, self._repeats = self._left - 1, 0
            return None
        self._running[suggestion.suggestion_id] = trial
        self._left -= 1
        self._repeats = 0
        return suggestion

    def _repeat(self, trial: optuna.trial.Trial, suggestion_id: str) -> None:
        """A known point drawn again: its values are told once more; a repeat within this sequence is counted.

        The first time that the sequence meets a point of the store it is that very point, and is dropped.
        """
        again = suggestion_id in self._drawn
        self._drawn.add(suggestion_id)
        self._repeats = self._repeats + 1 if again else 0
        self._finish(trial, self._endings.get(suggestion_id, FAILED) if again else FAILED)

    def _is_known(self, suggestion_id: str) -> bool:
        return suggestion_id in self._endings or suggestion_id in self._running or self._is_baseline(suggestion_id)

    def _is_baseline(self, suggestion_id: str) -> bool:
        return self._baseline is not None and suggestion_id == self._baseline.suggestion_id

    def _finish(self, trial: optuna.trial.Trial, ended: Ending) -> None:
        for step, value in (ended.reached or {}).items():
            trial.report(value, step)
        for name, excess in ended.excess.items():
            trial.set_constraint(name, excess)
        self._optuna.tell(trial, ended.values, state=_state(ended))


def frozen_trial(
    params: Mapping[str, Any],
    ended: Ending | None,
    space: Mapping[str, BaseDistribution],
    attributes: Mapping[str, Any] = MappingProxyType({}),
) -> FrozenTrial:
    """A suggestion as Optuna's studies keep it, running where it has not ended. Raises ValueError outside the space."""
    values, excess, reached = ended or FAILED
    last = list((reached or {}).values())[-1:] or None  # what Optuna itself has as the value of a pruned trial
    return create_trial(
        state=_state(ended) if ended else TrialState.RUNNING,
        values=values or last,
        params=dict(params),
        distributions={name: space[name] for name in params},
        intermediate_values=dict(reached or {}),
        constraints=dict(excess),
        user_attrs=dict(attributes),
    )


def _state(ended: Ending) -> TrialState:
    """Pruned where any seed was stopped: no mean over the seeds that were left is taken for the suggestion's."""
    finished = TrialState.FAIL if ended.values is None else TrialState.COMPLETE
    return finished if ended.reached is None else TrialState.PRUNED


def _sampler(name: str, seed: int, draw: int, grouped: bool) -> optuna.samplers.BaseSampler:
    stream = int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])
    if name == "random":
        return optuna.samplers.RandomSampler(seed=stream)
    # Multivariate: MI weight and temperature act together. Constant liar: many are asked at once.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `group`
        return optuna.samplers.TPESampler(seed=stream, multivariate=True, group=grouped, constant_liar=True)


def _suggest(trial: optuna.trial.Trial, name: str, domain: Domain) -> Any:
    if isinstance(domain, Choice):
        return trial.suggest_categorical(name, domain.values)
    low, high = space.ends(domain)
    suggest: Any = trial.suggest_float if isinstance(domain, Float) else trial.suggest_int
    return suggest(name, low, high, log=domain.log, step=domain.step)


def distribution(domain: Domain) -> BaseDistribution:
    """The domain as Optuna has it."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    low, high = space.ends(domain)
    kind: Any = FloatDistribution if isinstance(domain, Float) else IntDistribution
    return cast(BaseDistribution, kind(low, high, log=domain.log, step=domain.step))
