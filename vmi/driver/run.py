"""One run of a study, once all is checked: resume from the store, train what is missing, say how it ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from rich.console import Console

from vmi.cost import sharing
from vmi.cost.cutting import Planner, Prices
from vmi.cost.forecast import PackSeconds, kinds_of
from vmi.cost.measurements import FILE, Costs
from vmi.cost.prediction import Target
from vmi.cost.sizing import Sizing, terms_of
from vmi.driver.best_models import BestModels
from vmi.driver.budget import Budget, deadlines, job_end
from vmi.driver.growing import Growing
from vmi.driver.handing_over import handing_over
from vmi.driver.observer import Driving
from vmi.driver.on_demand import OnDemand
from vmi.driver.options import RunOptions
from vmi.driver.preflight import Wanted, check_rows
from vmi.driver.resuming import is_wider, packs_wanted, to_retry
from vmi.driver.stopping import Stopping
from vmi.driver.summary import (
    Notes,
    fewer,
    interrupted_lines,
    note_lines,
    spent_lines,
    start_line,
    summary_lines,
)
from vmi.driver.tally import Kept
from vmi.driver.tasks import tasks_of
from vmi.in_flight.checkpoints import clear_all
from vmi.mirror.access import Mode
from vmi.mirror.mirror import mirror_of
from vmi.monitor.lock import Heartbeat
from vmi.monitor.progress import Display
from vmi.process.console import say
from vmi.process.signals import terminable, undisturbed
from vmi.results.compaction import compact, finish
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.runners.ledger import Ledger
from vmi.runners.node_check import needs_of
from vmi.runners.runner import Runner
from vmi.runners.watchdog import ClusterLostError
from vmi.search.factory import searcher_for
from vmi.search.trial_count import values_of
from vmi.spec.errors import InputError, Problem, StoreError
from vmi.spec.requests import in_view
from vmi.spec.trial import PackSpec
from vmi.study.study import Study
from vmi.worker.messages import Ended, Update, ended_of
from vmi.worker.takeover import stored_of


class TrialsFailedError(RuntimeError):
    """The run is over, and some of its trials failed or are missing."""


class BudgetSpentError(RuntimeError):
    """The run's hours or trials are used up, and some of the study is left; what was trained is kept."""


