"""What a kill costs a training of real length: the work lost at each of some random moments, and whether the end is
bitwise that of an uninterrupted run.

python benchmarks/interruptions.py [--ray] [--steps 3000] [--kills 10] [--terms 3] [--seed 0] [--folder FOLDER]
Needs MNIST (VMI_DATA_DIR). By default four conv trials of some ten minutes in one process.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vmi.monitor import lock
from vmi.results.store import Store
from vmi.training import checkpoint

STUDY = """
import vmi

study = vmi.Study(
    name="long",
    fixed={{"dataset": "mnist", "layout": "n16+c10*", "network": "conv", "hidden": "16-32-64", "steps": {steps}}},
    space={{"mi_weight": vmi.choice(0, 8)}},
    seeds=range(2),
    metric="accuracy_majority",
    direction="maximize",
)
if __name__ == "__main__":
    vmi.main(study)
"""
# What rows say of where and when, and not of what came out.
COSTS = {"train_seconds", "pack_id", "pack_size", "attempt", "finished_at", "study"}


class Runs:
    """Runs of the study in a folder, each in a process of its own."""

    def __init__(self, folder: Path, steps: int, ray: bool) -> None:
        self.folder, self.root = folder, folder / "results"
        self.study = folder / "long.py"
        self.study.parent.mkdir(parents=True, exist_ok=True)
        self.study.write_text(STUDY.format(steps=steps), encoding="utf-8")
        how = ["--address", "local", "--pack-size", "2"] if ray else ["--local"]
        self.command = [sys.executable, str(self.study), "--results", str(self.root), "--gpus-per-pack", "0", *how]

    def start(self) -> subprocess.Popen[bytes]:
        out = (self.folder / "out.txt").open("ab")
        environment = os.environ | {"WANDB_MODE": "disabled"}
        return subprocess.Popen(self.command, stdout=out, stderr=out, env=environment, start_new_session=True)

    def said(self) -> str:
        return (self.folder / "out.txt").read_text(encoding="utf-8", errors="replace")

    def saved(self) -> float | None:
        """When the oldest of the packs' newest checkpoints was written."""
        newest = [max((p.stat().st_mtime for p in pack.glob("*.pt")), default=None) for pack in self._packs()]
        found = [time for time in newest if time is not None]
        return min(found) if found and len(found) == len(newest) else None

    def steps(self) -> tuple[int, int]:
        """The least step of any member in the newest checkpoints, and the last one that the driver has said."""
        newest = [max(pack.glob("*.pt"), default=None) for pack in self._packs()]
        saved = [min(checkpoint.Saved(path.read_bytes()).steps.values()) for path in newest if path]
        heard = lock.read(self.root / "long", time.time())
        said = [pack["step"] for pack in heard.content.get("packs", ())] if heard else []
        return min(saved, default=0), min(said, default=0)

    def _packs(self) -> list[Path]:
        return [*(self.root / "long" / "checkpoints").glob("*")]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        store = Store(self.root, "long")
        found = {}
        for table in ("trials", "curves", "arrays"):
            rows = store.read(table).checked().to_pylist()
            kept = [{k: v for k, v in row.items() if k not in COSTS} for row in rows]
            found[table] = sorted(kept, key=lambda row: (row["trial_id"], row.get("step", 0)))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--terms", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="vmi-interruptions-"))
    whole = Runs(folder / "whole", given.steps, given.ray)
    began = time.time()
    if whole.start().wait() != 0:
        sys.exit(whole.said())
    took = time.time() - began
    print(f"uninterrupted: {took:.0f} s", flush=True)
    cut = Runs(folder / "cut", given.steps, given.ray)
    numbers = [signal.SIGKILL] * given.kills + [signal.SIGTERM] * given.terms
    draw = random.Random(given.seed)
    draw.shuffle(numbers)
    for number in numbers:
        _interrupt(cut, number, draw.uniform(0.05, 1.5) * took / len(numbers))
    began = time.time()
    code = cut.start().wait()
    print(f"then to its end in {time.time() - began:.0f} s, exit {code}; ", end="")
    print(f"rows bitwise those of the uninterrupted run: {cut.rows() == whole.rows()}; {folder}")


def _interrupt(runs: Runs, number: signal.Signals, seconds: float) -> None:
    """Start the study, send the signal some time later, and print what that cost."""
    before, started = runs.saved(), time.time()
    process = runs.start()
    time.sleep(seconds)
    sent, (_, said) = time.time(), runs.steps()
    if number is signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    code = process.wait()
    ended, saved = time.time(), runs.saved()
    fresh = saved is not None and saved != before
    lost = ended - saved if fresh and saved is not None else ended - started
    of = "since its checkpoint" if fresh else "since it was started: no checkpoint yet"
    print(f"{number.name} after {sent - started:5.1f} s: over in {ended - sent:4.1f} s, exit {code}; ", end="")
    print(f"{max(lost, 0.0):4.1f} s lost {of}; step {runs.steps()[0]} saved, {said} heard of", flush=True)


if __name__ == "__main__":
    main()
