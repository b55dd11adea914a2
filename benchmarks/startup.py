"""Where the time of a sweep goes that is no training: imports, Ray's start, what lies between packs, and the end.

    python benchmarks/startup.py [--steps 300]

Runs the study of sweeps/lambda.py on digits with Ray, W&B offline, every worker noting when it came to what, and prints
that as a time line; then what workers did with their time after their start, by timers around the functions that train
and evaluate, and the overhead that follows from it; then the dearest imports of the driver and of a worker
(`python -X importtime`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spans

BEGAN = time.time() - time.process_time()
ROOT = Path(__file__).parents[1]
IDLE = "idle: no task was left"
PARTS = (
    *(spans.STEPS, spans.EVALUATION, spans.REFERENCE, spans.LIBRARIES, spans.REPORTS, spans.HANDING, spans.COMMITS),
    *(spans.LOADING, spans.REST, spans.BETWEEN, IDLE),
)
IMPORTS = {
    "driver": "import vmi.driver.launch, vmi.runners.tune",
    "worker": "import vmi.worker.work",
    "worker, what scores its codes": "import vmi.worker.work, vmi.training.accuracy as of; of.load_libraries()",
}


def traced(config: dict[str, Any]) -> None:
    """`vmi.runners.tune.train_pack`, with notes."""
    import spans

    spans.event("task")
    from ray import tune

    from vmi.worker.messages import Task
    from vmi.worker.work import work

    spans.watch()
    spans.turn(spans.REST)
    spans.event("imported")
    for i, update in enumerate(work(Task.from_json(config["task"]))):
        spans.event("built" if i == 0 else "ended" if update.ended else "report")
        with spans.span(spans.HANDING):
            tune.report({"update": update.to_json()})
    spans.turn(spans.BETWEEN)


def noted(owner: Any, name: str, event: str) -> None:
    """The method notes when it returns."""
    method = getattr(owner, name)

    def called(self: Any, *given: Any) -> Any:
        found = method(self, *given)
        spans.event(event)
        return found

    setattr(owner, name, called)


def run(steps: int, results: str) -> None:
    """The study in this process, traced."""
    from rich.console import Console

    from vmi.driver.launch import launch
    from vmi.driver.options import RunOptions
    from vmi.mirror.writers import Beside
    from vmi.study.loading import load
    from vmi.study.overrides import override

    spans.event("driver imported", began=BEGAN)
    from vmi.runners import tune

    spans.event("Ray imported")
    tune.train_pack = traced
    noted(tune.TuneRunner, "workers", "Ray started")
    noted(tune.TuneRunner, "run", "all trained")
    noted(tune.TuneRunner, "close", "Ray ended")
    noted(Beside, "wait", "W&B's runs written")
    study = override(load(ROOT / "sweeps" / "lambda.py"), steps=steps)
    launch(study, RunOptions(results=Path(results)), Console(quiet=True))
    spans.event("study done")


def timeline(events: list[dict[str, Any]]) -> Iterator[str]:
    began = next(e["began"] for e in events if "began" in e)
    for event in sorted(events, key=lambda e: e["at"]):
        if event["event"] != "report":
            yield f"{event['at'] - began:7.2f} s  {event['event']:<18} process {event['pid']}"


def first_steps(pieces: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Of each worker the piece in which it took its first steps."""
    steps = [piece for piece in pieces if piece["what"] == spans.STEPS]
    return {piece["pid"]: piece for piece in sorted(steps, key=lambda p: -p["since"])}


def overhead(pieces: list[dict[str, Any]]) -> Iterator[str]:
    """What workers did from their start to the end of the sweep, and how much of it was no training.

    from      the moment when every worker has loaded its data: the first step of the last one to come to it
    until     the last commit of trials
    held      workers x (until - from), of which every moment of a worker is in one piece of the table
    training  seconds in steps and in evaluations, which are a trial's own work; not the k-means reference, which a
              worker pays once
    idle      from a worker's last task until the last commit: there was nothing left to do
    overhead  1 - training / (held - idle), and the plain 1 - training / held
    """
    first = first_steps(pieces)
    begin = max(piece["since"] for piece in first.values())
    end = max(piece["until"] for piece in pieces if piece["what"] == spans.COMMITS)
    held, sums = len(first) * (end - begin), dict.fromkeys(PARTS, 0.0)
    for pid in first:
        own = [p for p in pieces if p["pid"] == pid]
        for piece in own:
            sums[piece["what"]] += max(0.0, min(piece["until"], end) - max(piece["since"], begin))
        sums[IDLE] += max(0.0, end - max(begin, *(p["until"] for p in own)))
    yield f"{len(first)} workers x {end - begin:.2f} s, from when both had data to the last commit"
    yield from (f"{seconds:8.2f} s  {seconds / held:6.1%}  {part}" for part, seconds in sums.items())
    yield f"{held - sum(sums.values()):8.2f} s  {1 - sum(sums.values()) / held:6.1%}  in none of these"
    training, busy = sums[spans.STEPS] + sums[spans.EVALUATION], held - sums[IDLE]
    yield f"overhead: {1 - training / busy:.1%} of the time that workers had something to do"
    yield f"          {1 - training / held:.1%} with their idle time at the end"
    training += sums[spans.REFERENCE]
    yield f"          {1 - training / busy:.1%} without the k-means reference, which a worker pays once"


def imports(code: str) -> Iterator[str]:
    """The dearest modules of an import, by what they take with all that they import."""
    said = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    found = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)", said.stderr)
    for _, cumulative, indent, module in sorted(found, key=lambda m: -int(m[1]))[:12]:
        yield f"{int(cumulative) / 1e3:9.0f} ms  {indent}{module}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--inner", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inner:
        run(given.steps, given.inner)
        return
    with tempfile.TemporaryDirectory() as folder:
        path, results = f"{folder}/trace.jsonl", f"{folder}/results"
        command = [sys.executable, __file__, "--steps", str(given.steps), "--inner", results]
        subprocess.run(command, check=True, env={**os.environ, "VMI_TRACE": path})
        lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
        pieces, events = ([line for line in lines if key in line] for key in ("what", "event"))
        steps = [{**p, "at": p["since"], "event": "first step"} for p in first_steps(pieces).values()]
        print(*timeline(events + steps), sep="\n", flush=True)
        print(*overhead(pieces), sep="\n", flush=True)
    for name, code in IMPORTS.items():
        print(f"\n{name}: {code}", *imports(code), sep="\n", flush=True)


if __name__ == "__main__":
    main()
