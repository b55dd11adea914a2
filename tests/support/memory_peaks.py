"""What packs really take, as a program: a process of its own for each, which prints the growth of its resident memory.

    python memory_peaks.py CONFIGURATION MEMBERS [CONFIGURATION MEMBERS ...]

In bytes, as the kernel counts the peak of two steps, an evaluation of a thousand images and a checkpoint, without the
pages of libraries. Beside the catalogue's data sets there is that of `coloured()`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.coloured import held

from vmi.data.dataset import Dataset, load
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training import checkpoint
from vmi.training.evaluation import evaluate
from vmi.training.pack import Pack
from vmi.training.train import run_steps
from vmi.worker.allocator import keep_freed_memory, return_freed_memory


def coloured() -> str:
    """The name of a data set of colour images with odd sides."""
    return held((3, 33, 45), train=1000, held_out=1000)


def kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def pack_of(fields: dict[str, Any], members: int) -> Pack:
    configs = [resolve({"mi_weight": 4, "steps": 100, "seed": seed, **fields}) for seed in range(members)]
    return Pack([Trial(c.trial_id, c.suggestion_id, c) for c in configs])


def used(pack: Pack, dataset: Dataset) -> None:
    pack.train_mode(True)
    run_steps(pack, dataset, 2)
    evaluate(pack, dataset.first(1000))
    checkpoint.encode(pack)


def grown(fields: dict[str, Any], members: int) -> int:
    """In a child, which ends with it: what one pack has freed would be there for the next."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading) as said:
            return int(said.read())
    dataset = load(fields["dataset"])
    before, libraries = kilobytes("VmRSS"), kilobytes("RssFile")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    used(pack_of(fields, members), dataset)
    with os.fdopen(writing, "w") as told:
        # The pages of libraries that a child has touched: which of them it inherits is the kernel's to say.
        touched = kilobytes("RssFile") - libraries
        told.write(str(1024 * (kilobytes("VmHWM") - before - touched)))
    os._exit(0)


def main() -> None:
    coloured()  # first: what it frees is given back
    keep_freed_memory()  # as a worker does
    torch.set_num_threads(1)
    digits = load("digits")
    # Everything that is loaded at first use.
    for network, hidden in (("mlp", "8"), ("conv", "4-8")):
        used(pack_of({"dataset": "digits", "network": network, "hidden": hidden}, 1), digits)
    gc.collect()
    return_freed_memory()  # or a child would find it there
    for fields, members in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        print(grown(json.loads(fields), int(members)), flush=True)


if __name__ == "__main__":
    main()
