"""Where the time of a sweep goes that is no training: imports, Ray's start, what lies between packs, and the end.

    python benchmarks/startup.py [--steps 300]

Runs the study of sweeps/lambda.py on digits with Ray, every worker noting when it came to what, and prints that as a
time line; then the dearest imports of the driver and of a worker (`python -X importtime`).
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

BEGAN = time.time() - time.process_time()
ROOT = Path(__file__).parents[1]


def note(path: str, event: str, **more: object) -> None:
    """One line; a single short write appends whole."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"at": time.time(), "pid": os.getpid(), "event": event, **more}) + "\n")


def traced(config: dict[str, Any]) -> None:
    """`vmi.sweep.to_tune.train_pack`, with notes."""
    path = os.environ["VMI_TRACE"]
    note(path, "task")
    from ray import tune

    from vmi.sweep.task import Task
    from vmi.sweep.work import work

    note(path, "imported")
    for i, update in enumerate(work(Task.from_json(config["task"]))):
        note(path, "built" if i == 0 else "ended" if update.ended else "report")
        tune.report({"update": update.to_json()})


def noted(path: str, owner: Any, name: str, event: str) -> None:
    """The method notes when it returns."""
    method = getattr(owner, name)

    def called(self: Any, *given: Any) -> Any:
        found = method(self, *given)
        note(path, event)
        return found

    setattr(owner, name, called)


def run(path: str, steps: int, results: str) -> None:
    """The study in this process, traced."""
    from rich.console import Console

    from vmi.sweep.launch import launch
    from vmi.sweep.options import RunOptions
    from vmi.sweep.override import override
    from vmi.sweep.run_writers import Beside
    from vmi.sweep.study import load

    note(path, "driver imported", began=BEGAN)
    from vmi.sweep import to_tune

    note(path, "Ray imported")
    to_tune.train_pack = traced
    noted(path, to_tune.TuneRunner, "workers", "Ray started")
    noted(path, to_tune.TuneRunner, "run", "all trained")
    noted(path, to_tune.TuneRunner, "close", "Ray ended")
    noted(path, Beside, "wait", "W&B's runs written")
    study = override(load(ROOT / "sweeps" / "lambda.py"), steps=steps)
    launch(study, RunOptions(results=Path(results)), Console(quiet=True))
    note(path, "study done")


def timeline(events: list[dict[str, Any]]) -> Iterator[str]:
    began = next(e["began"] for e in events if "began" in e)
    for event in sorted(events, key=lambda e: e["at"]):
        if event["event"] != "report":
            yield f"{event['at'] - began:7.2f} s  {event['event']:<18} process {event['pid']}"


def overhead(events: list[dict[str, Any]], results: str) -> str:
    """Of each worker from its first task's built pack to its last commit: what was no training and no evaluation."""
    import pyarrow.dataset as ds

    trained = sum(ds.dataset(f"{results}/lambda/trials", format="parquet").to_table()["train_seconds"].to_pylist())
    held = 0.0
    for pid in {e["pid"] for e in events if e["event"] == "built"}:
        own = [e["at"] for e in events if e["pid"] == pid and e["event"] in ("built", "ended")]
        held += max(own) - min(own)
    return (
        f"workers held {held:.1f} s after their start, {trained:.1f} s of it training and evaluation: "
        f"{1 - trained / held:.1%} is overhead"
    )


def imports(code: str) -> Iterator[str]:
    """The dearest modules of an import, by what they take with all that they import."""
    said = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    found = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)", said.stderr)
    for _, cumulative, indent, module in sorted(found, key=lambda m: -int(m[1]))[:12]:
        yield f"{int(cumulative) / 1e3:9.0f} ms  {indent}{module}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--inner", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inner:
        run(given.inner[0], given.steps, given.inner[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        path, results = f"{folder}/trace.jsonl", f"{folder}/results"
        command = [sys.executable, __file__, "--steps", str(given.steps), "--inner", path, results]
        subprocess.run(command, check=True, env={**os.environ, "VMI_TRACE": path})
        events = [json.loads(line) for line in Path(path).read_text().splitlines()]
        print("\n".join(timeline(events)))
        print(overhead(events, results))
    for name, code in (("driver", "import vmi.sweep.launch, vmi.sweep.to_tune"), ("worker", "import vmi.sweep.work")):
        print(f"\n{name}: {code}", *imports(code), sep="\n")


if __name__ == "__main__":
    main()
