"""A study with its results in a bucket of each cloud, as a user runs it: real processes, real Ray, a real server."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commands import PROGRAM
from support.object_servers import stored
from support.owned import short_folder
from support.runs import ROOT, SMOKE, Run, run, tables, until
from support.spoiling_proxy import Faulty

from vmi.results.store import Store
from vmi.storage.durable import put_replacing
from vmi.storage.paths import ObjectPath

pytestmark = pytest.mark.faults
# A grid of several packs, so that a kill falls between commits.
LAMBDA = ROOT / "sweeps" / "lambda.py"
SMALL = ("--steps", "60", "--seeds", "2", "--pack-size", "4")


def vmi(folder: Path, *arguments: object) -> str:
    """What `vmi ARGUMENTS` prints, run in this folder."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study with its results in a folder, in this process's machine, uninterrupted."""
    folder = tmp_path_factory.mktemp("local")
    assert run(LAMBDA, *SMALL, "--local", cwd=folder, WANDB_MODE="disabled").code == 0
    return folder / "results"


def test_a_killed_sweep_goes_on_from_the_store_and_ends_with_the_rows_of_a_local_run(
    proxy: Faulty, root: ObjectPath, local: Path, tmp_path: Path
) -> None:
    commits = itertools.count()
    proxy.plan = lambda number, method, path: (
        "held" if method == "PUT" and "/trials/part-" in path and next(commits) else ""
    )
    killed = Run(LAMBDA, *SMALL, "--results", str(root), cwd=tmp_path)
    assert until(lambda: proxy.hit or killed.process.poll() is not None)  # one is committed, the next one waits
    assert killed.process.poll() is None, killed.wait().err
    second = run(LAMBDA, *SMALL, "--local", "--only", "--results", str(root), cwd=tmp_path)
    assert second.code == 2 and f"another driver runs it: pid {killed.process.pid}" in second.err
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.wait()
    proxy.go.set()
    assert killed.gone()  # a worker that outlives its driver for a moment commits what it has
    proxy.arm()
    before = stored(proxy, root)
    finished = len(Store(root, "lambda").finished())
    assert 0 < finished < 20 and "dead" in vmi(tmp_path, "status", root)
    again = run(LAMBDA, *SMALL, "--results", str(root), cwd=tmp_path)
    assert again.code == 0 and "took over the stale lock of" in again.out, again.err
    assert f"{20 - finished} trained in this run + {finished} found in the store" in again.out
    after = stored(proxy, root)
    parts = {key: data for key, data in before.items() if "/part-" in key}
    assert parts and parts.items() <= after.items()
    assert tables(root, "lambda") == tables(local, "lambda")
    kept = {re.sub(r"part-\w+", "part-", key.removeprefix(f"{root.key}/lambda/")) for key in after}
    named = {f"{table}/part-.parquet" for table in ("trials", "curves", "arrays")}
    assert kept == {*named, "study.json", "prediction.json"}
    assert list(tmp_path.iterdir()) == []  # nothing lies here instead
    assert "20 of 20 trials finished" in vmi(tmp_path, "status", root / "lambda")
    said = vmi(tmp_path, "report", root / "lambda")
    assert "page: lambda-report.html" in said and f"and: {root}/lambda/report.html" in said
    assert (tmp_path / "lambda-report.html").read_bytes() == (root / "lambda" / "report.html").read_bytes()
    assert "20 runs written" in vmi(tmp_path, "mirror", root / "lambda")
    assert len(list((tmp_path / "wandb" / "lambda" / "wandb").glob("offline-run-*"))) == 20


