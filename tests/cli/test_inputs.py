"""The command line: every bad field at once, what a plan says, and what help does not load.

The table of bad inputs, row by row, is in tests/faults: test_inputs.py (what needs nothing to be there),
test_input_results.py, test_input_places.py and test_input_ray.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.starting import SEARCH, SMOKE, elsewhere, files, study, vmi


@pytest.fixture(autouse=True)
def work(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    folder.mkdir()
    with elsewhere(folder):
        yield folder


def test_every_bad_field_is_named_at_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    (work / "file").write_text("")
    bad = ("--steps", "ten", "--seeds", "ten", "--data", "digit", "--pack-size", "x", "--gpus-per-pack", 2, "--local",
           "--scale", "big", "--stps", 3, "--name", "../x")  # fmt: skip
    said = study(*bad, "--address", "x", "--results", work / "file")
    assert said.code == 2
    options = ("--seeds", "--pack-size", "--gpus-per-pack", "--address", "--scale")
    for field in ("fixed.steps", "fixed.dataset", *options, "WANDB_MODE", "name"):
        assert f"  {field} = " in said.err, said.err
    assert "  --stps: no such option (did you mean '--steps'?)" in said.err and "10 problems" in said.err, said.err
    said = study(*bad[:-2], "--address", "x", "--results", work / "file")
    assert f"  results = '{work / 'file'}': a folder that can be written to" in said.err and "10 problems" in said.err


def test_a_plan_names_every_bad_option_beside_those_of_the_study(work: Path) -> None:
    said = vmi("plan", SMOKE, "--gpus", "two", "--gpu-hour", "free", "--simulate", "x", "--seeds", 0, "--steps", 0)
    assert said.code == 2 and "5 problems" in said.err
    said = vmi("plan", "nothing.py", "--gpus", "two")
    assert said.code == 2 and "  --gpus = 'two'" in said.err and "  study file = 'nothing.py'" in said.err


def test_another_data_set_gives_the_study_another_name() -> None:
    assert study("--local", "--data", "mnist", "--steps", 0).err.startswith("error: study 'smoke-mnist': 1 problem")


def test_whatever_nobody_foresaw_is_one_line_without_debug(work: Path) -> None:
    assert study("--local", "--steps", 2, "--seeds", 1).code == 0
    (work / "results" / "smoke" / "study.json").unlink()
    (work / "results" / "smoke" / "study.json").mkdir()
    said = study("--local", "--steps", 2, "--seeds", 1)
    assert said.code in (1, 3) and said.err.startswith("error: ") and "study.json" in said.err
    assert "Traceback" not in said.err and "Traceback" in study("--local", "--steps", 2, "--debug").err


def test_a_plan_over_the_results_of_another_study_or_a_file_is_refused(work: Path) -> None:
    assert study("--local", "--steps", 2, "--seeds", 1).code == 0
    results = work / "results"
    before = files(results)
    said = vmi("plan", SMOKE, "--results", results)
    assert said.code == 2 and "holds another study of this name" in said.err
    part = next((results / "smoke" / "trials").iterdir())
    blocked = vmi("plan", SMOKE, "--results", part)
    assert blocked.code == 2 and "results = " in blocked.err and "is a file" in blocked.err
    assert files(results) == before


def test_a_plan_counts_what_is_there_and_writes_nothing(work: Path) -> None:
    said = vmi("plan", SMOKE, "--results", work / "none")
    assert said.code == 0 and "smoke: 4 trials (grid, 2 seeds each) on digits" in said.out
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["plan", str(SMOKE), "--results", "none"], ["plan", str(SEARCH)]])
def test_help_and_plan_load_neither_torch_nor_ray_nor_wandb(tmp_path: Path, arguments: list[str]) -> None:
    program = (
        "import sys\nfrom vmi.cli.app import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print([name for name in ('torch', 'ray', 'wandb', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_of_a_study_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        f"import runpy, sys\nsys.argv = [{str(SMOKE)!r}, '--help']\n"
        f"try:\n    runpy.run_path({str(SMOKE)!r}, run_name='__main__')\nexcept SystemExit as ended:\n    pass\n"
        "print([name for name in ('torch', 'ray', 'wandb', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
