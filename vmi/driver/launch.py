"""Run a study from its declaration to its exit code: check everything, resume from the store, run, say how it ended."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from rich.console import Console

from vmi.cost.prediction import Target
from vmi.cost.sizing import Sizing
from vmi.driver.best_models import BestModels
from vmi.driver.lock import Heartbeat
from vmi.driver.observer import Driving
from vmi.driver.on_demand import OnDemand
from vmi.driver.options import RunOptions
from vmi.driver.own_data import own_data
from vmi.driver.preflight import Wanted, check, check_rows
from vmi.driver.progress import Display
from vmi.driver.pruning import pruning_of
from vmi.driver.summary import fewer, interrupted_lines, start_line, summary_lines
from vmi.driver.tally import Kept
from vmi.mirror.access import Mode
from vmi.mirror.mirror import mirror_of
from vmi.process.console import say
from vmi.process.scratch import scratch
from vmi.process.signals import exit_code, terminable, undisturbed
from vmi.results.checkpoints import clear_all
from vmi.results.compaction import finish
from vmi.results.rows import failed_attempts
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.runners.ledger import Ledger
from vmi.runners.node_check import needs_of
from vmi.runners.runner import Runner
from vmi.runners.watchdog import ClusterLostError
from vmi.search.factory import searcher_for
from vmi.search.leading import compared_by
from vmi.search.trial_count import values_of
from vmi.spec.datasets import data_folder
from vmi.spec.requests import in_view
from vmi.spec.trial import PackSpec
from vmi.storage.paths import AnyPath
from vmi.study.study import Study
from vmi.worker.messages import Task, checkpoint_seconds, ended_of
from vmi.worker.takeover import packs_under_way

OK, FAILED = 0, 1
_RUNNING = threading.Lock()


def launch(study: Study, options: RunOptions, console: Console) -> int:
    """As `drive`; the exit code: 0 only when planned = finished + reused, 1 when trials failed, else what ended it."""
    try:
        drive(study, options, console, shlex.join(["python", *sys.argv]))
    except KeyboardInterrupt as error:
        return exit_code(error)
    except (TrialsFailedError, ClusterLostError):
        return FAILED
    return OK


def drive(study: Study, options: RunOptions, console: Console, again: str) -> AnyPath:
    """Run what is missing of the study as the options want it, and say how it went; the study's folder.

    `again` is what resumes it, should it be interrupted.

    Raises InputError before anything is started or written, StoreError when the store is damaged, and once it was said
    what is finished: TrialsFailedError, ClusterLostError, KeyboardInterrupt (TerminatedError after SIGTERM).
    """
    study, unknown = options.applied(study)
    options = replace(options, usage=(*options.usage, *unknown))
    store, wanted, wandb = check(study, options, os.environ)
    with _alone(console), scratch(), Heartbeat(store.folder, store.study) as heartbeat:
        _Run(wanted, options, console, again, store, wandb, heartbeat).to_its_end()
    return store.folder


@contextlib.contextmanager
def _alone(console: Console) -> Iterator[None]:
    """One run at a time, whichever thread asks: TMPDIR, Ray's session and torch's threads are the whole process's."""
    if _RUNNING.locked():
        say(console, "note: waiting for another run of this process to end")
    with _RUNNING:
        yield


class TrialsFailedError(RuntimeError):
    """The run is over, and some of its trials failed or are missing."""


