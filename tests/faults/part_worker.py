"""A worker that is asked to part its pack at a step of its own, and kills itself at the moment that it is told.

python part_worker.py TASK.json MOMENT: one of MOMENTS, or "never".
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmi.in_flight import steering
from vmi.in_flight.checkpoints import Checkpoints
from vmi.in_flight.parting import put_part
from vmi.results.store import Store
from vmi.storage.paths import path_of
from vmi.worker import session
from vmi.worker.messages import Task
from vmi.worker.work import work

MOMENTS = ("asked", "after its checkpoint", "after the first plan", "between the parts", "before it reports")


def killed(*arguments: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at(moment: str) -> Callable[..., Any]:
    """What parts a pack, killed at this moment of it."""
    real, write, plans = session.part, Checkpoints.write, []

    def part(*arguments: Any) -> Any:
        def second(own: Checkpoints, data: bytes) -> str:
            plans.append(own)
            if moment == "after the first plan" or len(plans) == 2:
                killed()
            return write(own, data)

        if moment == "after its checkpoint":
            killed()
        if moment in ("after the first plan", "between the parts"):
            Checkpoints.write = second  # type: ignore[method-assign, assignment]
        found = real(*arguments)
        if moment == "before it reports":
            killed()
        return found

    return part


if __name__ == "__main__":
    task, moment = Task.from_json(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2]
    steering.LOOK_SECONDS = 0.0
    session.part = at(moment)  # type: ignore[attr-defined]
    asked = False
    for update in work(task):
        print(update.to_json(), flush=True)
        if not asked and update.step >= 8:
            asked = True
            put_part(Store(path_of(task.root), task.study), task.pack.pack_id, 2)
            if moment == "asked":
                killed()
