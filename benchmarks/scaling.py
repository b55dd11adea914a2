"""Time and memory against the size of a pack (1 to 64) and the number of trials of a study (50 to 2,000).

    python benchmarks/scaling.py [--trials 50 200 800 2000]

Packs: CPU milliseconds per member-step, and what the process grew by. Studies: sweeps/lambda.py with more seeds and ten
steps a trial, in one process without Ray, so that what is seen is the framework: planning, packs, reports, evaluation,
commits and W&B's files; CPU time of the process and the most memory it held. docs/performance.py draws both.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from cases import CASES
from timing import Action, interleaved, keep

SIZES = (1, 2, 4, 8, 16, 32, 64)
ROOT = Path(__file__).parents[1]


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def most_mb(pid: int) -> float:
    """The most memory that a process has held so far; 0 when it is gone."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1e3 if found else 0.0
    return 0.0


def packs(name: str, rounds: int) -> list[dict[str, object]]:
    """Every size takes its turn in every round. Memory is looked at before, of one pack at a time.

    Sizes ascend, so that growth is a size's own. For the timings the packs of all sizes are there at the same time.
    """
    from vmi.data.dataset import load
    from vmi.training.train import run_steps
    from vmi.worker.work import prepare

    prepare("cpu")
    case = CASES[name]
    dataset = load(case.dataset)
    before, grown = resident_mb(), {}
    for size in SIZES:
        pack = case.pack(size)
        run_steps(pack, dataset, 2)
        grown[size] = resident_mb() - before
        del pack
    made = {size: case.pack(size) for size in SIZES}
    actions = [
        Action(str(size), partial(run_steps, made[size], dataset, case.steps), case.steps * size) for size in SIZES
    ]
    times = {size: 1e3 * statistics.median(seconds) for size, seconds in interleaved(actions, rounds).items()}
    rows = [{"what": name, "x": s, "milliseconds": times[str(s)], "megabytes": grown[s]} for s in SIZES]
    print(*rows, sep="\n", flush=True)
    return rows


def study(trials: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as results:
        command = ["sweeps/lambda.py", "--local", "--steps", "10", "--seeds", str(trials // 10), "--results", results]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=quiet, stderr=quiet)
        # Not by ru_maxrss, which starts at what this process held when it forked.
        megabytes = 0.0
        while process.poll() is None:
            megabytes = most_mb(process.pid) or megabytes
            time.sleep(0.2)
        if process.returncode:
            sys.exit(f"{command}: exit code {process.returncode}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    row = {"what": "study", "x": trials, "milliseconds": 1e3 * cpu / trials, "megabytes": megabytes}
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="*", default=[50, 200, 800, 2000])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = [study(trials) for trials in sorted(given.trials)]
    # A process of its own for each network: memory that was freed stays with its process, and would hide growth.
    for name in ("tiny", "mlp"):
        with ProcessPoolExecutor(1, get_context("spawn")) as own:
            rows += own.submit(packs, name, given.rounds).result()
    print(f"kept in {keep('scaling', {key: [row[key] for row in rows] for key in rows[0]})}")


if __name__ == "__main__":
    main()
