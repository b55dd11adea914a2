"""R1, this project beside plain Ray Tune: the driver is killed 20 times in one run of 40 short trials, and resumed.

    python r1_beside_tune.py FOLDER [KILLS]

Both have as many trials of about the same duration, two at a time, default settings, and the same SIGKILLs: after each
one the next start is `python study.py` here and `Tuner.restore` there. Counted: finished trials that were not known to
be finished at the next start, and finished trials that were trained again. Prints a table and, as its last line, JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vmi.results.store import Store

KILLS, PACK = 20, 2
STUDY = """
from vmi.cli.run import main
from vmi.study.space import choice
from vmi.study.study import Study

study = Study(name="r1", fixed={"steps": STEPS}, space={"mi_weight": choice(0, 1, 2, 4)}, seeds=range(10))
if __name__ == "__main__":
    main(study)
"""
TUNE = """
import os, sys, time
from pathlib import Path
from ray import tune

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])

def trainable(config):
    for step in range(10):
        time.sleep(seconds / 10)
        tune.report({"step": step})
    with (folder / "finished.txt").open("a") as file:
        file.write(f"{config['number']}\\n")

if __name__ == "__main__":
    path = str(folder / "results" / "r1")
    if tune.Tuner.can_restore(path):
        tuner = tune.Tuner.restore(path, trainable=tune.with_resources(trainable, {"cpu": 1}))
        done = [r for r in tuner.get_results() if r.metrics and r.metrics.get("step") == 9 and r.error is None]
    else:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={"number": tune.grid_search(list(range(40)))},
            run_config=tune.RunConfig(name="r1", storage_path=str(folder / "results"), verbose=0),
        )
        done = []
    with (folder / "known.txt").open("a") as file:
        file.write(" ".join(str(r.config["number"]) for r in done) + "\\n")
    tuner.fit()
"""
# So many steps take a pack of two about as long as plain Tune's trials take: SECONDS, on an idle core.
STEPS, SECONDS = 150, 0.6


def killed_after(command: list[str], folder: Path, seconds: float, ready: Callable[[], bool]) -> int:
    """Start the driver; SIGKILL it so long after it is training. Its exit code, negative where it was killed."""
    log = (folder / "log.txt").open("a")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "WANDB"))}
    process = subprocess.Popen(
        command, cwd=folder, stdout=log, stderr=log, start_new_session=True,
        env=environment | {"VMI_CHECKPOINT_SECONDS": "0.5", "WANDB_MODE": "disabled", "RAY_TMPDIR": str(folder)},
    )  # fmt: skip
    end = time.monotonic() + 120
    while process.poll() is None and not ready() and time.monotonic() < end:
        time.sleep(0.05)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(seconds)
    process.kill()
    code = process.wait()
    _end_session(process.pid)
    return code


def _end_session(leader: int) -> None:
    """What the killed driver has started: it would end by itself, after some seconds of the next start's time."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(path.name)) == leader:
                os.kill(int(path.name), signal.SIGKILL)


def ours(folder: Path, kills: int) -> dict[str, Any]:
    (folder / "study.py").write_text(STUDY.replace("STEPS", str(STEPS)), encoding="utf-8")
    command = [sys.executable, str(folder / "study.py"), "--pack-size", str(PACK)]
    store, draw = Store(folder / "results", "r1"), random.Random(0)
    known: dict[str, dict[str, Any]] = {}
    lost = again = hits = restarted = slots = 0
    while True:
        planned = hits < kills
        began = time.time()
        # Every other time once more has been committed, else in mid-training.
        ready = partial(_has_committed, store, _parts(store)) if hits % 2 else partial(_trains, store, began)
        code = killed_after(command, folder, draw.uniform(0.1, 1.0) if planned else 600.0, ready)
        rows = dict(store.finished())
        lost += len(known.keys() - rows.keys())
        again += sum(rows[i] != row for i, row in known.items() if i in rows)
        known = rows
        if code >= 0 or not planned:
            break
        hits += 1
        # Packs that have begun and have no checkpoint yet are what runs again from its start.
        under_way = [p for p in store.checkpoints.iterdir() if p.is_dir()] if store.checkpoints.is_dir() else []
        open_packs = [p for p in under_way if not _is_stored(p, rows)]
        fresh = sum(not list(p.glob("*.pt")) for p in open_packs)
        restarted, slots = restarted + fresh, max(slots, len(open_packs))
    everything = Counter(row["trial_id"] for row in store.read("trials").checked().to_pylist())
    doubled = sum(count > 1 for count in everything.values())
    return {"kills": hits, "code": code, "trials": len(known), "forgotten": lost, "trained_again": again + doubled,
            "packs_from_their_start": restarted, "packs_at_a_time": slots}  # fmt: skip


def _trains(store: Store, began: float) -> bool:
    """A worker has taken a pack since then."""
    with contextlib.suppress(OSError):
        return any(path.stat().st_mtime > began for path in store.checkpoints.rglob("claim-*"))
    return False


def _has_more(finished: Path, than: int) -> bool:
    return len(finished.read_text().split()) > than


def _parts(store: Store) -> int:
    return len(list(store.folder_of("trials").glob("part-*")))


def _has_committed(store: Store, than: int) -> bool:
    return _parts(store) > than


def _is_stored(path: Path, rows: dict[str, Any]) -> bool:
    plans = list(path.glob("pack-*.json"))
    return bool(plans) and all(t[0] in rows for t in json.loads(plans[0].read_text())["trials"])


def tunes(folder: Path, kills: int) -> dict[str, Any]:
    (folder / "plain.py").write_text(TUNE, encoding="utf-8")
    command = [sys.executable, str(folder / "plain.py"), str(folder), str(SECONDS)]
    draw, finished = random.Random(0), folder / "finished.txt"
    finished.touch()
    hits = 0
    while True:
        before, planned = len(finished.read_text().split()), hits < kills
        ready = partial(_has_more, finished, before if hits % 2 else before - 1)
        code = killed_after(command, folder, draw.uniform(0.1, 1.0) if planned else 600.0, ready)
        if code >= 0 or not planned:
            break
        hits += 1
    starts = (folder / "known.txt").read_text().splitlines()
    lines = finished.read_text().split()
    counts = Counter(lines)
    again = sum(count - 1 for count in counts.values())
    known = len(starts[-1].split()) if starts else 0
    counted = {"kills": hits, "code": code, "trials": len(counts), "trained_again": again}
    return counted | {"known_at_last_start": known, "finished_in_all": len(lines)}


def main(folder: Path, kills: int) -> None:
    found = {}
    for name, run in (("vmi-sweeps", ours), ("Tuner.restore", tunes)):
        place = folder / name.lower().replace(".", "-")[:6]
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        start = time.monotonic()
        found[name] = run(place, kills) | {"seconds": round(time.monotonic() - start)}
    print(f"{'':16}{'kills':>7}{'trials':>8}{'trained again':>15}{'exit':>6}{'seconds':>9}")
    for name, row in found.items():
        again = row["trained_again"]
        print(f"{name:16}{row['kills']:>7}{row['trials']:>8}{again:>15}{row['code']:>6}{row['seconds']:>9}")
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else KILLS)
