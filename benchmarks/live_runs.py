"""What W&B runs that are live cost a study: the same run with none, online here, and online in another checkout.

    python benchmarks/live_runs.py [--against CHECKOUT] [--members 32] [--steps 3000] [--rounds 3] [--seconds 5]

They take turns, each in processes of its own with `--local`, against a W&B server on loopback in this one: one pack of
digits that writes a checkpoint every `--seconds`. Prints medians of the wall time and of the CPU time of all processes
of a run (sampled, so without the last fraction of a second), and both as ratios to the run without W&B.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).parents[1]
STUDY = """
import vmi

space = {{"mi_weight": vmi.choice(0, 4)}}
study = vmi.Study(name="live", fixed={{"steps": {steps}}}, space=space, seeds=range({seeds}))
if __name__ == "__main__":
    vmi.main(study)
"""
SAMPLE_SECONDS = 0.2


class Spent(NamedTuple):
    """Seconds of one run."""

    wall: float
    cpu: float


def spent(folder: Path, checkout: Path, mode: str, url: str, seconds: float) -> Spent:
    """Run the study in the folder with the code of a checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment = clean | {
        "PYTHONPATH": str(checkout), "WANDB_MODE": mode, "WANDB_BASE_URL": url, "WANDB_API_KEY": "0" * 40,
        "HOME": str(folder), "VMI_CHECKPOINT_SECONDS": str(seconds),
    }  # fmt: skip
    results = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, str(folder / "study.py"), "--local", "--results", results]
    began, cpu = time.monotonic(), dict[int, float]()
    run = psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while run.poll() is None:
        for process in [run, *run.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            cpu[process.pid] = times.user + times.system
        time.sleep(SAMPLE_SECONDS)
    assert run.returncode == 0
    return Spent(time.monotonic() - began, sum(cpu.values()))


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from support.wandb_server import serving

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    for name, default in (("members", 32), ("steps", 3000), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    ways = {"without W&B": (ROOT, "disabled"), "online": (ROOT, "online")}
    if given.against:
        ways["online, the other checkout"] = (given.against.absolute(), "online")
    found: dict[str, list[Spent]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "study.py").write_text(STUDY.format(steps=given.steps, seeds=given.members // 2))
        for _ in range(given.rounds):
            for way, (checkout, mode) in ways.items():
                with serving() as backend:
                    found[way].append(spent(Path(folder), checkout, mode, backend.url, given.seconds))
                print(f"{way:30} {found[way][-1]}", flush=True)
    base = found["without W&B"]
    for way, runs in found.items():
        wall, cpu = (statistics.median(getattr(run, name) for run in runs) for name in Spent._fields)
        ratios = [statistics.median(getattr(r, n) for r in runs) / statistics.median(getattr(r, n) for r in base)
                  for n in Spent._fields]  # fmt: skip
        print(f"{way:30} wall {wall:6.1f} s ({ratios[0]:.3f})  CPU {cpu:6.1f} s ({ratios[1]:.3f})", flush=True)


if __name__ == "__main__":
    main()
