"""A driver that comes before the cluster's workers waits for them, and not for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from vmi.runners.connecting import PATIENCE_SECONDS, SETTLED_SECONDS, joined

LATE = """
import subprocess, sys, threading
from pathlib import Path
from ray.cluster_utils import Cluster
from vmi.runners import connecting
from vmi.runners.node_check import needs_of
from vmi.runners.tune import TuneRunner

connecting.SETTLED_SECONDS = 3.0
memory = {"object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
ray = [sys.executable, "-m", "ray.scripts.scripts"]
start = [*ray, "start", "--block", "--address", cluster.address, "--num-cpus", "2"]
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
started = []

def late():
    sys.stdin.readline()
    started.append(subprocess.Popen(start, stdin=subprocess.DEVNULL, **quiet))

threading.Thread(target=late, daemon=True).start()
runner = TuneRunner(cluster.address, None, needs_of(Path(sys.argv[1]) / "results", ["digits"]))
print("workers", runner.workers())
runner.close()
started[0].terminate()
started[0].wait()
cluster.shutdown()
"""


class Clock:
    """Time that passes only while somebody sleeps; the resources of a cluster at that time."""

    def __init__(self, *history: tuple[float, Mapping[str, float]]) -> None:
        self.now, self.history, self.said = 0.0, history, list[str]()

    def joined(self) -> Mapping[str, float]:
        return joined(self.look, self.said.append, lambda: self.now, self.sleep)

    def look(self) -> Mapping[str, float]:
        return [resources for since, resources in self.history if since <= self.now][-1]

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_cluster_with_cpus_is_not_waited_for() -> None:
    clock = Clock((0, {"CPU": 2.0}))
    assert clock.joined() == {"CPU": 2.0} and (clock.now, clock.said) == (0.0, [])


def test_workers_are_waited_for_until_no_other_joins() -> None:
    clock = Clock((0, {}), (40, {"CPU": 8.0}), (50, {"CPU": 16.0, "GPU": 1.0}))
    assert clock.joined() == {"CPU": 16.0, "GPU": 1.0}
    assert 50 + SETTLED_SECONDS <= clock.now <= 52 + SETTLED_SECONDS and "waiting for its workers" in clock.said[0]


def test_nobody_is_waited_for_for_ever() -> None:
    coming: Iterator[tuple[float, Mapping[str, float]]] = ((10.0 * i, {"CPU": float(i)}) for i in range(100))
    for clock in (Clock((0, {"memory": 1.0})), Clock(*coming)):
        clock.joined()
        assert PATIENCE_SECONDS <= clock.now <= PATIENCE_SECONDS + 2


@pytest.mark.slow
def test_a_real_cluster_whose_worker_joins_late_is_used(tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    command = [sys.executable, "-c", LATE, str(tmp_path)]
    # In a folder of its own (a short name: it holds sockets), or it would be this machine's cluster to other tests.
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as own, subprocess.Popen(
        command, env={**clean, "RAY_TMPDIR": own, "TMPDIR": own, "PYTHONUNBUFFERED": "1"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as driver:  # fmt: skip
        assert driver.stdout and any("waiting for its workers" in line for line in driver.stdout)
        out, err = driver.communicate("now\n")
    assert driver.returncode == 0, err
    assert out.splitlines()[-1] == "workers 2"
