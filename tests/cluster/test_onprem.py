"""cluster/onprem.yaml on three hosts: what cluster/README.md says, done with its own commands, one after the other.

The tests share one cluster and run in their order. Each command and what it said goes to VMI_TRANSCRIPT.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cluster.hosts import Host, Hosts, missing
from cluster.laptop import Laptop, furnish

from vmi.results.store import Store

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(missing()), reason=missing())]

RECIPE = "cluster/onprem.yaml"
STUDY = "sweeps/lambda.py"
TUNNEL = 18265


class Cluster(NamedTuple):
    """A head, two workers, the user's machine, and the folder that all of them share."""

    laptop: Laptop
    hosts: Hosts
    head: Host
    workers: list[Host]
    shared: Path

    def status(self) -> str:
        return self.laptop.run("ray", "exec", RECIPE, "ray status").stdout

    def rows(self, study: str) -> list[dict[str, Any]]:
        return list(Store(self.shared, study).finished().values())

    def packs_by_host(self) -> dict[str, int]:
        """How many workers that train packs each host has had, as Ray's own state has it; by the host's address."""
        listed = self.laptop.run(
            "ray", "exec", RECIPE, "ray list actors --format json; echo; ray list nodes --format json"
        )
        actors, nodes = (json.loads(line) for line in listed.stdout.splitlines() if line.startswith("[{"))
        address = {node["node_id"]: node["node_ip"] for node in nodes}
        # Ray names the class with or without the function that it is local to.
        found = [address[actor["node_id"]] for actor in actors if actor["class_name"].endswith("ImplicitFunc")]
        return {host: found.count(host) for host in set(found)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    shared = folder / "shared"
    shared.mkdir()
    transcript = Path(os.environ.get("VMI_TRANSCRIPT") or folder / "transcript.txt")
    hosts = Hosts(folder, 3, {"shared": shared})
    with hosts as (head, *workers):
        for host in (head, *workers):
            furnish(host)
        laptop = Laptop(folder / "laptop", [head, *workers], transcript)
        up = laptop.run("ray", "up", "--yes", RECIPE)
        assert up.returncode == 0, up.stdout
        yield Cluster(laptop, hosts, head, workers, shared)


def until(true: Callable[[], Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(1)
    return True


def test_the_shipped_recipe_starts_a_head_that_only_drives_and_both_workers(cluster: Cluster) -> None:
    assert until(lambda: re.search(r"0\.0/2\.0 CPU", cluster.status()))


def test_the_token_is_on_every_host_and_its_owner_s_alone(cluster: Cluster) -> None:
    for host in (cluster.head, *cluster.workers):
        said = host.run("stat --format=%a ~/.ray ~/.ray/auth_token; readlink ~/results").stdout.split()
        assert said == ["700", "600", f"{Path.home()}/shared"]


def test_the_dashboard_answers_on_the_head_s_loopback_only(cluster: Cluster) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((cluster.head.address, 8265), 5)
    assert cluster.head.run("(echo > /dev/tcp/127.0.0.1/8265) && echo open").stdout.strip() == "open"


def test_vmi_submit_takes_the_folder_and_both_workers_train(cluster: Cluster) -> None:
    done = cluster.laptop.run("vmi", "submit", "cluster/", STUDY, "--on", "onprem", "--", "--smoke")
    assert done.returncode == 0, done.stdout
    assert f"$ ray submit {RECIPE} {STUDY} -- --smoke" in done.stdout
    assert "lambda-smoke: 8 trials = 8 trained in this run + 0 found in the store, 0 failed" in done.stdout
    assert len(cluster.rows("lambda-smoke")) == 8
    assert set(cluster.packs_by_host()) == {host.address for host in cluster.workers}


def test_ray_submit_finds_them_again_with_arguments_that_need_quotes(cluster: Cluster) -> None:
    submit = ("vmi", "submit", RECIPE, STUDY, "--", "--smoke", "--results", f"{Path.home()}/shared/two words; $HOME")
    assert cluster.laptop.run(*submit).returncode == 0
    assert (cluster.shared / "two words; $HOME" / "lambda-smoke" / "study.json").is_file()


def test_results_that_a_node_does_not_see_are_refused_by_its_name_before_any_trial(cluster: Cluster) -> None:
    private = f"{Path.home()}/private"
    done = cluster.laptop.run("ray", "submit", RECIPE, STUDY, "--", "--smoke", "--results", private)
    assert done.returncode != 0 and "error: cluster: 2 problems" in done.stdout
    for worker in cluster.workers:
        assert f"{worker.name} ({worker.address}) does not see it" in done.stdout
    assert "trials;" not in done.stdout  # nothing has started
    for host in (cluster.head, *cluster.workers):
        assert not (host.folder / "home" / "private").exists()


def test_a_study_that_does_not_load_on_the_head_is_refused_with_its_reason(cluster: Cluster) -> None:
    checkout = cluster.laptop.checkout
    (checkout / "only_here.py").write_text("")
    (checkout / "study.py").write_text("import only_here\n" + (checkout / STUDY).read_text())
    start = time.monotonic()
    done = cluster.laptop.run("vmi", "submit", RECIPE, "study.py", PYTHONPATH=".")
    assert done.returncode == 2 and time.monotonic() - start < 30
    assert "ModuleNotFoundError: No module named 'only_here'" in done.stdout


def test_ray_job_submit_wants_the_token(cluster: Cluster) -> None:
    with subprocess.Popen(cluster.head.ssh("-N", "-L", f"{TUNNEL}:127.0.0.1:8265")) as tunnel:
        try:
            address = ("--address", f"http://127.0.0.1:{TUNNEL}")
            assert until(lambda: socket.socket().connect_ex(("127.0.0.1", TUNNEL)) == 0)
            study = ("--working-dir", "sweeps", "--", "python", "lambda.py", "--smoke", "--results", "~/results")
            send = ("ray", "job", "submit", *address, *study)
            done = cluster.laptop.run(*send, RAY_AUTH_MODE="token")
            assert done.returncode == 0 and "8 found in the store, 0 failed" in done.stdout
            refused = cluster.laptop.run(*send, HOME=str(cluster.laptop.home / "nobody"))
            assert refused.returncode != 0 and "Unauthorized: Missing authentication token" in refused.stdout
            code = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}")
            assert cluster.laptop.run(*code, f"{address[1]}/api/jobs/").stdout == "401"
        finally:
            tunnel.terminate()


def test_a_worker_killed_in_mid_sweep_costs_no_trial(cluster: Cluster) -> None:
    lost = cluster.workers[-1]
    arguments = ("--name", "killed", "--steps", "400", "--seeds", "1", "--pack-size", "1")
    running = cluster.laptop.start("ray", "submit", RECIPE, STUDY, "--", *arguments)
    assert until(lambda: list((cluster.shared / "killed" / "trials").glob("part-*")))
    assert until(lambda: "ray::ImplicitFunc.train" in lost.run("ps ax -o args").stdout)
    before = len(cluster.rows("killed"))
    lost.kill()
    cluster.laptop.note(f"*** {lost.name} is dead; {before} of 10 trials were finished")
    out, _ = running.communicate()
    cluster.laptop.note(out[-1500:])
    assert running.returncode == 0, out[-3000:]
    assert "killed: 10 trials = 10 trained in this run + 0 found in the store, 0 failed" in out
    # Each pack is stored once, whether it died before its commit or between that and its last report.
    assert len(list((cluster.shared / "killed" / "trials").glob("part-*"))) == 10
    assert before < 10 and [row["outcome"] for row in cluster.rows("killed")] == ["completed"] * 10


@pytest.fixture(scope="module")
def returned(cluster: Cluster) -> None:
    """The last worker, plugged in again: it lives as long as the cluster, not as the test that asks for it."""
    cluster.workers[-1].kill()
    cluster.hosts.start(cluster.workers[-1])


@pytest.mark.usefixtures("returned")
def test_a_worker_that_comes_back_joins_again(cluster: Cluster) -> None:
    assert until(lambda: re.search(r"0\.0/2\.0 CPU", cluster.status()))


def test_the_results_are_fetched_and_reported_on_the_laptop(cluster: Cluster) -> None:
    assert cluster.laptop.run("ray", "rsync-down", RECIPE, "~/results/", "results/").returncode == 0
    report = cluster.laptop.run("vmi", "report", "results/lambda-smoke")
    assert report.returncode == 0 and (cluster.laptop.checkout / "results" / "lambda-smoke" / "report.html").is_file()


def test_ray_down_stops_the_head_and_the_workers_follow(cluster: Cluster) -> None:
    """Ray stops only the head of machines of one's own; a worker gives up some time after it has lost the head."""
    assert cluster.laptop.run("ray", "down", "--yes", RECIPE).returncode == 0
    for host in (cluster.head, *cluster.workers):
        assert until(lambda host=host: "raylet" not in host.run("ps ax -o comm").stdout), host.name