class Run:
    """One run of a study. What it needs is started when it is needed first: a finished study starts nothing."""

    def __init__(
        self,
        wanted: Wanted,
        options: RunOptions,
        console: Console,
        again: str,
        store: Store,
        wandb: Mode,
        heartbeat: Heartbeat,
    ) -> None:
        """Raises StoreError when the store is damaged; nothing is started or written."""
        self.options, self.store, self._seen = options, store, store.read_study()
        self.console, self.heartbeat, self.note = console, heartbeat, wandb.note
        self.growing = Growing(store, self._say)
        self.wanted = wanted if options.only else self.growing.start(wanted)
        study = self.study
        self.again = again
        # Reads every table, so that a damaged one is found before anything starts.
        self.attempt = cache(store.next_attempt)
        self.mirror = mirror_of(store, wandb.mode, options.local)
        needs = needs_of(store.root, values_of(study, "dataset"))
        self.on_demand = OnDemand(
            options, self._first, needs, self._say, lambda: sharing.packs_a_gpu(self.study, store.root / FILE)
        )
        self.sizing, self.planner = self._planned()
        self.models = BestModels(study, store, str(options.keep_models))
        until = list(deadlines(options.hours, options.until, time.monotonic, time.time))
        costs = lambda: self.on_demand.costs(store.root)  # noqa: E731
        job, predicted = job_end(os.environ, time.time), PackSeconds(study, costs, self.sizing)
        self.budget = Budget(until, job=job, trials=options.trials, predicted=predicted)
        self.stopping = Stopping(store, self.attempt, heartbeat.acquire, self._mirrored, self._say)
        self.ledger = self._ledger()

    @property
    def study(self) -> Study:
        return self.wanted.study

    @property
    def asked(self) -> dict[str, Any]:
        """What study.json says."""
        return self.wanted.spec

    def _planned(self) -> tuple[Sizing, Planner]:
        """How large its packs may be, and what cuts them."""
        study = self.study

        def costs() -> Costs | None:
            return self.on_demand.costs(self.store.root)

        sizing = Sizing(study, self.options.pack_size, self.on_demand.room, costs)
        self.prices = cache(lambda: Prices(kinds_of(study), costs(), self.on_demand.runner.device))
        return sizing, Planner(self.prices, self.options.prefer)

    def to_its_end(self) -> None:
        """Train what is missing."""
        notes = Notes(self.options, self.asked, len(self.covered), self.stored, self.ledger.outcomes.to_retry)
        self._say(*note_lines(notes, self.heartbeat.taken_over, self.note, self.budget.job))
        if self.options.retry_stopped:
            self.stopping.lift()
        try:
            with terminable():
                self.mirror.begin()
                self._train()
                if not self.budget.is_hurried:
                    self._mirror_all()
        except KeyboardInterrupt:
            self._say(*interrupted_lines(self.ledger, self.asked, self.store, self.again))
            raise
        except ClusterLostError as error:
            lines = interrupted_lines(self.ledger, self.asked, self.store, self.again)
            self._say(f"the Ray cluster is gone: {error}", *lines)
            raise
        finally:
            with undisturbed():
                self.mirror.stop()
                self.on_demand.close()
                self._say(*(f"warning: {said}" for said in self.mirror.close()))
        self._say(*summary_lines(self.ledger, self.store, self.options.retried))
        self._judge()

    def _mirror_all(self) -> None:
        self.mirror.end()
        with undisturbed():
            self.on_demand.close()  # meanwhile the last runs are written
        self.mirror.wait(self._say)

    def _judge(self) -> None:
        """Whether the study is complete. Raises BudgetSpentError, TrialsFailedError."""
        ledger, planned = self.ledger, self.asked["planned"]
        if not ledger.done and (why := self.budget.ended_by(ledger.handed_out)):
            self._say(*spent_lines(why, ledger, self.asked, self.store, self.again))
            if not ledger.outcomes.lost:  # else the next run would lose them again, unheard
                raise BudgetSpentError(why)
        if ledger.outcomes.failures or not ledger.done:
            raise TrialsFailedError(f"{len(ledger.outcomes.failures)} of {planned} trials failed")

    def _first(self) -> None:
        """Before Ray is started, or torch loaded."""
        self.attempt()
        self.mirror.start()  # loads its client while Ray starts

    def _ledger(self) -> Ledger:
        """The study's trials as the store has them; the rows, which may be ten thousand, are let go of here."""
        finished = self.store.finished()
        check_rows(finished.values(), self.store.study)
        own = {row["trial_id"]: row for row in in_view(self.asked, list(finished.values()))}
        self.covered, self.stored = frozenset(own), len(finished)
        retry = to_retry(own, self.options, self.stopping)
        self.models.note(ended_of(row) for i, row in finished.items() if i not in retry)
        # A run of W&B's that is to be written anew is missing only once its trial has ended again.
        self.mirror.finished = finished.keys() - retry.keys()
        return Ledger(
            self.study,
            searcher_for(self.study, seed=0),
            own,
            self._adopt,
            pack_size=self.sizing,
            workers=self.on_demand.workers,
            cut=self.planner,
            under_way=packs_wanted(self.store, self.asked, self.mirror.finished, retry),
            retry=retry,
            choose=self.budget.choose,
            stopper=self.stopping,
            stored_of=self._stored_of,
        )

    def _stored_of(self, spec: PackSpec) -> Mapping[str, Ended]:
        """How those trials of a pack that broke ended which have a row; none where the store can't be read now."""
        with contextlib.suppress(OSError, StoreError):  # other packs go on; the next start finds what there is
            return stored_of(spec, self.store)
        return {}

    def _adopt(self, presets: Mapping[str, str]) -> Mapping[str, Mapping[str, Any]]:
        """Rows of those trials that other studies under the same results have completed, copied and mirrored.

        `presets` has the wanted trials by id, with the preset's name that this study gives each.
        """
        self.heartbeat.acquire()  # from here on this run writes
        if self.options.keep_models != "none":
            return {}  # a trial that another study has finished left no model here: to keep one it is trained
        adopted = set(self.store.adopt(presets, values_of(self.study, "layout"), values_of(self.study, "dataset")[0]))
        if not adopted:
            return {}
        self._mirrored(adopted)
        return {trial_id: row for trial_id, row in self.store.finished().items() if trial_id in adopted}

    def _mirrored(self, trial_ids: Iterable[str]) -> None:
        """These trials have a row by now that is no worker's."""
        ids = sorted(trial_ids)
        self.mirror.renew(ids)
        self._say(*(f"warning: {warning}" for warning in self.mirror.note(ids)))

    def _train(self) -> None:
        """Train everything that is missing; nothing is started or written where nothing is."""
        ledger, store = self.ledger, self.store
        if not ledger.has_work():
            self._nothing_to_train()
            return
        if store.read_study() != self._seen:
            raise InputError([Problem("study", store.study, "no other start of it meanwhile", "start it again")])
        size = self.options.pack_size if isinstance(self.options.pack_size, int) else None
        sharing.check(self.options.gpus_per_pack, self.sizing.room, ledger.ready, size, terms_of(self.study))
        store.write_study(self.asked)
        self.growing.keep()
        for table in TABLES:
            finish(store.folder_of(table), table, store.files)  # what a compaction that was cut short has left
        self._say(start_line(ledger, self.asked, store, self.wanted.grows, len(self.covered), self.options.retried))
        self._say(*(f"warning: {line}" for line in self.sizing.warnings(ledger.ready)))
        self._thin_models()  # what a run that was killed has left
        self._train_on(self.on_demand.runner)
        self._thin_models()
        if is_wider(self.asked):
            with contextlib.suppress(OSError):  # another start may do it
                for table in TABLES:
                    compact(store.folder_of(table), table, store.files)
        if ledger.done and not ledger.outcomes.lost:
            if len(ledger.outcomes.finished) < self.asked["planned"]:
                self._say(f"{fewer(ledger)}: {len(ledger.outcomes.finished)} trials, not {self.asked['planned']}")
            if self._found != self.asked:
                store.write_study(self._found)
            self._clear()

    def _nothing_to_train(self) -> None:
        self._say("nothing to train: every trial of this study is finished")
        if self.store.read_study() != self._found:
            self.store.write_study(self._found)
        self.growing.keep()
        self._thin_models()
        if self.ledger.done:
            self._clear()  # of a driver that was killed after its last commit

    def _clear(self) -> None:
        """Remove all checkpoints; not those of earlier requests that are left aside."""
        if not self.asked.get("only"):
            clear_all(self.store)

    def _thin_models(self) -> None:
        self._say(*(f"warning: {said}" for said in [self.models.thin()] if said))

    def _train_on(self, runner: Runner) -> None:
        ledger = self.ledger
        target = Target(runner.device, runner.workers())
        kept = Kept(self.study, list(ledger.outcomes.finished), self.sizing, target, self.store, self.options.prefer)
        kept.write()
        with Display(ledger, self.asked["planned"], self.console, time.monotonic) as display:
            driving = Driving(ledger, display, self.heartbeat, kept, self.mirror, self.models)

            hand_over = handing_over(
                ledger, self.store, target.workers, lambda: self.prices(), self.budget, self._say, runner.present
            )

            def show(update: Update) -> None:
                hand_over(update)
                driving.update(update)
                self._grow(display)

            def run() -> None:
                attempt, keep_models = self.attempt(), self.options.keep_models != "none"
                now = lambda: self.study  # noqa: E731
                tasks = tasks_of(self.store, now, ledger, attempt, runner.device, keep_models, self.mirror)
                runner.run(ledger, tasks, show, self.budget.spent)

            try:
                run()
                while self._grow(display, now=True):  # what was asked for at the last moment
                    run()
            finally:
                kept.write()

    def _grow(self, display: Display, now: bool = False) -> bool:
        """Take up what other starts have asked for, every few seconds or `now`; whether the study is larger by it."""
        if self.options.only or (more := self.growing.look(self.wanted, now)) is None:
            return False
        self.wanted = more
        self.store.write_study(more.spec)
        self.growing.keep()
        rows = self.store.finished()
        self.covered |= {row["trial_id"] for row in in_view(more.spec, list(rows.values()))}
        self.sizing, self.planner = self.ledger.pack_size, self.ledger.cut = self._planned()
        self.ledger.grow(more.study, searcher_for(more.study, seed=0), rows)
        display.grow(more.spec["planned"])
        self._say(
            f"{self.store.study}: grows: {', '.join(more.grows)}: {more.spec['planned']} trials, as was asked for"
        )
        return True

    @property
    def _found(self) -> dict[str, Any]:
        """What was asked for, with the number of trials that a finished study turned out to have."""
        # Some of the confirmation may have led before the study grew.
        return {**self.asked, "planned": len(self.covered | self.ledger.outcomes.finished.keys())}

    def _say(self, *lines: str) -> None:
        say(self.console, *lines)
