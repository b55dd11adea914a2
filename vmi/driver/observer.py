"""What the driver of a study tells others while it runs: its heartbeat, what it has taken, what is to be mirrored."""

from __future__ import annotations

from typing import Any

from vmi.driver.best_models import BestModels
from vmi.driver.tally import Kept
from vmi.mirror.mirror import Mirror
from vmi.monitor.lock import Heartbeat
from vmi.monitor.progress import Display, best_of
from vmi.runners.ledger import Ledger
from vmi.worker.messages import Update


class Driving:
    """Sees every update of a run, after the ledger: passes it on to display, heartbeat, account and mirror."""

    def __init__(
        self,
        ledger: Ledger,
        display: Display,
        heartbeat: Heartbeat,
        kept: Kept,
        mirror: Mirror,
        models: BestModels,
    ) -> None:
        self._ledger, self._display, self._models = ledger, display, models
        self._heartbeat, self._kept, self._mirror = heartbeat, kept, mirror
        heartbeat.note(self.seen())

    def update(self, update: Update) -> None:
        """A pack went on. Raises RuntimeError where another driver has taken this study over."""
        self._display.update(update)
        self._kept.note(update)
        for said in self._mirror.note([*update.stored, *(ended.trial_id for ended in update.ended)]):
            self._display.warn(said)
        if update.pack_id in self._ledger.running:
            trials = self._ledger.running[update.pack_id].trials
            self._mirror.look(update.pack_id, update.saved, [trial.trial_id for trial in trials])
        if update.ended:
            self._models.note(update.ended)
            if said := self._models.thin():
                self._display.warn(said)
        self._ledger.heed()
        self._heartbeat.note(self.seen())
        if self._heartbeat.lost:
            raise RuntimeError("another driver has taken this study over: this one was silent for too long")

    def seen(self) -> dict[str, Any]:
        """What a heartbeat says of the run, as JSON values."""
        ledger, display = self._ledger, self._display
        steps = display.under_way.steps(display.planned, display.rate)
        return {
            "planned": display.planned,
            "finished": ledger.outcomes.safe,
            "reused": ledger.reused,
            "failed": len(ledger.outcomes.failures),
            "running": ledger.in_training,
            "done": display.done,
            "rate": display.rate,
            "steps": steps,
            "best": best_of(ledger),
            "leading": display.under_way.leading(),
            "packs": display.under_way.packs(),
        }