def test_a_sweep_through_a_network_that_spoils_every_fourth_request_ends_with_the_same_rows(
    proxy: Faulty, root: ObjectPath, local: Path, tmp_path: Path
) -> None:
    faults = ("503", "lost", "truncated", "500 after", "drop", "flipped", "500", "torn")
    proxy.plan = lambda number, method, path: faults[number // 4 % len(faults)] if number % 4 == 3 else ""
    proxy.log.clear()
    done = run(LAMBDA, *SMALL, "--local", "--results", str(root), cwd=tmp_path)
    requests = len(proxy.log)
    proxy.arm()
    assert done.code == 0, done.err
    assert requests > 60 and tables(root, "lambda") == tables(local, "lambda")


def test_what_cannot_be_used_is_exit_2_and_nothing_is_written(proxy: Faulty, root: ObjectPath, tmp_path: Path) -> None:
    wrong = {
        "foo://x": "no store of scheme foo:// is known",
        f"{root.scheme}://nobody-has-made-this/x": "the bucket does not exist",
    }
    for address, why in wrong.items():
        said = run(SMOKE, "--results", address, cwd=tmp_path)
        assert said.code == 2 and why in said.err and address in said.err, said.err
    said = run(SMOKE, "--results", str(root), cwd=tmp_path, **proxy.server.environment("http://127.0.0.1:9"))
    assert said.code == 2 and "cannot be reached" in said.err
    # Whoever is asked for the role of this machine does not answer.
    nothing = {"HTTP_PROXY": "http://127.0.0.1:9", "HOME": str(tmp_path.parent / "nobody"), "NO_PROXY": "127.0.0.1"}
    without = dict.fromkeys(proxy.server.environment(""), "") | {"AWS_EC2_METADATA_DISABLED": "false"} | nothing
    begun = time.monotonic()
    said = run(SMOKE, "--results", str(root), cwd=tmp_path, **without)
    assert said.code == 2 and "access denied: no " in said.err, said.err
    assert time.monotonic() - begun < 30
    proxy.arm("403", 0, lasting=True)
    said = run(SMOKE, "--results", str(root), cwd=tmp_path)
    assert said.code == 2 and "access denied (AccessDenied)" in said.err
    proxy.arm()
    proxy.ignores_conditions = True
    said = run(SMOKE, "--results", str(root), cwd=tmp_path)
    assert said.code == 2 and "ignores the condition If-None-Match" in said.err
    assert stored(proxy, root) == {} and list(tmp_path.iterdir()) == []


def test_kept_models_are_found_and_measured_and_a_damaged_store_is_exit_3(
    proxy: Faulty, root: ObjectPath, tmp_path: Path
) -> None:
    assert run(SMOKE, "--local", "--keep-models", "--results", str(root), cwd=tmp_path).code == 0
    folder = root / "smoke"
    trial = next(iter(Store(root, "smoke").finished()))
    assert f"trial {trial}" in vmi(tmp_path, "evaluate", folder, "--member", trial, "--seeds", 1)
    (model,) = (folder / "models").glob("*.pt")
    assert f"trial {trial}" in vmi(tmp_path, "evaluate", model, "--member", trial, "--seeds", 1)
    assert vmi(tmp_path, "export", folder, trial, tmp_path / "exported") == f"model: {tmp_path / 'exported'}\n"
    thinned = run(SMOKE, "--local", "--keep-models", "best", "--results", str(root), cwd=tmp_path)
    assert (thinned.code, thinned.err) == (0, "") and model.is_file()  # it has the best trial of either setting
    assert "4 of 4 trials finished" in vmi(tmp_path, "watch", folder)
    assert "in the store already: 4" in vmi(tmp_path, "plan", SMOKE, "--results", root)
    assert "| versions |" in vmi(tmp_path, "compare", folder, folder)
    assert "trials 1 -> 1" in vmi(tmp_path, "compact", folder)
    assert f"{folder}: sound" in vmi(tmp_path, "fsck", root)
    (part,) = (folder / "trials").iterdir()
    put_replacing(part.parent, part.name, part.read_bytes()[:-1])
    said = run(SMOKE, "--local", "--results", str(root), cwd=tmp_path)
    assert said.code == 3 and str(part) in said.err


def test_each_node_of_a_cluster_proves_that_it_reaches_the_store(
    proxy: Faulty, root: ObjectPath, tmp_path: Path
) -> None:
    program = """
import json
import sys
import time
from ray.cluster_utils import Cluster
from vmi.spec.errors import InputError
from vmi.storage.paths import path_of
from vmi.runners.node_check import needs_of
from vmi.runners.tune import TuneRunner

small = {"num_cpus": 1, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args=small)
cluster.add_node(**small)
runner = TuneRunner(cluster.address, 0.0, needs_of(path_of(sys.argv[1]), ["digits"]))
print("workers", runner.workers())
runner.close()
cluster.add_node(**small, env_vars=json.loads(sys.argv[2]))
try:
    runner.workers()
except InputError as error:
    print(error)
cluster.shutdown()
"""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"TMPDIR": str(short_folder())}
    elsewhere = json.dumps(proxy.server.environment("http://127.0.0.1:9"))
    command = [sys.executable, "-c", program, str(root), elsewhere]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "workers 2" in done.stdout and "1 problem" in done.stdout
    assert "does not see it: the object store cannot be reached" in done.stdout
    assert not root.exists()
