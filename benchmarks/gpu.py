"""Packs on a CUDA device: eager steps beside one captured graph per step. WRITTEN, AND NOT RUN YET: no GPU was at hand.

    python benchmarks/gpu.py [--sizes 1 4 16 64] [--steps 200]

Needs torch >= 2.11 and this repository on PYTHONPATH; neither Ray, Optuna, W&B nor data (random images of MNIST's
shape: the time does not depend on the pixels). For each network, precision and pack size it prints microseconds per
member-step, eager and captured, the memory allocated, and whether both ended in the same bits.

What makes a step capturable is tested on a CPU (tests/test_capturable.py): it reads nothing back to the host. Weights,
data set, noise generators, temperature, optimiser steps and the sums that reports are made of live on the device; the
minibatch's index is drawn on the host and copied, asynchronously, into one fixed tensor before each replay.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from cases import CASES, Case

from vmi.data import Dataset, Split
from vmi.datasets import spec_of
from vmi.pack import Pack
from vmi.step import train_step
from vmi.train import run_steps
from vmi.trial import Trial


class Captured:
    """The step of a pack as one CUDA graph: gather, noise, both phases, both optimisers, sums for the report."""

    def __init__(self, pack: Pack, dataset: Dataset) -> None:
        self.pack = pack
        self.index_KB = pack.minibatches.next().to(pack.device)
        # On a copy, so that libraries make their workspaces and the pack stays where it is.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            warm = pack.keep(range(pack.size))
            warm.train_mode(True)
            run_steps(warm, dataset, 3)
        torch.cuda.current_stream().wait_stream(side)
        # The first index was drawn for its shape alone.
        pack.minibatches.positions[:] = [p - pack.architecture.batch_size for p in pack.minibatches.positions]
        counters = {name: list(values) for name, values in pack.counters().items()}
        self.graph = torch.cuda.CUDAGraph()
        for name, generators in pack.generators().items():
            if name != "order":
                for generator in generators:
                    self.graph.register_generator_state(generator)
        with torch.cuda.graph(self.graph):
            images_KBD = dataset.images(dataset.train, self.index_KB, pack.dtype)
            pack.window.add(train_step(pack, images_KBD, pack.noise()))
        # Capturing computes nothing, but the host has counted a step.
        for name, values in pack.counters().items():
            values[:] = counters[name]

    def run(self, count: int) -> None:
        """So many steps; the host waits for none of them."""
        pack = self.pack
        for _ in range(count):
            self.index_KB.copy_(pack.minibatches.next().pin_memory(), non_blocking=True)
            self.graph.replay()
            pack.steps[:] = [step + 1 for step in pack.steps]
            pack.window.counts[:] = [steps + 1 for steps in pack.window.counts]


def random_images(name: str, device: torch.device) -> Dataset:
    spec, generator = spec_of(name), torch.Generator().manual_seed(0)
    pixels = torch.randint(0, spec.levels + 1, (spec.train_count, spec.pixels), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(spec.train_count, dtype=torch.int64)
    return Dataset(spec, Split(pixels, labels), Split(pixels[:100], labels[:100])).to(device)


def pack_of(case: Case, size: int, precision: str) -> Pack:
    configs = [case.config(seed, precision=precision) for seed in range(size)]
    made = Pack([Trial(c.trial_id, c.suggestion_id, c) for c in configs], "cuda")
    made.train_mode(True)
    return made


def microseconds(run: Callable[[int], None], steps: int, size: int) -> float:
    """Per member-step, between two synchronisations."""
    run(10)
    torch.cuda.synchronize()
    before = time.perf_counter()
    run(steps)
    torch.cuda.synchronize()
    return (time.perf_counter() - before) * 1e6 / steps / size


def measured(case: Case, size: int, precision: str, steps: int) -> str:
    dataset = random_images(case.dataset, torch.device("cuda"))
    torch.cuda.reset_peak_memory_stats()
    eager = pack_of(case, size, precision)
    eager_us = microseconds(lambda count: run_steps(eager, dataset, count), steps, size)
    graph = Captured(pack_of(case, size, precision), dataset)
    graph_us = microseconds(graph.run, steps, size)
    same = torch.equal(eager.vae_adam.flat_KP, graph.pack.vae_adam.flat_KP)
    megabytes = torch.cuda.max_memory_allocated() / 1e6
    return (
        f"{case.name:<6} {precision:<9} pack of {size:<4} eager {eager_us:9.1f} us  captured {graph_us:9.1f} us  "
        f"{eager_us / graph_us:5.2f}x  {megabytes:8.0f} MB  {'same bits' if same else 'OTHER BITS'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device here")
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    for case in CASES.values():
        for precision in ("float32", "bfloat16"):
            for size in given.sizes:
                print(measured(case, size, precision, given.steps), flush=True)


if __name__ == "__main__":
    main()
