"""The protocol that both runners keep: where packs run, and how many at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vmi.cost.sizing import Room
from vmi.runners.ledger import Ledger
from vmi.spec.trial import PackSpec
from vmi.worker.messages import Task, Update


class Runner(Protocol):
    """Takes packs from a ledger until that is over, and brings back how their trials ended."""

    def workers(self) -> int:
        """How many packs run at a time. May start what is needed to know; InputError when it cannot be had."""

    def present(self) -> int:
        """How many packs could run at a time now: of a cluster nodes may have gone, or come, since `workers`."""

    @property
    def device(self) -> str:
        """Where a pack trains: "cpu" or "cuda"; known once `workers` was asked."""

    def room(self) -> Room:
        """What one pack has to itself where it trains; known once `workers` was asked."""

    def run(
        self,
        ledger: Ledger,
        task_of: Callable[[PackSpec], Task],
        show: Callable[[Update], None],
        spent: Callable[[], bool],
    ) -> None:
        """Train everything: every update goes to `ledger.take`, then to `show`; a pack that broke to `ledger.lose`.

        Once `spent` says so, which is asked every second or so, whatever runs writes a checkpoint and stops, and the
        packs stay in `ledger.running`.
        """

    def close(self) -> None:
        """Let go of whatever was started."""
