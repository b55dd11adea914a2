"""What bfloat16 products do to a trial's numbers: float32 and bfloat16 side by side, over seeds.

    python benchmarks/precision.py [--mnist-steps 300]

Digits at lambda 4, eta 1 (300 steps) and a short training on MNIST; means over twenty seeds with the half width of the
95 % interval (Student's t), and of the paired difference.
"""

from __future__ import annotations

import argparse

from timing import keep

from vmi.data.dataset import load
from vmi.spec.intervals import interval
from vmi.spec.resolving import resolve
from vmi.spec.trial import Trial
from vmi.training.evaluation import evaluate
from vmi.training.pack import Pack
from vmi.training.train import train
from vmi.worker.work import prepare

SEEDS = 20
METRICS = ("accuracy_majority", "mi_encoder_nats", "distortion_nats", "rate_nats", "elbo_nats")


def evaluated(precision: str, **fields: float | str) -> list[dict[str, float]]:
    configs = [resolve({**fields, "precision": precision, "seed": seed}) for seed in range(SEEDS)]
    pack = Pack([Trial(c.trial_id, c.suggestion_id, c) for c in configs])
    dataset = load(pack.architecture.dataset)
    *_, last = train(pack, dataset)
    assert last.pack is not None and last.pack.size == SEEDS
    return [dict(evaluation[0]) for evaluation in evaluate(last.pack, dataset)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist-steps", type=int, default=300)
    given = parser.parse_args()
    prepare("cpu")
    studies = {
        "digits, 300 steps": {"dataset": "digits", "mi_weight": 4, "entropy_weight": 1},
        f"MNIST, {given.mnist_steps} steps": {"dataset": "mnist", "mi_weight": 8, "steps": given.mnist_steps},
    }
    rows: list[dict[str, object]] = []
    for name, fields in studies.items():
        full, low = (evaluated(precision, **fields) for precision in ("float32", "bfloat16"))
        print(f"{name:<20} {'float32':>17} {'bfloat16':>17} {'difference':>17}")
        for metric in METRICS:
            pairs = [(a[metric], b[metric]) for a, b in zip(full, low, strict=True)]
            columns = ([a for a, _ in pairs], [b for _, b in pairs], [b - a for a, b in pairs])
            print(f"{metric:<20}", *(f"{interval(column)!s:>17}" for column in columns), flush=True)
            rows += [{"study": name, "metric": metric, "float32": a, "bfloat16": b} for a, b in pairs]
    print(f"kept in {keep('precision', {key: [row[key] for row in rows] for key in rows[0]})}")


if __name__ == "__main__":
    main()
