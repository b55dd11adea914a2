"""Pending, running and finished trials of a study. Pure: it starts nothing, writes nothing.

The runners take packs from it and bring back how each trial ended; the searcher is told once all seeds of a
suggestion are in, and sees trials of other runs (from the store) as it sees those of this one. Once the search is over,
its leaders are handed out again on the seeds of the confirmation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from vmi.cost.packing import Size, pack, size_for
from vmi.cost.rounds import queue_of, round_of
from vmi.cost.sizing import round_size
from vmi.search.ranking import Best, Ranking
from vmi.search.searcher import Searcher, baseline_of, stored_suggestion
from vmi.spec.config import Architecture
from vmi.spec.trial import Outcome, PackSpec, Suggestion, Trial
from vmi.study.study import Study, trials
from vmi.worker.messages import Ended, Row, ended_of, is_current

_NONE: Mapping[str, float] = {}


@dataclass
class _Open:
    """A suggestion some of whose seeds are not in yet; `fresh`: those of the confirmation."""

    suggestion: Suggestion
    waiting: set[str]
    fresh: bool
    outcomes: list[Outcome] = field(default_factory=list)


class Ledger:
    """The trials of one study.

    `stored` holds the store's row of every finished trial; rows that this program would give another id, because their
    configuration has come to mean other numbers or data, are left aside. `adopt` takes ids, each with its preset's
    name, and returns the rows of those that other studies have finished. `workers` says how many packs can run at a
    time; it is asked when there is work. `pack_size` is how many trials a pack trains at a time, one number for all or
    one for each Architecture. `under_way` are packs of an earlier run that were cut short: they are handed out as they
    were, and before others.
    """

    def __init__(
        self,
        study: Study,
        searcher: Searcher,
        stored: Mapping[str, Row],
        adopt: Callable[[Mapping[str, str]], Mapping[str, Row]],
        *,
        pack_size: Size,
        workers: Callable[[], int],
        under_way: Iterable[PackSpec] = (),
    ) -> None:
        self.study, self.searcher = study, searcher
        self.pack_size = pack_size
        self._workers, self._adopt = workers, adopt
        self._stored = {trial_id: row for trial_id, row in stored.items() if is_current(row)}
        self._known = set(self._stored)
        self._under_way = list(under_way)
        self._fitting: dict[Architecture, int] = {}
        self._ready: deque[PackSpec] = deque()
        self._open: dict[str, _Open] = {}
        self.running: dict[str, PackSpec] = {}
        self.finished: dict[str, Ended] = {}  # without their metrics, which the ranking and the searcher have
        self.lost: dict[str, str] = {}
        self._saved: dict[str, float] = {}  # the share of a running pack's steps that it would go on from
        self._committed: set[str] = set()  # that are not finished: how they ended is told once their pack ends
        self._failed: dict[str, str] = {}
        self.reused = self.adopted = 0
        self.ranking = Ranking(study)
        self._confirm_asked = not study.confirm  # or there is nothing to confirm
        self._replay()

    @property
    def best(self) -> Best | None:
        """The best suggestion; where the study confirms, what was confirmed so far."""
        return self.ranking.best

    @property
    def done(self) -> bool:
        """Nothing is ready, running, or still to be asked for."""
        return not self._ready and not self.running and self._searched() and self._confirm_asked

    @property
    def ready(self) -> tuple[PackSpec, ...]:
        """The packs that can be handed out now."""
        return tuple(self._ready)

    def has_work(self) -> bool:
        """Something can be trained now: a pack is ready, or the search or its confirmation has more to hand out."""
        while not self._ready and not self.done:
            if not self.searcher.done and not self._must_wait():
                self._ask()
            elif self._searched() and not self._confirm_asked:
                self._confirm()
            else:
                break
        return bool(self._ready)

    def next_pack(self) -> PackSpec | None:
        """The next pack to train; None when there is none now (ask again once a pack has ended, unless `done`)."""
        if not self.has_work():
            return None
        spec = self._ready.popleft()
        self.running[spec.pack_id] = spec
        return spec

    def places_of(self, spec: PackSpec) -> int:
        """How many of the pack's trials are trained at a time: no more than there was memory for."""
        return self._places(spec.trials[0].config.architecture)

    def fits(self, pack_id: str, places: int) -> None:
        """The running pack has memory for this many of its trials at a time; so has any of its Architecture."""
        spec = self.running[pack_id]
        if places < min(self.places_of(spec), len(spec.trials)):
            self._fitting[spec.trials[0].config.architecture] = places

    def committed(self, pack_id: str, trial_ids: Iterable[str]) -> None:
        """These trials of a running pack have a row in the store; how they ended is told once the pack ends."""
        spec = self.running.get(pack_id)
        own = {trial.trial_id for trial in spec.trials} if spec else set[str]()
        self._committed |= own.intersection(trial_ids) - self.finished.keys()

    def saved(self, pack_id: str, share: float) -> None:
        """A running pack would go on from this share of its steps."""
        self._saved[pack_id] = share

    @property
    def going_on(self) -> dict[str, float]:
        """The share of its steps that it would go on from, of every trial without a row in whose pack that is any."""
        shares = ((spec, self._saved.get(pack_id, 0.0)) for pack_id, spec in self.running.items())
        ids = {trial.trial_id: share for spec, share in shares if share for trial in spec.trials}
        return {i: share for i, share in ids.items() if i not in self._committed and i not in self.finished}

    @property
    def safe(self) -> int:
        """How many trials of the study are known to be in the store, those of packs that still run included."""
        return len(self.finished) + len(self._committed)

    @property
    def in_training(self) -> int:
        """How many trials of the running packs have no row yet."""
        trials = {trial.trial_id for spec in self.running.values() for trial in spec.trials}
        return len(trials - self._committed - self.finished.keys())

    @property
    def without_result(self) -> int:
        """How many trials were lost without a row: the next start trains them again."""
        return len(self.lost.keys() - self._committed)

    def give_back(self, pack_id: str) -> None:
        """A running pack was cut short: it is the next to be handed out, as it is."""
        self._ready.appendleft(self.running.pop(pack_id))

    def ended(self, pack_id: str, results: Sequence[Ended]) -> None:
        """A pack came back; trials of it without a result are lost (they stay unfinished and run at the next start)."""
        spec = self.running.pop(pack_id)
        by_id = {result.trial_id: result for result in results}
        for trial in self._unsettled(spec):
            if trial.trial_id in by_id:
                self._settle(trial, by_id[trial.trial_id])
            else:
                self._lose(trial, "no result came back")

    def lose(self, pack_id: str, reason: str) -> None:
        """A pack broke as a whole: none of its trials is finished, and each counts as failed in this run."""
        for trial in self._unsettled(self.running.pop(pack_id)):
            self._lose(trial, reason)

    def failures(self) -> Mapping[str, str]:
        """Reason by trial id, of everything that failed in this run or was found failed in the store."""
        return self._failed | self.lost

    def _searched(self) -> bool:
        """The search is over: there is nothing more to ask for, and all that was asked for has ended."""
        return self.searcher.done and not self._open

    def _must_wait(self) -> bool:
        """A sampler gets its next round when the last one is in; a grid is asked for everything at once."""
        return bool(self._open) and self.study.searcher != "grid"

    def _ask(self) -> None:
        first = self.searcher.ask(1)  # alone: where there is none, nothing is started to count the workers
        asked = [*first, *(self.searcher.ask(self._round() - 1) if first else ())]
        self._hand_out(asked, self.study.seeds, fresh=False)

    def _confirm(self) -> None:
        """Hand the leaders out again. A search with a lost trial is not over: the next start trains that first."""
        self._confirm_asked = True
        if not self.lost:
            self._hand_out(self.ranking.candidates(), self.study.confirm_seeds, fresh=True)

    def _hand_out(self, suggestions: Iterable[Suggestion], seeds: Iterable[int], fresh: bool) -> None:
        """Make packs of those trials that neither this store nor another one has."""
        wanted: list[Trial] = []
        for suggestion in suggestions:
            replicates = trials(self.study, suggestion, seeds)
            self._open[suggestion.suggestion_id] = _Open(suggestion, {t.trial_id for t in replicates}, fresh)
            wanted += replicates
        unknown = {trial.trial_id: trial.config.preset for trial in wanted if trial.trial_id not in self._known}
        if unknown:
            workers = self._workers()  # before anything is copied: it may refuse to start
            adopted = self._adopt(unknown)
            self.adopted += len(adopted)
            self._stored |= adopted
            self._known |= adopted.keys()
        for trial in (t for t in wanted if t.trial_id in self._stored):
            self.reused += 1
            self._settle(trial, ended_of(self._stored[trial.trial_id]))
        missing = [trial for trial in wanted if trial.trial_id not in self._known]
        if missing:
            queues = 1 if fresh else queue_of(self.study, 1)
            resumed, missing = self._resumed(missing)
            self._ready.extend([*resumed, *self._packed(missing, queues, workers)])

    def _resumed(self, missing: Sequence[Trial]) -> tuple[list[PackSpec], list[Trial]]:
        """Packs of an earlier run all of whose trials are missing or stored, as they were; what is missing besides."""
        wanted = {trial.trial_id: trial for trial in missing}
        found, left = [], []
        for spec in self._under_way:
            unstored = {trial.trial_id for trial in spec.trials} - self._known
            if unstored and unstored <= wanted.keys():
                trials_now = tuple(wanted.get(trial.trial_id, trial) for trial in spec.trials)
                found.append(spec._replace(trials=trials_now))
                wanted = {i: trial for i, trial in wanted.items() if i not in unstored}
            else:
                left.append(spec)
        self._under_way = left
        return found, list(wanted.values())

    def _packed(self, missing: Sequence[Trial], queues: int, workers: int) -> list[PackSpec]:
        """New packs, each with `queues` trials for every place that there is memory for."""
        return pack(missing, lambda architecture: self._places(architecture) * queues, workers)

    def _places(self, architecture: Architecture) -> int:
        fitting = self._fitting.get(architecture)
        return size_for(self.pack_size, architecture) if fitting is None else fitting

    def _unsettled(self, spec: PackSpec) -> list[Trial]:
        """Without those of which a driver before this one has the row already."""
        return [trial for trial in spec.trials if trial.trial_id not in self._known]

    def _round(self) -> int:
        """How many suggestions a round has."""
        return round_of(self.study, round_size(self.pack_size), self._workers)

    def _lose(self, trial: Trial, reason: str) -> None:
        self.lost[trial.trial_id] = reason
        self._tell(trial, Ended(trial.trial_id, "failed", 0, {}, reason))

    def _settle(self, trial: Trial, result: Ended) -> None:
        self._keep(result)
        self._tell(trial, result)

    def _keep(self, result: Ended) -> None:
        self.finished[result.trial_id] = result._replace(metrics=_NONE)
        self._committed.discard(result.trial_id)
        if result.outcome == "failed":
            self._failed[result.trial_id] = result.reason

    def _tell(self, trial: Trial, result: Ended) -> None:
        """Note how a trial ended for its suggestion; once all its seeds have, rank it and tell the searcher."""
        entry = self._open[trial.suggestion_id]
        entry.waiting.discard(trial.trial_id)
        entry.outcomes.append(result.as_outcome())
        if not entry.waiting:
            del self._open[trial.suggestion_id]
            if entry.fresh:
                self.ranking.note_confirmed(entry.suggestion, entry.outcomes)
            else:
                self.searcher.tell(trial.suggestion_id, entry.outcomes)
                self.ranking.note(entry.suggestion, entry.outcomes)

    def _replay(self) -> None:
        """Tell the searcher what the store holds: whole suggestions as finished, the others to be handed out again.

        Rows of the confirmation are no part of the search; they are found once it is handed out.
        """
        fresh = set(self.study.confirm_seeds)
        groups: dict[str, list[Row]] = {}
        for row in (row for row in self._stored.values() if row["seed"] not in fresh):
            groups.setdefault(row["suggestion_id"], []).append(row)
        seeds, baseline = set(self.study.seeds), baseline_of(self.study)
        whole = {sid: rows for sid, rows in groups.items() if seeds <= {row["seed"] for row in rows}}
        finished = []
        for suggestion_id, rows in whole.items():
            results = [ended_of(row) for row in rows]
            for result in results:
                self._keep(result)
            self.reused += len(rows)
            outcomes = [result.as_outcome() for result in results]
            finished.append((rows[0], outcomes))
            is_baseline = baseline is not None and baseline.suggestion_id == suggestion_id
            suggestion = baseline if baseline and is_baseline else stored_suggestion(self.study, rows[0])
            self.ranking.note(suggestion, outcomes)
        unfinished = {sid: rows[0] for sid, rows in groups.items() if sid not in whole}
        # What was handed out, and has no row yet: with it a resumed search asks for no other points.
        handed_out = [t for spec in self._under_way for t in spec.trials if t.config.seed in seeds]
        for trial in (t for t in handed_out if t.suggestion_id not in groups):
            unfinished.setdefault(trial.suggestion_id, asdict(trial.config) | {"suggestion_id": trial.suggestion_id})
        self.searcher.replay(finished, list(unfinished.values()))
        # Rows of whole suggestions are asked for no more; ten thousand of them are a hundred megabytes.
        self._stored = {trial_id: row for trial_id, row in self._stored.items() if trial_id not in self.finished}
