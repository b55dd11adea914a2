"""Pending, running and finished trials of a study. Pure: it starts nothing, writes nothing.

The runners take packs from it and hand it every update of theirs; `vmi.runners.suggestions` says what is wanted next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from vmi.cost.cutting import Cutter
from vmi.cost.packing import Size, pack, pack_of, parts_of, size_for
from vmi.cost.rounds import round_of
from vmi.cost.sizing import round_size
from vmi.runners.choosing import Choose, Waiting, first
from vmi.runners.outcomes import Outcomes
from vmi.runners.stopper import Nobody, Stopper
from vmi.runners.suggestions import Suggestions
from vmi.search.searcher import Searcher
from vmi.spec.config import Architecture
from vmi.spec.trial import PackSpec, Row, Trial
from vmi.study.study import Study
from vmi.worker.messages import Ended, Update, ended_of, is_current


class Ledger:
    """The trials of one study.

    `stored` holds the store's row of every finished trial; rows that this program would give another id, because their
    configuration has come to mean other numbers or data, are left aside. `adopt` takes ids, each with its preset's
    name, and returns the rows of those that other studies have finished. `workers` says how many packs can run at a
    time; it is asked when there is work. `pack_size` is how many trials a pack trains at a time, one number for all or
    one for each Architecture. `under_way` are packs of an earlier run that were cut short: they are handed out as they
    were, and before others. `cut` makes packs of the trials that are asked for at a time. `retry` has those stored
    trials that have failed or were stopped and are to be trained again, in packs of their own, with the attempt of each
    one's row. `choose` says which of the packs that wait is next, and how many of its trials; where it wants none of
    them while none runs, the run is `over`. `stopper` is asked about trials before their pack is handed out; of a pack
    that was, its worker hears by itself. `stored_of` reads how those trials of a pack that broke ended which
    have a row.
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
        cut: Cutter = pack,
        under_way: Iterable[PackSpec] = (),
        retry: Mapping[str, int] | None = None,
        choose: Choose = first,
        stopper: Stopper | None = None,
        stored_of: Callable[[PackSpec], Mapping[str, Ended]] = lambda spec: {},
    ) -> None:
        self.pack_size, self.cut, self._choose = pack_size, cut, choose
        self._workers, self._adopt, self._stored_of = workers, adopt, stored_of
        self._under_way, self._stopper = list(under_way), stopper or Nobody()
        self.resumed = frozenset(spec.pack_id for spec in self._under_way)  # their workers may have left checkpoints
        self._begun = set(self.resumed)
        self._handed_out: set[str] = set()
        self._fitting: dict[Architecture, int] = {}
        self._ready: deque[PackSpec] = deque()
        self.running: dict[str, PackSpec] = {}
        self._saved: dict[str, float] = {}  # the share of its steps that each trial without a row would go on from
        self.reused = self.adopted = 0
        self._retry = {i: attempt for i, attempt in (retry or {}).items() if i in stored and is_current(stored[i])}
        self.outcomes = Outcomes(self._retry)
        self._known: set[str] = set()
        self.grow(study, searcher, stored)
        self._before = frozenset(self._known)

    def grow(self, study: Study, searcher: Searcher, stored: Mapping[str, Row]) -> None:
        """The study is this one from here on, which has all that it had before. `searcher`: a new one.

        The search is what a start with these rows would make of it: what is finished is told, what is missing is handed
        out, but for the trials of packs that are out or ready, which go on as they are.
        """
        self.study, self._suggestions = study, Suggestions(study, searcher)
        self.ranking = self._suggestions.ranking
        begun = (*self.running.values(), *self._ready)  # what they have stored is told once they end
        untold = {trial.trial_id for spec in begun for trial in self._missing(spec)}
        rows = {i: row for i, row in stored.items() if i not in untold and is_current(row)}
        again = self._retry.keys() - self.outcomes.finished.keys()
        self._known = rows.keys() - again
        packs = (*self.running.values(), *self._ready, *self._under_way)
        told = self._suggestions.replay(rows.values(), packs, again)
        for result in (result for result in told if result.trial_id not in self.outcomes.finished):
            self.outcomes.keep(result)
            self.reused += 1
        # Rows of whole suggestions are asked for no more.
        rest = self._known - {result.trial_id for result in told}
        self._stored = {i: ended_of(row) for i, row in rows.items() if i in rest}

    @property
    def done(self) -> bool:
        """Nothing is ready, running, or still to be asked for."""
        return not self._ready and not self.running and self._suggestions.done

    @property
    def over(self) -> bool:
        """Nothing runs, and nothing more is handed out in this run."""
        return self.done or (not self.running and self._next() is None)

    @property
    def ready(self) -> tuple[PackSpec, ...]:
        """The packs that can be handed out now."""
        return tuple(self._ready)

    @property
    def begun(self) -> int:
        """How many trials without a row wait in packs that were begun, by an earlier run or by this one."""
        return sum(len(self._missing(spec)) for spec in self._ready if spec.pack_id in self._begun)

    def has_work(self) -> bool:
        """Something can be trained now: a pack is ready, or the search or its confirmation has more to hand out."""
        count = lambda: round_of(self.study, round_size(self.pack_size), self._workers)  # noqa: E731
        while not self._ready and not self.done and (wanted := self._suggestions.next(count, not self.outcomes.lost)):
            self._hand_out(wanted.trials, wanted.queue)
        return bool(self._ready)

    def heed(self) -> None:
        """Trials that wait in packs which nobody has begun leave them where they were asked to stop since."""
        if not self._stopper.news():
            return
        fresh = [spec for spec in self._ready if spec.pack_id not in self._begun]
        rows = self._stopper.stop(self.study, [trial for spec in fresh for trial in spec.trials])
        self._ready = deque(left for spec in self._ready if (left := self._without(spec, rows)).trials)
        for trial in (trial for spec in fresh for trial in spec.trials if trial.trial_id in rows):
            self._settle(trial, ended_of(rows[trial.trial_id]))

    def next_pack(self) -> PackSpec | None:
        """The next pack to train; None when there is none now (ask again once a pack has ended, unless `over`)."""
        self.heed()
        if (chosen := self._next()) is None:
            return None
        index, count = chosen
        spec = self._ready[index]
        del self._ready[index]
        missing = self._missing(spec)
        if later := missing[count:]:
            self._ready.insert(index, self._pack_of(later))
            spec = self._pack_of(missing[:count])
        self.running[spec.pack_id] = spec
        self._begun.add(spec.pack_id)
        self._handed_out |= {trial.trial_id for trial in missing[:count]}
        return spec

    def places_of(self, spec: PackSpec) -> int:
        """How many of the pack's trials are trained at a time: no more than there was memory for."""
        return self._places(spec.trials[0].config.architecture)

    def take(self, update: Update) -> None:
        """What a pack's worker says; of a pack that is not running nothing counts any more.

        Members that there is memory for, at a time: as many has any pack of its Architecture. Trials that have a row by
        now. The step that it would go on from. In the last update how its trials ended; those without a result are lost
        (they stay unfinished and run at the next start), but for those that go on in packs of their own.
        """
        if (spec := self.running.get(update.pack_id)) is None:
            return
        if 0 < update.places < min(self.places_of(spec), len(spec.trials)):
            self._fitting[spec.trials[0].config.architecture] = update.places
        own = {trial.trial_id for trial in spec.trials}
        self.outcomes.commit(own.intersection(update.stored))
        left = len(self.going(spec))
        saved = update.saved / max(update.steps, 1) * len(own) - (len(own) - left)  # those with a row are full ones
        self._saved[update.pack_id] = max(0.0, saved) / max(left, 1)
        if update.over:
            del self.running[update.pack_id]
            by_id = {result.trial_id: result for result in update.ended}
            going_on = {trial_id for ids in update.parted for trial_id in ids}
            for trial in self._missing(spec):
                if trial.trial_id in by_id:
                    self._settle(trial, by_id[trial.trial_id])
                elif trial.trial_id not in going_on:
                    self._lose(trial, "no result came back")
            self._part(spec, update)

    def _part(self, spec: PackSpec, update: Update) -> None:
        """The packs that a pack has become are the next to be handed out."""
        for part in reversed(parts_of(spec, update.parted)):
            self._ready.appendleft(part)
            self._begun.add(part.pack_id)
            self._saved[part.pack_id] = self._saved[update.pack_id]

    def give_back(self, pack_id: str) -> None:
        """A running pack was cut short: it is the next to be handed out, as it is."""
        self._ready.appendleft(self.running.pop(pack_id))
        self._begun.add(pack_id)

    def lose(self, pack_id: str, reason: str) -> None:
        """A pack broke as a whole: those of its trials that have no row count as failed in this run."""
        spec = self.running.pop(pack_id)
        stored = self._stored_of(spec)
        for trial in self._missing(spec):
            if trial.trial_id in stored:
                self._settle(trial, stored[trial.trial_id])
            else:
                self._lose(trial, reason)

    def going(self, spec: PackSpec) -> list[Trial]:
        """The trials of a pack that have no row yet."""
        return [trial for trial in self._missing(spec) if not self.outcomes.has_row(trial.trial_id)]

    @property
    def going_on(self) -> dict[str, float]:
        """The share of its steps that it would go on from, of every trial without a row in whose pack that is any."""
        shares = ((spec, self._saved.get(spec.pack_id, 0.0)) for spec in (*self.running.values(), *self._ready))
        return {trial.trial_id: share for spec, share in shares if share for trial in self.going(spec)}

    def kept(self, spec: PackSpec) -> float:
        """The shares of its steps, added, that each trial of a pack without a row would go on from."""
        return self._saved.get(spec.pack_id, 0.0) * len(self.going(spec))

    @property
    def waits(self) -> bool:
        """Some pack is handed out to whoever asks for one now."""
        return self._next() is not None

    @property
    def handed_out(self) -> int:
        """How many trials this run has handed out, each counted once."""
        return len(self._handed_out)

    @property
    def in_training(self) -> int:
        """How many trials of the running packs have no row yet."""
        ids = {trial.trial_id for spec in self.running.values() for trial in spec.trials}
        return sum(not self.outcomes.has_row(trial_id) for trial_id in ids)

    @property
    def stopped_now(self) -> int:
        """How many trials a user has stopped that had no row that counts when the run began."""
        return len(self.outcomes.stopped - self._before)

    def _next(self) -> tuple[int, int] | None:
        """The index of the next pack among those that are ready, and how many of its trials without a row it keeps."""
        if not self.has_work():
            return None
        waiting = (Waiting(self._missing(s), self._handed_out, s.pack_id in self._begun) for s in self._ready)
        return self._choose(waiting, self.handed_out)

    def _hand_out(self, wanted: Sequence[Trial], queue: int) -> None:
        """Make packs of those trials that neither this store nor another one has, and that no pack has already."""
        in_hand = {t.trial_id for spec in (*self.running.values(), *self._ready) for t in self._missing(spec)}
        wanted = [trial for trial in wanted if trial.trial_id not in in_hand]
        unknown = {trial.trial_id: trial.config.preset for trial in wanted if trial.trial_id not in self._known}
        if unknown:
            workers = self._workers()  # before anything is copied: it may refuse to start
            adopted = self._adopt(unknown)
            self.adopted += len(adopted)
            self._stored |= {trial_id: ended_of(row) for trial_id, row in adopted.items()}
            self._known |= adopted.keys()
        for trial in (t for t in wanted if t.trial_id in self._stored):
            self.reused += trial.trial_id not in self.outcomes.finished
            self._settle(trial, self._stored[trial.trial_id])
        missing = [trial for trial in wanted if trial.trial_id not in self._known]
        if missing:
            resumed, missing = self._resumed(missing)
            rows = self._stopper.stop(self.study, missing)
            for trial in (trial for trial in missing if trial.trial_id in rows):
                self._settle(trial, ended_of(rows[trial.trial_id]))
            missing = [trial for trial in missing if trial.trial_id not in rows]
            size = lambda architecture: self._places(architecture) * queue  # noqa: E731
            # Members of a pack with a queue may be stopped early: how long it takes is not known.
            cut = pack if queue > 1 else self.cut
            new = cut([trial for trial in missing if trial.trial_id not in self._retry], size, workers)
            again = cut([trial for trial in missing if trial.trial_id in self._retry], size, workers)
            self._ready.extend([*resumed, *new, *(self._pack_of(spec.trials) for spec in again)])

    def _pack_of(self, trials: tuple[Trial, ...]) -> PackSpec:
        """These trials as a pack, which knows of those that have failed before."""
        return pack_of(trials, {i: self._retry[i] for t in trials if (i := t.trial_id) in self._retry})

    def _resumed(self, missing: Sequence[Trial]) -> tuple[list[PackSpec], list[Trial]]:
        """Packs of an earlier run all of whose trials are missing or stored, as they were; what is missing besides."""
        wanted = {trial.trial_id: trial for trial in missing}
        found, left = [], []
        # The largest first: of one that was cut meanwhile all are part of it.
        for spec in sorted(self._under_way, key=lambda spec: -len(self._missing(spec))):
            unstored = {trial.trial_id for trial in self._missing(spec)}
            if unstored and unstored <= wanted.keys():
                trials_now = tuple(wanted.get(trial.trial_id, trial) for trial in spec.trials)
                found.append(spec._replace(trials=trials_now))
                wanted = {i: trial for i, trial in wanted.items() if i not in unstored}
            else:
                left.append(spec)
        self._under_way, self._begun = left, self._begun | {spec.pack_id for spec in found}
        return found, list(wanted.values())

    def _without(self, spec: PackSpec, stopped: Collection[str]) -> PackSpec:
        """A pack that nobody has begun without its stopped trials; none of another pack is among them."""
        left = tuple(trial for trial in spec.trials if trial.trial_id not in stopped)
        return spec if len(left) == len(spec.trials) else self._pack_of(left)

    def _places(self, architecture: Architecture) -> int:
        fitting = self._fitting.get(architecture)
        return size_for(self.pack_size, architecture) if fitting is None else fitting

    def _missing(self, spec: PackSpec) -> tuple[Trial, ...]:
        """Without those of which a driver before this one has the row already."""
        return spec.missing(self._known, self._retry)

    def _lose(self, trial: Trial, reason: str) -> None:
        self.outcomes.lose(trial.trial_id, reason)
        if self._suggestions.awaits(trial):
            self._suggestions.tell(trial, Ended(trial.trial_id, "failed", 0, {}, reason))

    def _settle(self, trial: Trial, result: Ended) -> None:
        self.outcomes.keep(result)
        if self._suggestions.awaits(trial):
            self._suggestions.tell(trial, result)
        else:  # the study has grown since it was handed out: it is told when the larger one comes to it
            self._known.add(trial.trial_id)
            self._stored[trial.trial_id] = result
