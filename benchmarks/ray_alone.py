"""The study of sweeps/lambda.py on digits, 50 trials: ours, beside Ray Tune alone on the plain way of training.

    python benchmarks/ray_alone.py [--rounds 1] [--steps 300]

Ray Tune alone: a grid over the same space, one trial per process, no callbacks, each trial training plain.py's model
(its own loader, Adam and steps) and scoring one accuracy on the held-out split. Ours is the command that a user types:
it also keeps checkpoints, an account of the mutual information, Parquet and W&B's files. Both are timed from outside,
by wall time, and take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from timing import keep

ROOT = Path(__file__).parents[1]
TRIALS = 50


def trainable(config: dict[str, float]) -> None:
    """One trial of Ray Tune alone."""
    import torch
    from plain import TRANSFORM, Plain, batches
    from ray import tune

    from vmi import accuracy, data
    from vmi.config import resolve

    torch.set_num_threads(1)
    torch.manual_seed(int(config["seed"]))
    digits = data.load("digits")
    c = resolve({"dataset": "digits", "mi_weight": config["mi_weight"], "entropy_weight": config["entropy_weight"]})
    model = Plain(c, digits.spec.pixels)
    for x in islice(batches(digits, c.batch_size, TRANSFORM), int(config["steps"])):
        model.step(x)
    model.encoder.eval()
    with torch.no_grad():
        train, held_out = (
            model.encoder(2 * digits.images(s, slice(None), torch.float32) - 1)[:, 32:].argmax(-1).numpy()
            for s in (digits.train, digits.held_out)
        )
    counts = accuracy.contingency(train, digits.train.labels_N.numpy(), 10, 10)
    score = accuracy.accuracy(accuracy.majority_map(counts), held_out, digits.held_out.labels_N.numpy())
    tune.report({"accuracy_majority": score})


def ray_tune(steps: int) -> None:
    """The whole study by Ray Tune alone, in this process."""
    import ray
    from ray import tune

    ray.init(include_dashboard=False, log_to_driver=False)
    space = {
        "mi_weight": tune.grid_search([0, 1, 2, 4, 8]),
        "entropy_weight": tune.grid_search([0, 1]),
        "seed": tune.grid_search(list(range(5))),
        "steps": steps,
    }
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space=space,
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
    if len(results) != TRIALS or results.num_errors:
        sys.exit(f"{len(results)} trials, {results.num_errors} errors")
    print(f"best accuracy {results.get_best_result('accuracy_majority', 'max').metrics['accuracy_majority']:.3f}")


def wall(command: list[str]) -> float:
    before = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, cwd=ROOT, env={**os.environ, "WANDB_MODE": "offline"})
    return time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inner:
        ray_tune(given.steps)
        return
    times: dict[str, list[float]] = {"ours": [], "Ray Tune alone": []}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as results:
            ours = ["sweeps/lambda.py", "--steps", str(given.steps), "--results", results]
            times["ours"].append(wall(ours))
        times["Ray Tune alone"].append(wall(["benchmarks/ray_alone.py", "--inner", "--steps", str(given.steps)]))
    medians = {label: statistics.median(seconds) for label, seconds in times.items()}
    for label, seconds in medians.items():
        print(f"{label:<16} {seconds:8.1f} s of wall time for {TRIALS} trials, {TRIALS / seconds:6.2f} trials/s")
    print(f"ratio {medians['Ray Tune alone'] / medians['ours']:.1f}x")
    rows = [(label, s) for label, all_seconds in times.items() for s in all_seconds]
    print(f"kept in {keep('ray_alone', {'label': [r[0] for r in rows], 'wall_seconds': [r[1] for r in rows]})}")


if __name__ == "__main__":
    main()
