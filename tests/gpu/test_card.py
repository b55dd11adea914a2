"""On a card: captured steps, packs, memory, precision (`gpu`, skipped by name without one). The checks on a CPU, too.

On a machine with torch, NumPy and pytest alone: `python -m pytest -c tests/gpu/alone.ini tests/gpu`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.gpu.checks import CHECKS
from vmi.training.precision import tf32

ROOT = Path(__file__).parents[2]
NO_CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: not run on a card")
DEVICES = [pytest.param("cuda", marks=[pytest.mark.gpu, NO_CARD]), "cpu"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_is_to_hold_on_a_card(check: Callable[[str], str], device: str) -> None:
    tf32(False)
    assert check(device)


# Finds nothing but the standard library, torch with what it needs, NumPy, and the code that is here.
ALONE = """
import sys
from importlib.abc import MetaPathFinder
NEEDED = {"torch", "functorch", "torchgen", "numpy", "typing_extensions", "sympy", "mpmath", "networkx", "jinja2",
          "markupsafe", "fsspec", "filelock", "nvidia", "triton", "cuda"}
class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in NEEDED | {"vmi", "tests", "cases"} and top not in sys.stdlib_module_names and top[0] != "_":
            raise ModuleNotFoundError(f"{name} is not here", name=name)
sys.meta_path.insert(0, Blocked())
sys.path[:0] = [".", "benchmarks"]
"""


def alone(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE + program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_training_resuming_and_evaluating_need_torch_and_numpy_alone() -> None:
    program = """
import torch
torch.set_num_threads(1)
from tests.gpu.checks import a_restored_pack_goes_on, an_evaluation_is_the_cpus, images, trials
from vmi.training.pack import Pack
from vmi.training.train import train
images("cpu")
(*_, last) = train(Pack(trials(2)), images("cpu"), trials(3)[2:])
assert last.done == [0]
print(a_restored_pack_goes_on("cpu"), an_evaluation_is_the_cpus("cpu"))
for name in ("ray", "optuna", "wandb", "pyarrow", "sklearn", "scipy", "pandas"):
    try: __import__(name)
    except ModuleNotFoundError: continue
    raise SystemExit(f"{name} was there")
"""
    done = alone(program)
    assert done.returncode == 0 and "apart" in done.stdout, done.stderr[-3000:]
