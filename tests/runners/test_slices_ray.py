"""Slices of a GPU on a real Ray: each is a GPU to it, and a worker sees the one that it is given. No card is used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.cards import nvidia_smi
from support.owned import short_folder
from support.runs import ROOT, SMOKE, run

pytestmark = pytest.mark.linux

PROGRAM = """
from pathlib import Path
from vmi.runners import ray_cluster
from vmi.runners.node_check import needs_of
import os, ray
assert ray_cluster.connect(None, needs_of(Path.cwd(), []), print)
seen = ray.remote(num_gpus=1)(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
given = sorted(ray.get([seen.remote() for _ in range(2)]))
print(ray_cluster.capacity()[1], given, ray_cluster.room(0.5).free // 2**20)
ray_cluster.leave()
from vmi.runners.tune import TuneRunner
runner = TuneRunner(None, None, needs_of(Path.cwd(), []), print, lambda: 2)
assert runner.workers() == min(os.cpu_count(), 4) and runner.device == "cuda"
print(runner.room().free // 2**20)
runner.close()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a node with one GPU in two slices of which one is nearly full."""
    programs = tmp_path / "bin"
    programs.mkdir()
    nvidia_smi(programs, [("GPU-aa", 80000, [("MIG-0a", 9000), ("MIG-0b", 4000)])])
    paths = os.pathsep.join([str(programs), os.environ["PATH"]])
    return {"PATH": paths, "CUDA_VISIBLE_DEVICES": "MIG-0a,MIG-0b", "WANDB_MODE": "disabled", "PYTHONPATH": str(ROOT)}


def test_ray_hands_out_every_slice_that_the_list_names(tmp_path: Path, environment: dict[str, str]) -> None:
    scratch = short_folder()
    whole = {**os.environ, **environment, "TMPDIR": str(scratch)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=whole, capture_output=True, text=True)
    shutil.rmtree(scratch)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "2.0 ['MIG-0a', 'MIG-0b'] 2000",
        "2 packs train on each GPU at a time, as was measured; --gpus-per-pack 1 is one",
        "2000",
    ]


def test_more_packs_a_slice_than_its_memory_holds_are_refused_before_anything_is_written(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = run(SMOKE, "--gpus-per-pack", "0.05", "--results", tmp_path / "results", cwd=tmp_path, **environment)
    said = " ".join(done.err.split())
    assert done.code == 2, done.out + done.err
    assert "--gpus-per-pack = 0.05: at most" in said and "packs a GPU, not 20" in said and "4.2 GB are free" in said
    assert not (tmp_path / "results" / "smoke" / "study.json").exists()
