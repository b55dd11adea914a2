"""Packs cut by prediction beside packs cut Architecture by Architecture: makespan, idle share, cost.

    vmi calibrate sweeps/paper.py --scale laptop --results R     (also sweeps/lambda.py, sweeps/objectives.py)
    python benchmarks/cutting.py R                  simulated, on 2, 10, 30 and 60 workers
    python benchmarks/cutting.py R --real 2         also run for real: the demo, and four conv trials, in turns

Simulated: what `vmi plan --simulate` says, and a study of five Architectures (hidden widths on digits) with 1 to 40
trials each. Real: runs through Ray, with what prediction.json had predicted; the conv trials are calibrated first. Wall
seconds are from the driver's first pack on; predicted ones are CPU time of workers with a core of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import keep

from vmi.cost.estimate import pack_seconds
from vmi.cost.forecast import Extent, forecast
from vmi.cost.hardware import cpu_name
from vmi.cost.measurements import Costs, costs_on, read
from vmi.cost.packing import pack
from vmi.cost.planning import Cut, Group, planned
from vmi.cost.simulation import Job, Schedule, simulate
from vmi.spec.resolving import resolve
from vmi.study.loading import load
from vmi.study.overrides import override

ROOT = Path(__file__).parents[1]
WORKERS = (2, 10, 30, 60)
STUDIES = {"paper.py --scale laptop": "laptop", "lambda.py": None, "objectives.py": None}
UNEVEN = {"256-128": 1, "128-128": 5, "128-64": 12, "64-64": 25, "64-32": 40}
CONV = """
import vmi
study = vmi.Study(name="conv", fixed={"network": "conv", "steps": 400}, space={"mi_weight": vmi.choice(0, 4)},
                  seeds=range(2))
if __name__ == "__main__":
    vmi.main(study)
"""
# As the packs were cut before: what a run uses in place of the planner.
BEFORE = """
import runpy, sys
import vmi.driver.run
from vmi.cost.packing import pack
vmi.driver.run.Planner = lambda prices, prefer: pack
vmi.driver.run.Run._handing_over = lambda self, workers: lambda update: None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def simulated(costs: Costs, size_of: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, scale in STUDIES.items():
        study = load(ROOT / "sweeps" / name.split()[0])
        extent = Extent(override(study, scale=scale) if scale else study, (), size_of)
        for workers in WORKERS:
            before, after = forecast(extent, costs, workers, pack), forecast(extent, costs, workers)
            if before is None or after is None:
                print(f"{name}: not measured")
                break
            rows.append(row(name, extent.left, workers, before.schedule, after.schedule))
    groups = uneven(size_of)
    for workers in WORKERS:
        by_architecture = [(i, size) for i, g in enumerate(groups) for size in g.even(parts(g.count, size_of, workers))]
        start = costs.start.on(costs.device)
        before_, after_ = (
            simulate([jobs(groups, cuts)], workers, start)
            for cuts in (by_architecture, planned(groups, workers, start))
        )
        rows.append(row("5 architectures, 1 to 40 trials", sum(UNEVEN.values()), workers, before_, after_))
    return rows


def uneven(most: int) -> list[Group]:
    """Five Architectures of 20,000 steps on digits, by the estimate."""
    made = []
    for hidden, count in UNEVEN.items():
        architecture = resolve({"hidden": hidden, "steps": 20_000}).architecture
        made.append(Group(count, min(most, count), lambda k, a=architecture: pack_seconds(a, (), k, "cpu")))  # type: ignore[misc]
    return made


def parts(count: int, size: int, workers: int) -> int:
    """The rule of `vmi.cost.packing`."""
    fewest = -(-count // size)
    return max(fewest, min(-(-fewest // workers) * workers, count // 4))


def jobs(groups: list[Group], cuts: list[Cut]) -> list[Job]:
    return [Job(groups[i].of[size]) for i, size in cuts]


def row(name: str, trials: int, workers: int, before: Schedule, after: Schedule) -> dict[str, object]:
    found = {"study": name, "trials": trials, "workers": workers}
    for when, schedule in (("before", before), ("after", after)):
        found |= {f"seconds {when}": round(schedule.makespan, 1), f"idle {when}": round(schedule.idle_share, 3)}
        found[f"worker-hours {when}"] = round(schedule.held / 3600, 3)
    print(found, flush=True)
    return found


def real(results: Path, turns: int) -> None:
    """The demo and the conv trials, cut both ways in turns."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "conv.py").write_text(CONV, encoding="utf-8")
        (folder / "before.py").write_text(BEFORE, encoding="utf-8")
        calibrate = "from vmi.cli.app import main; main()"
        run(sys.executable, "-c", calibrate, "calibrate", str(folder / "conv.py"), "--results", str(results))
        for turn in range(turns):
            for script in (ROOT / "sweeps" / "lambda.py", folder / "conv.py"):
                for how in ("before", "after"):
                    own = folder / f"{script.stem}-{how}-{turn}"
                    own.mkdir()
                    (own / "calibration.json").write_bytes((results / "calibration.json").read_bytes())
                    front = [str(folder / "before.py")] if how == "before" else []
                    run(sys.executable, *front, str(script), "--results", str(own))
                    found = json.loads((own / script.stem / "prediction.json").read_text(encoding="utf-8"))
                    told = {part: {k: v for k, v in found[part].items() if "seconds" in k or k == "packs"}
                            for part in ("predicted", "actual")}  # fmt: skip
                    print(script.stem, how, told, flush=True)


def run(*command: str) -> None:
    environ = {**os.environ, "WANDB_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--real", type=int, default=0, metavar="TURNS")
    parser.add_argument("--pack-size", type=int, default=16)
    given = parser.parse_args()
    costs = costs_on(read(given.results / "calibration.json"), "cpu", cpu_name())
    if costs is None:
        sys.exit(f"{given.results}: nothing was measured on this CPU")
    rows = simulated(costs, given.pack_size)
    print(f"kept in {keep('cutting', {key: [row[key] for row in rows] for key in rows[0]})}")
    if given.real:
        real(given.results, given.real)


if __name__ == "__main__":
    main()
