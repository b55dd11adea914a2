"""Works on a task, as a program, with the real limit of the system on its memory; prints every update as JSON.

    python short_of_memory.py TASK.json AFTER SHARE

After that many updates the address space may grow no more than by SHARE of what a step of the whole pack takes.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from vmi.sweep.task import Task
from vmi.sweep.work import work


def kilobytes(name: str) -> int:
    """A line of /proc/self/status: VmSize is the address space now, VmPeak the most that it was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main(task: Task, after: int, share: float) -> None:
    for number, update in enumerate(work(task), start=1):
        if number == after:
            now, peak = kilobytes("VmSize"), kilobytes("VmPeak")
            limit = now + round(share * (peak - now))
            resource.setrlimit(resource.RLIMIT_AS, (limit * 1024, resource.RLIM_INFINITY))
            print(f"address space {now} of at most {peak} KB, limited to {limit}", file=sys.stderr)
        print(update.to_json(), flush=True)


if __name__ == "__main__":
    main(Task.from_json(Path(sys.argv[1]).read_text()), int(sys.argv[2]), float(sys.argv[3]))
