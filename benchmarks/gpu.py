"""Packs on a CUDA device: steps launched one by one beside replayed graphs. WRITTEN, AND NOT RUN: no GPU was at hand.

    python benchmarks/gpu.py [--sizes 1 4 16 64] [--steps 200] [--processes 2] [--device cpu]

Needs torch >= 2.11, NumPy and this repository on PYTHONPATH; neither Ray, Optuna, W&B nor data (random images of the
data sets' shapes: the time does not depend on the pixels). For each network, precision, TF32 off and on, and pack size
it prints microseconds per member-step, launched one by one and captured (`vmi.training.cuda_graph`), what of the
card's memory was allocated at most, and whether both ended in the same bits, else by how much they differ; then the
same members in several packs, one process each, on the same card; then trials an hour of the authors' nets at their
own length, and of the MLP at its own. `--device cpu` tries the program where there is no card: nothing is captured
there.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import torch
from cases import CASES

from vmi.data.dataset import Dataset, Split
from vmi.spec.config import TrialConfig
from vmi.spec.datasets import spec_of
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training import cuda_graph
from vmi.training.pack import Pack
from vmi.training.step import train_step
from vmi.training.train import run_steps

AUTHORS = "authors"
WARM = 10


def random_images(name: str, device: str) -> Dataset:
    spec, generator = spec_of(name), torch.Generator().manual_seed(0)
    pixels = torch.randint(0, spec.levels + 1, (spec.train_count, spec.pixels), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(spec.train_count, dtype=torch.int64)
    return Dataset(spec, Split(pixels, labels), Split(pixels[:100], labels[:100])).to(torch.device(device))


def config_of(name: str, seed: int, precision: str) -> TrialConfig:
    if name == AUTHORS:
        return resolve({"preset": AUTHORS, "dataset": "mnist", "seed": seed, "precision": precision})
    return CASES[name].config(seed, precision=precision)


def pack_of(name: str, size: int, precision: str, device: str) -> Pack:
    configs = [config_of(name, seed, precision) for seed in range(size)]
    made = Pack([Trial(c.trial_id, c.suggestion_id, c) for c in configs], device)
    made.train_mode(True)
    return made


def tf32(allowed: bool) -> None:
    """For matrix products and convolutions alike: PyTorch allows it for the latter by default."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def one_by_one(pack: Pack, dataset: Dataset, count: int) -> None:
    for _ in range(count):
        images_KBD = dataset.images(dataset.train, pack.minibatches.next().to(pack.device), pack.dtype)
        pack.window.add(train_step(pack, images_KBD, pack.noise()))


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(run: Callable[[int], None], steps: int, device: str) -> float:
    """Between two synchronisations, after some steps that make what the first ones need."""
    run(max(WARM, cuda_graph.LEAST_STEPS))
    synchronize(device)
    before = time.perf_counter()
    run(steps)
    synchronize(device)
    return time.perf_counter() - before


def compared(name: str, size: int, precision: str, steps: int, device: str) -> str:
    dataset = random_images("mnist" if name == AUTHORS else CASES[name].dataset, device)
    eager, replaying = (pack_of(name, size, precision, device) for _ in range(2))
    eager_us = seconds(lambda count: one_by_one(eager, dataset, count), steps, device) * 1e6 / steps / size
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if device == "cuda" else 0
    graph_us = seconds(lambda count: run_steps(replaying, dataset, count), steps, device) * 1e6 / steps / size
    # Beyond what the packs themselves hold, which are there already.
    held = (torch.cuda.max_memory_allocated() - before) / 1e6 if device == "cuda" else 0.0
    return (
        f"eager {eager_us:9.1f} us  captured {graph_us:9.1f} us  {eager_us / graph_us:5.2f}x  {held:8.0f} MB  "
        f"{difference(eager, replaying)}"
    )


def difference(one: Pack, other: Pack) -> str:
    """Between the parameters: in bits, and where these differ, of the largest against the largest parameter."""
    a, b = (pack.vae_adam.flat_KP for pack in (one, other))
    if torch.equal(a, b):
        return "same bits"
    apart = float((a - b).abs().max() / a.abs().max())
    return f"differ by {apart:.1e} of the largest parameter{'' if apart <= 1e-5 else ', MORE THAN 1e-5'}"


def worker(name: str, size: int, precision: str, steps: int, device: str) -> None:
    """Says when it is ready, waits for a line, and prints the seconds that its steps took."""
    dataset = random_images("mnist" if name == AUTHORS else CASES[name].dataset, device)
    pack = pack_of(name, size, precision, device)
    run_steps(pack, dataset, max(WARM, cuda_graph.LEAST_STEPS))
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
    for process in started:
        assert process.stdout is not None and process.stdout.readline().strip() == "ready"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    took = [float(process.communicate()[0]) for process in started]
    return f"{processes} x pack of {size:<4} {processes * size * steps / max(took):12.0f} member-steps a second"


def an_hour(name: str, size: int, precision: str, steps: int, device: str) -> str:
    """Trials at their own length that one card trains in an hour, evaluation left out."""
    length = config_of(name, 0, precision).steps if name == AUTHORS else resolve({"dataset": CASES[name].dataset}).steps
    dataset, pack = random_images("mnist", device), pack_of(name, size, precision, device)
    taken = seconds(lambda count: run_steps(pack, dataset, count), steps, device)
    return f"{3600 / (taken / steps * length) * size:12.2f} trials of {length} steps an hour"


def lines(sizes: list[int], steps: int, processes: int, device: str) -> Iterator[str]:
    for name, allowed, precision, size in itertools.product((*CASES, AUTHORS), (False, True), PRECISIONS, sizes):
        if allowed and precision == "bfloat16":
            continue
        tf32(allowed)
        label = "tf32" if allowed else precision
        yield f"{name:<8} {label:<9} pack of {size:<4} {compared(name, size, precision, steps, device)}"
    tf32(False)
    for name in CASES:
        for count in range(1, processes + 1):
            yield f"{name:<8} float32   {shared(name, max(sizes) // count or 1, count, steps, device)}"
    for name, allowed, precision in itertools.product((AUTHORS, "mlp"), (False, True), PRECISIONS):
        tf32(allowed)
        size = max(sizes) if name == "mlp" else min(16, max(sizes))
        label = f"{precision}{', tf32' if allowed else ''}"
        yield f"{name:<8} {label:<15} pack of {size:<4} {an_hour(name, size, precision, steps, device)}"


PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here")
    if given.worker:
        worker(given.worker, given.sizes[0], "float32", given.steps, given.device)
        return
    named = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    print(named, "torch", torch.__version__, flush=True)
    for line in lines(given.sizes, given.steps, given.processes, given.device):
        print(line, flush=True)


if __name__ == "__main__":
    main()
