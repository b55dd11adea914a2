"""cluster/slurm.sh on two hosts, with stand-ins for Slurm's own programs: what it asks them for is what it needs, and
`ray symmetric-run` makes one cluster of the job's nodes, runs the study on it and is gone afterwards.

A real Slurm is not part of this.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cluster.hosts import Host, Hosts, missing
from cluster.laptop import GIVE_UP, Laptop, furnish

from vmi.results.store import Store

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(missing()), reason=missing())]

# One task per node: here, and by ssh on the others, with the job's environment, as srun does.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do [[ $1 == --nodes=* ]] && nodes=${1#--nodes=}; shift; done
here="cd $(printf %q "$PWD"); . ~/.vmi-env; unset RAY_ADDRESS
export GIVE_UP RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH; $(printf '%q ' "$@")"
for host in OTHERS; do
  if [ "$nodes" -gt 1 ]; then ssh -i KEY -o StrictHostKeyChecking=no -o LogLevel=ERROR root@$host "$here" & fi
done
"$@"
code=$?
wait
exit $code
"""


class Job(NamedTuple):
    """The script's exit code and output, its folder, and the hosts that it ran on."""

    code: int
    out: str
    folder: Path
    hosts: list[Host]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    folder = tmp_path_factory.mktemp("slurm")
    shared = folder / "shared"
    shared.mkdir()
    with Hosts(folder, 2, {"shared": shared}) as hosts:
        for host in hosts:
            furnish(host)
        transcript = os.environ.get("VMI_TRANSCRIPT")
        path = Path(transcript).with_suffix(".slurm.txt") if transcript else folder / "transcript.txt"
        laptop = Laptop(folder / "laptop", [*hosts, hosts[-1]], path)
        # The home and the working folder of a login node, which the nodes share.
        shutil.copytree(laptop.checkout, shared, dirs_exist_ok=True)
        (shared / "bin").mkdir()
        srun = (
            SRUN.replace("GIVE_UP", GIVE_UP)
            .replace("OTHERS", hosts[1].address)
            .replace("KEY", str(hosts[0].keys / "user"))
        )
        for name, text in (("srun", srun), ("scontrol", f"#!/bin/sh\nprintf '{hosts[0].address}\\nother\\n'\n")):
            (shared / "bin" / name).write_text(text)
            (shared / "bin" / name).chmod(0o755)
        setup = "VMI_SETUP=~/shared bash ~/shared/cluster/setup.sh"
        for host in hosts:
            laptop.note(f"{host.name}$ {setup}\n{host.run(setup).stdout}")
        slurm = "SLURM_JOB_ID=7 SLURM_JOB_NUM_NODES=2 SLURM_CPUS_PER_TASK=1 SLURM_JOB_NODELIST=h[1-2]"
        command = f"cd ~/shared; PATH=$PWD/bin:$PATH {slurm} bash cluster/slurm.sh sweeps/lambda.py --smoke"
        done = hosts[0].run(command)
        laptop.note(f"{hosts[0].name}$ {command}\n{done.stdout}\n[exit {done.returncode}]")
        yield Job(done.returncode, done.stdout, shared, hosts)


def test_the_script_runs_the_study_on_the_job_s_nodes(job: Job) -> None:
    assert job.code == 0, job.out
    assert "lambda-smoke: 8 trials = 8 trained in this run + 0 found in the store, 0 failed" in job.out
    assert len(Store(job.folder / "results", "lambda-smoke").finished()) == 8
    # Two CPUs, one of each node: fewer would make one pack of the eight trials.
    assert len(list((job.folder / "results" / "lambda-smoke" / "trials").glob("part-*"))) == 2


def test_nothing_is_left_of_the_job(job: Job) -> None:
    assert not list(job.folder.glob(".vmi-token-*"))
    for host in job.hosts:
        assert "raylet" not in host.run("ps ax -o comm").stdout
