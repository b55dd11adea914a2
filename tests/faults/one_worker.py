"""Works on a task, as a program: prints every update as JSON.

    python one_worker.py TASK.json [MOMENT]

At the moment, one of CALLS, it says "held" and stays there.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from vmi.in_flight.checkpoints import Checkpoints
from vmi.results.store import Store
from vmi.storage.durable import Files
from vmi.training import train
from vmi.worker.messages import Task
from vmi.worker.work import work

# The call at which each moment is: the method or function, and which of its calls.
CALLS: dict[str, tuple[Any, str, int]] = {
    "in mid-epoch": (train, "train_step", 10),
    "in mid-checkpoint": (Checkpoints, "write", 3),
    "after a checkpoint": (Checkpoints, "write", 2),
    "after the commit": (Store, "commit", 1),
}


def hold() -> NoReturn:
    print("held", flush=True)
    while True:
        signal.pause()


def half(_: Files, descriptor: int, data: memoryview) -> NoReturn:
    os.write(descriptor, data[: len(data) // 2])
    hold()


def stay_at(moment: str) -> None:
    owner, name, number = CALLS[moment]
    real, calls = getattr(owner, name), itertools.count(1)

    def called(*given: Any, **named: Any) -> Any:
        there = next(calls) == number
        if there and moment == "in mid-checkpoint":
            setattr(Files, "write", half)  # noqa: B010  mypy knows no other methods
        result = real(*given, **named)
        if there:
            hold()
        return result

    setattr(owner, name, called)


def main(path: Path, *moments: str) -> None:
    for moment in moments:
        stay_at(moment)
    for update in work(Task.from_json(path.read_text())):
        print(update.to_json(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
