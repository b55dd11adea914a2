"""The study of sweeps/lambda.py on digits, 50 trials: ours, beside Ray Tune alone on the plain way of training.

    python benchmarks/ray_alone.py [--rounds 1] [--seeds 5] [--their-seeds 5]

Ray Tune alone: OptunaSearch over the same space, one trial per process, no callbacks, each trial training plain.py's
model (its own loader, Adam and steps) and scoring one accuracy on the held-out split. Tune's default loggers of CSV,
JSON and TensorBoard are callbacks too: they are off, and it is an error if they wrote anything. Ours is the command
that a user types: it also keeps checkpoints, an account of the mutual information, Parquet and W&B's files. Both are
timed from outside and take turns: wall time, and CPU time of all their processes, which is what to read on a machine
that others use.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from timing import keep

ROOT = Path(__file__).parents[1]
MARK = "VMI_BENCHMARK_RUN"
SAMPLE_SECONDS = 0.25
# What Tune's default loggers write into the folder of a trial.
LOGGED = ("progress.csv", "result.json", "params.json", "params.pkl", "events.out.tfevents.*")


def trainable(config: dict[str, float]) -> None:
    """One trial of Ray Tune alone."""
    import torch
    from plain import TRANSFORM, Plain, batches
    from ray import tune

    from vmi.data import dataset
    from vmi.spec.resolving import resolve
    from vmi.training import accuracy

    torch.set_num_threads(1)
    torch.manual_seed(int(config["seed"]))
    digits = dataset.load("digits")
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


def ray_tune(steps: int, seeds: int) -> None:
    """The whole study by Ray Tune alone, in this process."""
    # Read when Tune is imported: a logger of its own for each of three formats otherwise writes every trial's results.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    ray.init(include_dashboard=False, log_to_driver=False)
    space = {
        "mi_weight": tune.choice([0, 1, 2, 4, 8]),
        "entropy_weight": tune.choice([0, 1]),
        "seed": tune.choice(list(range(seeds))),
        "steps": steps,
    }
    search = tune.TuneConfig(search_alg=OptunaSearch(), metric="accuracy_majority", mode="max", num_samples=10 * seeds)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space=space,
            tune_config=search,
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        if logged := [str(path) for name in LOGGED for path in Path(folder).rglob(name)]:
            sys.exit(f"Tune's loggers were on, and the peer is to have no callbacks: {logged[:3]}")
    if len(results) != 10 * seeds or results.num_errors:
        sys.exit(f"{len(results)} trials, {results.num_errors} errors")
    print(f"best accuracy {results.get_best_result('accuracy_majority', 'max').metrics['accuracy_majority']:.3f}")


def timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds of a command, and CPU seconds of it and of every process that it started, directly or not."""
    mark = str(uuid.uuid4())
    before = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env={**os.environ, MARK: mark})
    spent: dict[tuple[str, str], float] = {}
    while process.poll() is None:
        spent |= _cpu_of(f"{MARK}={mark}".encode())
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        sys.exit(f"{command}: exit code {process.returncode}")
    return time.perf_counter() - before, sum(spent.values())


def _cpu_of(mark: bytes) -> Iterator[tuple[tuple[str, str], float]]:
    """CPU seconds so far of each living process with this in its environment, by process id and time of start."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                yield (folder.name, fields[19]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="of both, in turns; medians are printed")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5, help="of ten settings: 5 seeds are the study's 50 trials")
    parser.add_argument("--their-seeds", type=int, help="fewer, for Ray Tune alone, where time is short")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inner:
        ray_tune(given.steps, given.seeds)
        return
    seeds = {"ours": given.seeds, "Ray Tune alone": given.their_seeds or given.seeds}
    rows: list[tuple[str, int, float, float]] = []
    for _ in range(given.rounds):
        for label, count in seeds.items():
            same = ["--steps", str(given.steps), "--seeds", str(count)]
            with tempfile.TemporaryDirectory() as results:
                ours = ["sweeps/lambda.py", *same, "--results", results]
                theirs = ["benchmarks/ray_alone.py", "--inner", *same]
                rows.append((label, 10 * count, *timed(ours if label == "ours" else theirs)))
    per_trial = {}
    for label, count in seeds.items():
        wall, cpu = (statistics.median(row[i] for row in rows if row[0] == label) for i in (2, 3))
        per_trial[label] = wall / count, cpu / count
        print(f"{label:<16} {wall:8.1f} s of wall time, {cpu:8.1f} s of CPU time for {10 * count} trials")
    wall, cpu = (theirs / ours for ours, theirs in zip(*per_trial.values(), strict=True))
    print(f"per trial, Ray Tune alone takes {wall:.1f} times the wall time and {cpu:.1f} times the CPU time")
    names = ("label", "trials", "wall_seconds", "cpu_seconds")
    print(f"kept in {keep('ray_alone', {name: [row[i] for row in rows] for i, name in enumerate(names)})}")


if __name__ == "__main__":
    main()
