"""Everything about a card in one command: what is to hold there, then how fast it is. WRITTEN, AND NOT RUN: no card.

    python benchmarks/gpu.py [--minutes 9] [--sizes 1 16 64] [--processes 2] [--device cpu]

Needs torch >= 2.11, NumPy and this repository; neither Ray, Optuna, W&B, pytest nor data (random images of the data
sets' shapes: the time does not depend on the pixels). First the checks of `tests/gpu/checks.py`, a line each: captured
steps are launched ones, a member alone is a member of a pack, resuming, memory that ends, bfloat16, evaluation. Then
rows of a table in Markdown: trials an hour of the authors' convolutional nets and of MLPs at their own lengths,
evaluation left out; several packs on the card, a process each; and for each network, precision and pack size
microseconds a member-step, launched one by one and replayed, and the memory that a step takes. A row takes some
seconds; those for which no time is left are named. It exits with 1 where a check has failed. `--device cpu` tries the
program without a card.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from cases import CASES

from tests.gpu.checks import CHECKS
from vmi.data.dataset import Dataset, Split
from vmi.spec.config import TrialConfig
from vmi.spec.datasets import spec_of
from vmi.spec.reports import LEAST_STEPS
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training.cuda_graph import has_graph, reasons
from vmi.training.pack import Pack
from vmi.training.precision import tf32
from vmi.training.train import launch_steps, run_steps

AUTHORS = "authors"
# About how long one timing takes.
SECONDS = 1.5


def random_images(name: str, device: str) -> Dataset:
    spec, generator = spec_of(name), torch.Generator().manual_seed(0)
    pixels = torch.randint(0, spec.levels + 1, (spec.train_count, spec.pixels), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(spec.train_count, dtype=torch.int64)
    return Dataset(spec, Split(pixels, labels), Split(pixels[:100], labels[:100])).to(torch.device(device))


def dataset_of(name: str) -> str:
    return "mnist" if name == AUTHORS else CASES[name].dataset


def config_of(name: str, seed: int, precision: str) -> TrialConfig:
    if name == AUTHORS:
        return resolve({"preset": AUTHORS, "dataset": "mnist", "seed": seed, "precision": precision})
    return CASES[name].config(seed, precision=precision)


def pack_of(name: str, size: int, precision: str, device: str) -> Pack:
    configs = [config_of(name, seed, precision) for seed in range(size)]
    made = Pack([Trial(c.trial_id, c.suggestion_id, c) for c in configs], device)
    made.train_mode(True)
    return made


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def step_seconds(run: Callable[[int], None], device: str) -> float:
    """Of one step: as many as take about SECONDS, between two synchronisations, after some that warm up."""
    run(LEAST_STEPS)
    count, taken = LEAST_STEPS, 0.0
    while taken < SECONDS / 3:
        if taken:
            count = max(2 * count, int(count * SECONDS / taken))
        synchronize(device)
        before = time.perf_counter()
        run(count)
        synchronize(device)
        taken = time.perf_counter() - before
    return taken / count


def compared(name: str, size: int, precision: str, device: str) -> str:
    dataset = random_images(dataset_of(name), device)
    eager, replaying = (pack_of(name, size, precision, device) for _ in range(2))
    eager_us = step_seconds(partial(launch_steps, eager, dataset), device) * 1e6 / size
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if device == "cuda" else 0
    graph_us = step_seconds(partial(run_steps, replaying, dataset), device) * 1e6 / size
    # Beyond what the packs themselves hold, which are there already.
    held = (torch.cuda.max_memory_allocated() - before) / 1e6 if device == "cuda" else 0.0
    if device == "cuda" and not has_graph(replaying):
        return f"{eager_us:.1f} us launched; not replayed: {'; '.join(reasons()) or 'as said above'}"
    return f"{eager_us:.1f} us launched, {graph_us:.1f} us replayed ({eager_us / graph_us:.2f}x); {held:.0f} MB"


def worker(name: str, size: int, steps: int, device: str) -> None:
    """Says when it is ready, waits for a line, and prints the seconds that its steps took."""
    tf32(False)
    dataset, pack = random_images(dataset_of(name), device), pack_of(name, size, "float32", device)
    run_steps(pack, dataset, LEAST_STEPS)
    synchronize(device)
    print("ready", flush=True)
    sys.stdin.readline()
    before = time.perf_counter()
    run_steps(pack, dataset, steps)
    synchronize(device)
    print(time.perf_counter() - before, flush=True)


def shared(name: str, size: int, processes: int, steps: int, device: str) -> str:
    """Member-steps a second of so many packs at the same time on one card, each in a process of its own."""
    given = ["--worker", name, "--sizes", str(size), "--steps", str(steps), "--device", device]
    started = [
        subprocess.Popen([sys.executable, __file__, *given], stdin=-1, stdout=-1, text=True) for _ in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None and process.stdout.readline().strip() == "ready"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        took = [float(process.communicate()[0]) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return f"{processes * size * steps / max(took):.0f} member-steps a second"


def an_hour(name: str, size: int, precision: str, device: str) -> str:
    """Trials at their own length that one card trains in an hour, evaluation left out."""
    length = config_of(name, 0, precision).steps if name == AUTHORS else resolve({"dataset": dataset_of(name)}).steps
    dataset, pack = random_images(dataset_of(name), device), pack_of(name, size, precision, device)
    taken = step_seconds(partial(run_steps, pack, dataset), device)
    return f"{3600 / (taken * length) * size:.2f} trials of {length} steps an hour"


def rows(sizes: list[int], processes: int, steps: int, device: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """What a row is of, and what measures it: what matters most comes first."""
    most = max(sizes)
    for name, (label, precision, allowed) in itertools.product((AUTHORS, "mlp"), PRECISIONS):
        for size in sorted({min(16, most), most}) if name == "mlp" else sorted({1, min(16, most)}):
            yield f"{name} | {label} | {size}", with_tf32(allowed, partial(an_hour, name, size, precision, device))
    for name, count in itertools.product(CASES, range(1, processes + 1)):
        size = max(1, min(16, most) // count)
        label = f"{name}, {count} at a time | float32 | {size}"
        yield label, with_tf32(False, partial(shared, name, size, count, steps, device))
    for name, (label, precision, allowed), size in itertools.product((*CASES, AUTHORS), PRECISIONS, sizes):
        yield f"{name} | {label} | {size}", with_tf32(allowed, partial(compared, name, size, precision, device))


def with_tf32(allowed: bool, measured: Callable[[], str]) -> Callable[[], str]:
    def set_first() -> str:
        tf32(allowed)
        return measured()

    return set_first


def checked(device: str) -> list[str]:
    """Run every check, a line each; those that have failed."""
    tf32(False)
    failed = []
    for check in CHECKS:
        began = time.monotonic()
        try:
            said = check(device)
        except Exception as error:  # a check that fails is no reason to skip the others
            failed.append(check.__name__)
            said = f"FAILED: {type(error).__name__}: {error}"
            traceback.print_exc()
        print(f"{check.__name__.replace('_', ' ')}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    return failed


# In words, as a precision of the networks, and whether TF32 is allowed.
PRECISIONS = (("float32", "float32", False), ("tf32", "float32", True), ("bfloat16", "bfloat16", False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="no row begins later than this")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--steps", type=int, default=200, help="of packs that share the card")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given, began = parser.parse_args(), time.monotonic()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here")
    if given.worker:
        worker(given.worker, given.sizes[0], given.steps, given.device)
        return
    card = torch.cuda.get_device_name() if given.device == "cuda" else "CPU, no card"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {card}, torch {torch.__version__}", flush=True)
    failed, left_out = checked(given.device), []
    print("\n| network | precision | pack of | |\n|---|---|---|---|", flush=True)
    for label, measured in rows(given.sizes, given.processes, given.steps, given.device):
        if time.monotonic() - began > 60 * given.minutes:
            left_out.append(label)
            continue
        try:
            said = measured()
        except Exception as error:  # one pack that does not fit is a row that says so
            said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        print(f"| {label} | {said} |", flush=True)
    if left_out:
        print(f"\nno time was left for {len(left_out)} rows: {'; '.join(left_out)}")
    if failed:
        sys.exit(f"\nFAILED: {', '.join(failed)}")


if __name__ == "__main__":
    main()