class _Run:
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
        study = self.study = wanted.study
        self.options, self.store, self.asked, self.grows = options, store, wanted.spec, wanted.grows
        self.console, self.heartbeat, self.note = console, heartbeat, wandb.note
        self.again = again
        # Reads every table, so that a damaged one is found before anything starts.
        self.attempt = cache(store.next_attempt)
        self.mirror = mirror_of(store, wandb.mode, options.local)
        needs = needs_of(store.root, values_of(study, "dataset"))
        self.on_demand = OnDemand(options, self._first, needs, self._say)
        costs = lambda: self.on_demand.costs(store.root)  # noqa: E731
        self.sizing = Sizing(study, options.pack_size, self.on_demand.room, costs)
        self.models = BestModels(study, store, str(options.keep_models))
        self.ledger = self._ledger()

    def to_its_end(self) -> None:
        """Train what is missing."""
        self._say(*self._notes())
        try:
            with terminable():
                self.mirror.begin()
                self._train()
                self.mirror.end()
                with undisturbed():
                    self.on_demand.close()  # meanwhile the last runs are written
                self.mirror.wait(self._say)
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
        self._say(*summary_lines(self.ledger, self.store))
        if self.ledger.failures() or not self.ledger.done:
            raise TrialsFailedError(f"{len(self.ledger.failures())} of {self.asked['planned']} trials failed")

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
        self.models.note(map(ended_of, finished.values()))
        retry = failed_attempts(own.values()) if self.options.retry_failed else {}
        # A run of W&B's that is to be written anew is missing only once its trial has ended again.
        self.mirror.finished = finished.keys() - retry.keys()
        return Ledger(
            self.study,
            searcher_for(self.study, seed=0),
            own,
            self._adopt,
            pack_size=self.sizing,
            workers=self.on_demand.workers,
            under_way=filter(self._is_wanted, packs_under_way(self.store, self.mirror.finished, retry)),
            retry=retry,
        )

    def _is_wanted(self, pack: PackSpec) -> bool:
        """Whether a pack that was cut short is of what is asked for now, all of it."""
        rows = [{**vars(t.config), "trial_id": t.trial_id, "suggestion_id": t.suggestion_id} for t in pack.trials]
        return len(in_view(self.asked, rows)) == len(rows)

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
        self._say(*(f"warning: {warning}" for warning in self.mirror.note(sorted(adopted))))
        return {trial_id: row for trial_id, row in self.store.finished().items() if trial_id in adopted}

    def _notes(self) -> Iterator[str]:
        if dead := self.heartbeat.taken_over:
            yield f"note: took over the stale lock of {dead}"
        if self.note:
            yield f"note: {self.note}"
        if self.asked.get("only") and (more := self.stored - len(self.covered)):
            yield f"note: this request alone (--only); {more} more trial{'s' if more != 1 else ''} of others are stored"
        if self.options.keep_models != "none" and self.ledger.reused:
            yield "note: finished trials are not trained again, so no model of theirs is added"
        if self.options.retry_failed and not self.ledger.to_retry:
            yield "note: nothing to retry: no trial of this study has failed"

    def _train(self) -> None:
        """Train everything that is missing; nothing is started or written where nothing is."""
        ledger, store = self.ledger, self.store
        if not ledger.has_work():
            self._nothing_to_train()
            return
        store.write_study(self.asked)
        for table in TABLES:
            finish(store.folder_of(table), table, store.files)  # what a compaction that was cut short has left
        self._say(start_line(ledger, self.asked, store, self.grows, len(self.covered)))
        self._say(*(f"warning: {line}" for line in self.sizing.warnings(ledger.ready)))
        self._thin_models()  # what a run that was killed has left
        self._train_on(self.on_demand.runner)
        self._thin_models()
        if ledger.done and not ledger.lost:
            if len(ledger.finished) < self.asked["planned"]:
                self._say(f"{fewer(ledger)}: {len(ledger.finished)} trials, not {self.asked['planned']}")
            if self._found != self.asked:
                store.write_study(self._found)
            self._clear()

    def _nothing_to_train(self) -> None:
        self._say("nothing to train: every trial of this study is finished")
        if self.store.read_study() != self._found:
            self.store.write_study(self._found)
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
        ledger, planned = self.ledger, self.asked["planned"]
        target = Target(runner.device, runner.workers())
        kept = Kept(self.study, list(ledger.finished), ledger.pack_size, target, self.store)
        kept.write()
        with Display(ledger, planned, self.console, time.monotonic) as display:
            driving = Driving(ledger, planned, display, self.heartbeat, kept, self.mirror, self.models)
            try:
                runner.run(ledger, self._tasks_on(runner.device), driving.update)
            finally:
                kept.write()

    def _tasks_on(self, device: str) -> Callable[[PackSpec], Task]:
        """What a worker is told of a pack."""
        layouts, folder = values_of(self.study, "layout"), str(data_folder().absolute())
        attempt, seconds = self.attempt(), checkpoint_seconds(os.environ)

        def task_of(pack: PackSpec) -> Task:
            self.mirror.renew(pack.retried)
            return Task(
                pack=pack,
                root=str(self.store.root),
                study=self.study.name,
                layouts=layouts,
                attempt=attempt,
                device=device,
                data_folder=folder,
                own_data=own_data(pack.trials[0].config.dataset),
                keep_models=self.options.keep_models != "none",
                places=self.ledger.places_of(pack),
                pruning=pruning_of(self.study, self.store, pack),
                checkpoint_seconds=seconds,
                compared_by=compared_by(self.study),
            )

        return task_of

    @property
    def _found(self) -> dict[str, Any]:
        """What was asked for, with the number of trials that a finished study turned out to have."""
        # Some of the confirmation may have led before the study grew.
        return {**self.asked, "planned": len(self.covered | self.ledger.finished.keys())}

    def _say(self, *lines: str) -> None:
        say(self.console, *lines)
