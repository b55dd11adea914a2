"""Works on a task, as a program, with the real limit of the system on its address space; prints every update as JSON.

    python short_of_memory.py TASK.json LIMIT

LIMIT is in kilobytes; 0 is none. It holds from before the first step on, until a trial has failed by itself. At the
end the most that the address space was is written to peak.txt, in kilobytes, beside the task.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import scipy.linalg.blas  # OpenBLAS ends the process where it finds no memory for its own buffers: it has them now
import sklearn.cluster  # noqa: F401

from vmi.training import accuracy
from vmi.worker.messages import Task
from vmi.worker.work import work

accuracy.load_libraries()
scipy.linalg.blas.dgemm(1.0, [[1.0]], [[1.0]])


def limit(most_kilobytes: int) -> None:
    most = most_kilobytes * 1024 if most_kilobytes else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def peak() -> str:
    """The most kilobytes that the address space was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("VmPeak:"))


def main(path: Path, most_kilobytes: int) -> None:
    limit(most_kilobytes)
    for update in work(Task.from_json(path.read_text())):
        if "by itself" in update.warning:
            limit(0)
        print(update.to_json(), flush=True)
    path.with_name("peak.txt").write_text(peak())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
