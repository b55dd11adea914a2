"""The suggestions of a study: asked for in rounds, told once all their seeds are in, the leaders confirmed at the end.

Pure: it starts nothing and writes nothing. Trials of other runs (from the store) count as those of this one do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vmi.cost.rounds import queue_of
from vmi.search.ranking import Ranking
from vmi.search.score import replicates
from vmi.search.searcher import Searcher, baseline_of, stored_suggestion
from vmi.spec.trial import Outcome, PackSpec, Row, Suggestion, Trial, row_of
from vmi.study.study import Study, trials
from vmi.worker.messages import Ended, ended_of


class Round(NamedTuple):
    """Trials that are wanted together; `queue`: how many of them a pack gets for each of its places."""

    trials: Sequence[Trial]
    queue: int


@dataclass
class _Open:
    """A suggestion some of whose seeds are not in yet; `fresh`: those of the confirmation."""

    suggestion: Suggestion
    waiting: set[str]
    fresh: bool
    ended: dict[int, Outcome] = field(default_factory=dict)  # by seed


class Suggestions:
    """What the searcher of a study has proposed, and how it ended."""

    def __init__(self, study: Study, searcher: Searcher) -> None:
        self.ranking = Ranking(study)
        self._study, self._searcher = study, searcher
        self._open: dict[str, _Open] = {}
        self._confirm_asked = not study.confirm  # or there is nothing to confirm

    @property
    def done(self) -> bool:
        """Nothing more is to be trained, and all that was has ended."""
        return self._searched and self._confirm_asked

    def next(self, count: Callable[[], int], may_confirm: bool) -> Round | None:
        """What is to be trained next; None while results are waited for, or once nothing more is to come.

        count        says how many suggestions to ask for; it is asked only where there is one
        may_confirm  False where a trial of the search is lost: the next start trains that first
        """
        # A sampler gets its next round when the last one is in; a grid is asked for everything at once.
        if not self._searcher.done and (not self._open or self._study.searcher == "grid"):
            first = self._searcher.ask(1)
            asked = [*first, *(self._searcher.ask(count() - 1) if first else ())]
            return Round(self._opened(asked, self._study.seeds, fresh=False), queue_of(self._study, 1))
        if self._searched and not self._confirm_asked:
            self._confirm_asked = True
            leaders = self.ranking.candidates() if may_confirm else []
            return Round(self._opened(leaders, self._study.confirm_seeds, fresh=True), 1)
        return None

    def awaits(self, trial: Trial) -> bool:
        """Whether it is to be told how this trial ended: it was asked for, and has not been."""
        entry = self._open.get(trial.suggestion_id)
        return entry is not None and trial.trial_id in entry.waiting

    def tell(self, trial: Trial, result: Ended) -> None:
        """Note how a trial ended; once all seeds of its suggestion have, rank it and tell the searcher."""
        entry = self._open[trial.suggestion_id]
        entry.waiting.discard(trial.trial_id)
        entry.ended[trial.config.seed] = result.as_outcome()
        if not entry.waiting:
            del self._open[trial.suggestion_id]
            if entry.fresh:
                self.ranking.note_confirmed(entry.suggestion, entry.ended)
            else:
                self._searcher.tell(trial.suggestion_id, replicates(self._study, entry.ended))
                self.ranking.note(entry.suggestion, entry.ended)

    def replay(
        self, stored: Iterable[Row], under_way: Iterable[PackSpec], retried: Collection[str] = ()
    ) -> list[Ended]:
        """Before the first round: tell the searcher what the store holds; how the trials of whole suggestions ended.

        Those whose seeds are not all in are handed out again. Rows of the confirmation are no part of the search; they
        are found once it is handed out. `under_way` are packs that were handed out, and may have no row yet: with them
        a resumed search asks for no other points. Stored trials that are `retried` are told once they have ended again.
        """
        fresh, seeds = set(self._study.confirm_seeds), set(self._study.seeds)
        groups: dict[str, list[Row]] = {}
        for row in (row for row in stored if row["seed"] not in fresh):
            groups.setdefault(row["suggestion_id"], []).append(row)
        told = {sid: {row["seed"] for row in rows if row["trial_id"] not in retried} for sid, rows in groups.items()}
        whole = {sid: rows for sid, rows in groups.items() if seeds <= told[sid]}
        ended = {sid: {row["seed"]: ended_of(row) for row in rows} for sid, rows in whole.items()}
        outcomes = {sid: {seed: one.as_outcome() for seed, one in by_seed.items()} for sid, by_seed in ended.items()}
        finished = [(whole[sid][0], replicates(self._study, by_seed)) for sid, by_seed in outcomes.items()]
        unfinished = {sid: rows[0] for sid, rows in groups.items() if sid not in whole}
        handed_out = (trial for spec in under_way for trial in spec.trials if trial.config.seed in seeds)
        for trial in (trial for trial in handed_out if trial.suggestion_id not in groups):
            unfinished.setdefault(trial.suggestion_id, row_of(trial))
        baseline = baseline_of(self._study)
        for row, _ in finished:
            is_baseline = baseline is not None and baseline.suggestion_id == row["suggestion_id"]
            suggestion = baseline if baseline and is_baseline else stored_suggestion(self._study, row)
            self.ranking.note(suggestion, outcomes[row["suggestion_id"]])
        self._searcher.replay(finished, list(unfinished.values()))
        return [result for by_seed in ended.values() for result in by_seed.values()]

    @property
    def _searched(self) -> bool:
        """The search is over: there is nothing more to ask for, and all that was asked for has ended."""
        return self._searcher.done and not self._open

    def _opened(self, suggestions: Iterable[Suggestion], seeds: Iterable[int], fresh: bool) -> list[Trial]:
        """The trials of these suggestions, which are open from here on."""
        wanted: list[Trial] = []
        for suggestion in suggestions:
            replicates = trials(self._study, suggestion, seeds)
            self._open[suggestion.suggestion_id] = _Open(suggestion, {t.trial_id for t in replicates}, fresh)
            wanted += replicates
        return wanted
