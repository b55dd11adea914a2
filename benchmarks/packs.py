"""CPU milliseconds per member-step of a pack, against the plain way, interleaved A B A B in one process.

    python benchmarks/packs.py [digits|mnist]

One thread; medians over rounds; a ratio above 1 says how much more training the same CPU time gives in a pack.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

from plain import train_plain

from vmi import data
from vmi.config import resolve
from vmi.data import Dataset
from vmi.pack import Pack
from vmi.sweep.work import prepare
from vmi.train import train
from vmi.trial import Trial

ROUNDS, STEPS, SIZES = 5, 20, (1, 4, 16)


def pack_of(size: int, name: str) -> Pack:
    configs = [resolve({"dataset": name, "seed": seed, "steps": STEPS}) for seed in range(size)]
    return Pack([Trial(c.trial_id, c.suggestion_id, c) for c in configs])


def run_pack(size: int, dataset: Dataset) -> None:
    for _ in train(pack_of(size, dataset.spec.name), dataset):
        pass


def run_plain(dataset: Dataset) -> None:
    c = resolve({"dataset": dataset.spec.name})
    train_plain(dataset, c.architecture.widths, c.likelihood_variance, c.learning_rate, c.batch_size, STEPS)


def cpu_ms(action: Callable[[], None], members: int) -> float:
    before = time.process_time()
    action()
    return (time.process_time() - before) * 1e3 / STEPS / members


def main(name: str) -> None:
    prepare("cpu")
    dataset = data.load(name)
    actions = {"plain": (partial(run_plain, dataset), 1)}
    actions |= {f"pack of {size}": (partial(run_pack, size, dataset), size) for size in SIZES}
    times: dict[str, list[float]] = {label: [] for label in actions}
    for _ in range(ROUNDS + 1):
        for label, (action, members) in actions.items():
            times[label].append(cpu_ms(action, members))
    medians = {label: statistics.median(values[1:]) for label, values in times.items()}
    print(f"{name}, one thread, CPU ms per member-step, median of {ROUNDS} rounds of {STEPS} steps")
    for label, value in medians.items():
        print(f"  {label:<12} {value:8.2f}   {medians['plain'] / value:5.1f}x")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "digits")
