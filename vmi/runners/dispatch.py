"""Packs between the ledger and a runner that names its trials itself: handed out, brought back, tried again, given up.

What a scheduler says comes in as text and numbers, so that none is needed here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from vmi.runners.ledger import Ledger
from vmi.runners.retries import MAX_DEATHS, Death, Retries, death_of
from vmi.spec.trial import PackSpec
from vmi.worker.messages import Task, Update


class Worker(NamedTuple):
    """The process that trains a pack: the scheduler's id of it, its node's, its pid there.

    question: the file on its node by which it is asked to stop.
    """

    worker: str
    node: str
    pid: int
    question: str = ""


class Handing:
    """The packs that are out, by the scheduler's id of the trial that trains each."""

    def __init__(self, ledger: Ledger, task_of: Callable[[PackSpec], Task], show: Callable[[Update], None]) -> None:
        self._ledger, self._task_of, self._show = ledger, task_of, show
        self._packs: dict[str, str] = {}
        self._workers: dict[str, Worker] = {}
        self._retries = Retries()
        self._exhausted: set[str] = set()
        self.broken = False  # an error was raised here, and not by the scheduler
        self.halting = False  # workers are asked to stop: one that ends without a result has written a checkpoint

    @property
    def over(self) -> bool:
        """Nothing more is handed out."""
        return self.halting or self._ledger.over

    @property
    def settled(self) -> int:
        """How many trials have come to an end."""
        return len(self._ledger.outcomes.finished) + len(self._ledger.outcomes.lost)

    def workers(self) -> list[Worker]:
        """Those that train the packs that are out, as far as they have said who they are."""
        return [self._workers[trial_id] for trial_id in self._packs if trial_id in self._workers]

    def next(self, trial_id: str) -> dict[str, Any] | None:
        """What the trial is to do; None when there is nothing now."""
        with self._ours():
            spec = self._ledger.next_pack()
            if spec is None:
                return None
            self._packs[trial_id] = spec.pack_id
            task = replace(self._task_of(spec), exhausted=spec.pack_id in self._exhausted)
            self._exhausted.discard(spec.pack_id)
            return {"pack_id": spec.pack_id, "task": task.to_json()}

    def take(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """What a trial has reported: who trains it, an update, or the error that ended it."""
        if trial_id not in self._packs:
            return
        with self._ours():
            if "error" in result:
                self._lose(trial_id, result["error"])
            elif "update" in result:
                self._update(trial_id, Update.from_json(result["update"]))
            elif "worker" in result:
                self._workers[trial_id] = Worker(*json.loads(result["worker"]))

    def ended(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """The trial is over; its last report may come with it."""
        self.take(trial_id, result)
        if trial_id in self._packs and not self.halting:
            self._lose(trial_id, "it ended without a result")

    def died(self, trial_id: str, death: Death) -> None:
        """The worker of a pack died: the pack goes on from its checkpoint with another one, or is given up."""
        if trial_id not in self._packs:
            return
        pack_id = self._packs[trial_id]
        spec = self._ledger.running[pack_id]
        alone = min(self._ledger.places_of(spec), len(spec.trials)) == 1
        again = self._retries.again(pack_id, death)
        if death is Death.MEMORY and (not alone or not again):
            self._exhausted.add(pack_id)
        elif not again:
            self._lose(trial_id, f"{death.value} {MAX_DEATHS} times without progress")
            return
        self._packs.pop(trial_id)
        self._ledger.give_back(pack_id)
        self._show(Update(pack_id, 0, 1, warning=f"pack {pack_id} restarts from its checkpoint: {death.value}"))

    def halted(self, update: Update) -> None:
        """A worker that was asked to stop has said how far its pack is safe."""
        if update.pack_id in self._packs.values():
            self._ledger.take(update)
            self._show(update)

    def abort(self, said: str) -> None:
        """The scheduler has given up on everything, and no worker is left: every pack that is out is given back."""
        death = death_of(said)
        for trial_id in list(self._packs):
            worker = self._workers.get(trial_id)
            killed = worker is not None and worker.worker in said
            self.died(trial_id, death if killed else Death.TUNE)

    def _update(self, trial_id: str, update: Update) -> None:
        self._retries.note(update.pack_id, update.saved)
        if update.over:
            del self._packs[trial_id]
        self._ledger.take(update)
        self._show(update)

    def _lose(self, trial_id: str, reason: str) -> None:
        pack_id = self._packs.pop(trial_id)
        self._ledger.lose(pack_id, reason)
        self._show(Update(pack_id, 0, 1, warning=f"pack {pack_id} failed: {reason}"))

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        """Whatever is raised inside is an error of the study, and not of the scheduler."""
        try:
            yield
        except Exception:
            self.broken = True
            raise
