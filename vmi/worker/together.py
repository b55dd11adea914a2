"""Packs that train on one GPU at a time, each in a process of its own: what `vmi calibrate` learns of sharing one.

    python -m vmi.worker.together TASK.json STEPS      one of them: says when it is ready, waits for a line, trains

As a program it takes the pack and the device of a task, and stores nothing.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch

from vmi.data import dataset
from vmi.spec.reports import LEAST_STEPS
from vmi.training.pack import Pack
from vmi.training.train import run_steps
from vmi.worker import own_images
from vmi.worker.messages import Task
from vmi.worker.work import prepare

READY = "ready"


def step_seconds(task: Task, packs: int, steps: int, folder: Path) -> float | None:
    """Wall seconds of a step of each of so many packs that train at a time; None where one of them could not.

    `folder`: where the task is written for the processes.
    """
    path = folder / "together.json"
    path.write_text(task.to_json(), encoding="utf-8")
    command = [sys.executable, "-m", "vmi.worker.together", str(path), str(steps)]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) for _ in range(packs)
    ]
    try:
        if any(process.stdout is None or process.stdout.readline().strip() != READY for process in started):
            return None
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate()[0] for process in started]
        if any(process.returncode for process in started):
            return None
        return max(map(float, said)) / steps
    except (OSError, ValueError):
        return None
    finally:
        for process in started:
            process.kill()
            process.communicate()


def main(path: Path, steps: int) -> None:
    task = Task.from_json(path.read_text(encoding="utf-8"))
    prepare(task.device)
    own_images.hold(task.dataset)
    images = dataset.load(task.dataset, Path(task.data_folder)).to(torch.device(task.device))
    pack = Pack(task.pack.trials, task.device)
    pack.train_mode(True)
    run_steps(pack, images, LEAST_STEPS)
    pack.broken.step_K.tolist()  # a GPU has taken its steps only once something was read from it
    print(READY, flush=True)  # noqa: T201
    sys.stdin.readline()
    began = time.perf_counter()
    run_steps(pack, images, steps)
    pack.broken.step_K.tolist()
    print(time.perf_counter() - began, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
