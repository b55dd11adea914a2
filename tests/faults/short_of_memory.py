"""Works on a task, as a program, with the real limit of the system on its memory; prints every update as JSON.

    python short_of_memory.py TASK.json AFTER UNTIL

After so many updates the address space may hardly grow any more, until an update is on UNTIL places or, where that
is 0, says that a trial has failed by itself.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import scipy.linalg.blas  # OpenBLAS ends the process where it finds no memory for its own buffers: it has them now

from vmi.sweep import work as working
from vmi.sweep.task import Task, Update
from vmi.sweep.work import work

# As where the C library is not glibc: what is freed goes back to the system, so that the limit can be met again.
working.keep_freed_memory = lambda: None
scipy.linalg.blas.dgemm(1.0, [[1.0]], [[1.0]])

# Of what a step of the whole pack takes on top: far too little for half of it as well.
SHARE = 0.3


def kilobytes(name: str) -> int:
    """A line of /proc/self/status: VmSize is the address space now, VmPeak the most that it was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def limit(most_kilobytes: int | None) -> None:
    most = resource.RLIM_INFINITY if most_kilobytes is None else most_kilobytes * 1024
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def is_enough(update: Update, until: int) -> bool:
    return update.places == until if until else "by itself" in update.warning


def main(task: Task, after: int, until: int) -> None:
    for number, update in enumerate(work(task), start=1):
        if is_enough(update, until):
            limit(None)
        elif number == after:
            now = kilobytes("VmSize")
            limit(now + round(SHARE * (kilobytes("VmPeak") - now)))
        print(update.to_json(), flush=True)


if __name__ == "__main__":
    main(Task.from_json(Path(sys.argv[1]).read_text()), int(sys.argv[2]), int(sys.argv[3]))
