"""Ten thousand trials through planner, packer, searcher and store, with nothing trained: is our part of it flat?

    python benchmarks/scale.py [100 1000 10000] [--searcher random]

Every trial is planned, packed, recorded (20 metrics, 10 reports), committed durably, told to the searcher, and found
again by a second start; then the store is read as it lies and after `vmi compact`. The fit at the end says how seconds
grow with trials: 1 is linear.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from vmi.results.compaction import compact
from vmi.results.parts import read
from vmi.results.store import Store
from vmi.results.writer import ParquetRecorder
from vmi.runners.ledger import Ledger
from vmi.search.factory import searcher_for
from vmi.spec.trial import Completed, Cost, PackSpec, Report
from vmi.study.checks import validate
from vmi.study.space import choice, uniform
from vmi.study.study import Study
from vmi.worker.messages import Ended, Update

LAYOUT, SEEDS, PACK, REPORTS = "n16+c10*", 5, 16, 10
FINAL = (
    *("accuracy_majority", "accuracy_hungarian", "accuracy_train", "nmi", "ari", "distortion_nats", "rate_nats"),
    *("elbo_nats", "rate_c10_nats", "rate_n16_nats", "mi_encoder_nats", "mi_encoder_c10_nats", "mi_decoder_bound_nats"),
    *("mi_real_bound_nats", "mi_paper_nats", "mi_decoder_bound_c10_nats", "mi_real_bound_c10_nats"),
    *("mi_paper_c10_nats", "category_entropy_nats", "category_entropy_c10_nats"),
)


class Took(NamedTuple):
    """Seconds of each part, and bytes of the driver a trial."""

    trials: int
    plan_and_run: float
    resume: float
    read: float
    read_compacted: float
    bytes_a_trial: float


def study_of(trials: int, searcher: str) -> Study:
    suggestions = trials // SEEDS
    if searcher == "grid":
        axis = tuple(round(0.01 * i, 6) for i in range(suggestions))
        return Study(name="scale", space={"mi_weight": choice(*axis)}, fixed={"layout": LAYOUT}, seeds=range(SEEDS))
    space = {"mi_weight": uniform(0.0, 8.0), "entropy_weight": uniform(0.0, 1.0), "temperature": uniform(0.2, 2.0)}
    fixed = {"layout": LAYOUT}
    return Study(name="scale", space=space, fixed=fixed, seeds=range(SEEDS), searcher=searcher, suggestions=suggestions)


def metrics_of(number: int) -> dict[str, float]:
    return {name: math.fmod(0.1 * (number + 1) * (i + 1), 1.0) for i, name in enumerate(FINAL)}


def worked(store: Store, spec: PackSpec, attempt: int) -> tuple[Ended, ...]:
    """What a worker does with a pack, less the training and the pictures."""
    recorder = ParquetRecorder(store, (LAYOUT,), "digits", attempt, lambda: datetime.now(UTC))
    for number, trial in enumerate(spec.trials):
        for step in range(1, REPORTS + 1):
            values = {"loss_nats": 1.0 / step, "distortion_nats": 9.0, "rate_nats": 2.0}
            recorder.write(Report(trial.trial_id, step, values))
        cost = Cost(1.0, spec.pack_id, len(spec.trials), attempt, "cpu", "none")
        recorder.finish(trial, Completed(trial.config.steps, metrics_of(number), {}), cost)
    rows = recorder.commit().trials
    return tuple(Ended(r["trial_id"], r["outcome"], r["step"], {m: r[m] for m in FINAL}) for r in rows)


def driven(store: Store, study: Study) -> Ledger:
    """The driver's part of a run."""
    ledger = Ledger(
        study, searcher_for(study, 0), store.finished(), lambda wanted: {}, pack_size=PACK, workers=lambda: 2
    )
    attempt = store.next_attempt()
    while (spec := ledger.next_pack()) is not None:
        ledger.take(Update(spec.pack_id, 1, 1, worked(store, spec, attempt)))
    assert ledger.done and not ledger.outcomes.failures
    return ledger


def seconds(action: Callable[[], Any]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def took(trials: int, searcher: str) -> Took:
    study = study_of(trials, searcher)
    validate(study)
    with tempfile.TemporaryDirectory(dir=os.environ.get("SCALE_DIR")) as folder:
        store = Store(Path(folder), study.name)
        run = seconds(lambda: driven(store, study))
        resume = seconds(lambda: driven(store, study))
        tracemalloc.start()
        kept = driven(store, study)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(kept.finished) == trials
        del kept
        lying = min(seconds(lambda: read(store.folder_of("trials"), "trials").checked()) for _ in range(3))
        compacted = _compacted(store)
    return Took(trials, run, resume, lying, compacted, size / trials)


def _compacted(store: Store) -> float:
    compact(store.folder_of("trials"), "trials")
    return min(seconds(lambda: read(store.folder_of("trials"), "trials").checked()) for _ in range(3))


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The slope of log seconds over log trials."""
    x, y = [math.log(s) for s in sizes], [math.log(max(v, 1e-9)) for v in values]
    return statistics.linear_regression(x, y).slope if len(sizes) > 1 else math.nan


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[100, 1000, 10000])
    parser.add_argument("--searcher", default="grid", choices=["grid", "random", "tpe"])
    given = parser.parse_args(arguments)
    rows = []
    print(
        f"{'trials':>7} {'run s':>8} {'ms/trial':>9} {'resume s':>9} {'read s':>7} {'compacted':>10} {'KiB/trial':>10}"
    )
    for size in given.sizes:
        rows.append(row := took(size, given.searcher))
        print(f"{size:>7} {row.plan_and_run:>7.2f} {row.plan_and_run / size * 1e3:>8.2f} {row.resume:>8.2f}", end=" ")
        print(f"{row.read:>7.2f} {row.read_compacted:>9.2f} {row.bytes_a_trial / 1024:>9.1f}", flush=True)
    sizes = [row.trials for row in rows]
    grown: Mapping[str, list[float]] = {"run": [r.plan_and_run for r in rows], "resume": [r.resume for r in rows]}
    print("grows as trials to the power of: " + ", ".join(f"{n} {exponent(sizes, v):.2f}" for n, v in grown.items()))
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main(sys.argv[1:])
