"""CPU seconds of actions that take turns in one process, and the table and Parquet file that come of them.

A B C A B C ...: what disturbs the machine falls on all of them; medians over rounds; the first round only warms up.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from vmi.cost.hardware import cpu_name

OUT = Path(__file__).parents[1] / "results" / "benchmarks"


class Action(NamedTuple):
    """Something to be timed. `samples`: images trained on in one go (a member's minibatch of B counts B)."""

    label: str
    run: Callable[[], object]
    samples: int


class Row(NamedTuple):
    """One action's figures: CPU microseconds per sample, and what is worked out of them."""

    case: str
    label: str
    us_per_sample: float
    low_us: float
    high_us: float
    ratio: float
    flops_per_sample: float
    gflops: float
    peak_gflops: float

    @property
    def fraction(self) -> float:
        """Of the matmul peak that the floating-point operations which the step needs came to."""
        return self.gflops / self.peak_gflops


def interleaved(actions: Sequence[Action], rounds: int) -> dict[str, list[float]]:
    """CPU seconds per sample of each action in each round but the first."""
    found: dict[str, list[float]] = {action.label: [] for action in actions}
    for turn in range(rounds + 1):
        for action in actions:
            before = time.process_time()
            action.run()
            if turn:
                found[action.label].append((time.process_time() - before) / action.samples)
    return found


def rows(
    case: str,
    times: Mapping[str, Sequence[float]],
    flops: Mapping[str, float],
    against: str,
    peaks: Mapping[str, float],
) -> list[Row]:
    """`flops`: needed per sample, by label; `peaks`: the matmul peak by label, in GF/s."""
    base = statistics.median(times[against])
    made = []
    for label, seconds in times.items():
        median = statistics.median(seconds)
        figures = (1e6 * median, 1e6 * min(seconds), 1e6 * max(seconds), base / median)
        made.append(Row(case, label, *figures, flops[label], flops[label] / median / 1e9, peaks[label]))
    return made


def show(found: Sequence[Row], against: str) -> None:
    header = ("CPU us/sample", "min..max", f"x {against}", "MF/sample", "GF/s", "of peak")
    width = max(len(row.label) for row in found)
    print(
        f"{found[0].case:<{width}} {header[0]:>14} {header[1]:>17} {header[2]:>10}", *(f"{h:>10}" for h in header[3:])
    )
    for row in found:
        spread = f"{row.low_us:.1f}..{row.high_us:.1f}"
        print(
            f"{row.label:<{width}} {row.us_per_sample:>14.1f} {spread:>17} {row.ratio:>10.2f} "
            f"{row.flops_per_sample / 1e6:>10.2f} {row.gflops:>10.1f} {row.fraction:>10.1%}"
        )
    print(flush=True)


def keep(name: str, columns: Mapping[str, Sequence[object]]) -> Path:
    """Write the columns as Parquet, with the machine and the day in the file's metadata."""
    about = {"cpu": cpu_name(), "torch": torch.__version__, "measured": datetime.now(UTC).isoformat(timespec="seconds")}
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.parquet"
    pq.write_table(pa.table({k: list(v) for k, v in columns.items()}).replace_schema_metadata(about), path)
    return path


def keep_rows(name: str, found: Sequence[Row]) -> Path:
    columns = {field: [getattr(row, field) for row in found] for field in (*Row._fields, "fraction")}
    return keep(name, columns)
