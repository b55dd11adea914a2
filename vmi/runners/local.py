"""The in-process runner: one pack after another, no Ray. For debugging, and for machines without Ray."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vmi.cost.hardware import own_memory
from vmi.cost.sizing import Room, room_here
from vmi.process.signals import Deferred
from vmi.runners.ledger import Ledger
from vmi.spec.errors import InputError, Problem
from vmi.spec.trial import PackSpec
from vmi.worker.halting import HaltedError
from vmi.worker.messages import Task, Update
from vmi.worker.work import work


class LocalRunner:
    """Runs every pack in this process; an exception in a pack is raised here, where a debugger can see it."""

    def __init__(self, gpus_per_pack: float | None) -> None:
        self._gpus_per_pack = gpus_per_pack

    def workers(self) -> int:
        """One. Raises InputError when a GPU is asked for and there is none."""
        if self._gpus_per_pack and not torch.cuda.is_available():
            raise InputError([Problem("--gpus-per-pack", self._gpus_per_pack, "0: this machine has no GPU")])
        return 1

    def present(self) -> int:
        return 1

    @property
    def device(self) -> str:
        wanted = self._gpus_per_pack is None or self._gpus_per_pack > 0
        return "cuda" if wanted and torch.cuda.is_available() else "cpu"

    def room(self) -> Room:
        """Of this process, or of the GPU that it takes, of which the user may give a share."""
        if self.device == "cpu":
            free = room_here("cpu", 1).free
            # What a worker needs before it trains, this process has already.
            return Room("cpu", None if free is None else free + own_memory())
        free, _ = torch.cuda.mem_get_info()
        return Room("cuda", int(free * (self._gpus_per_pack or 1)))

    def run(
        self,
        ledger: Ledger,
        task_of: Callable[[PackSpec], Task],
        show: Callable[[Update], None],
        spent: Callable[[], bool],
    ) -> None:
        with Deferred() as signals:
            while (spec := ledger.next_pack()) is not None:
                try:
                    for update in work(task_of(spec), halted=lambda: signals.asked() or spent()):
                        ledger.take(update)
                        show(update)
                except HaltedError:
                    if signals.asked():
                        raise signals.error() from None
                    return
            if signals.asked() and not ledger.done:  # while the last pack was committed
                raise signals.error()

    def close(self) -> None:
        """Nothing was started."""
