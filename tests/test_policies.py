"""Policies of the house (DESIGN sections 2 and 9), each as a test."""

from __future__ import annotations

import ast
import doctest
import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmi.search.factory import searcher_for
from vmi.search.grid import GridSearcher
from vmi.study.checks import validate
from vmi.study.loading import load
from vmi.study.overrides import override
from vmi.study.study import trials

ROOT = Path(__file__).parents[1]
STUDIES = sorted((ROOT / "sweeps").glob("*.py"))
BELOW = ("spec", "data", "nn", "information", "objective", "training", "estimation", "export")
CORE = [path for room in BELOW for path in sorted((ROOT / "vmi" / room).glob("*.py"))]
SOURCES = [path for folder in ("vmi", "analysis", "sweeps") for path in sorted((ROOT / folder).rglob("*.py"))]
HEAVY = ("torch", "ray", "optuna", "wandb", "pyarrow", "obstore", "botocore")


def imported(path: Path) -> Iterator[str]:
    """Every module that the file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reaches(path: Path, module: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in imported(path))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_study_file_is_a_short_declaration(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) < 40
    assert (ast.get_docstring(tree) or "").endswith("?"), "a study asks one question"
    banned = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.For | ast.While
    assert not [node for node in ast.walk(tree) if isinstance(node, banned)]
    assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] == [
        "import vmi"
    ]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_study_file_loads_by_path_and_is_valid(path: Path) -> None:
    study = load(path)
    assert study.name == path.stem
    for changed in (study, override(study, dataset="mnist"), override(study, smoke=True)):
        validate(changed)
        first = searcher_for(changed, 0).ask(1)
        assert len(trials(changed, first[0])) == len(tuple(changed.seeds))


@pytest.mark.parametrize(
    ("name", "suggestions", "planned"),
    [("lambda", 10, 50), ("temperature", 8, 40), ("layouts", 10, 30), ("smoke", 2, 4)],
)
def test_the_grids_have_the_size_that_they_promise(name: str, suggestions: int, planned: int) -> None:
    study = load(ROOT / "sweeps" / f"{name}.py")
    asked = GridSearcher(study).ask(999)
    assert len(asked) == suggestions
    assert len({trial.trial_id for s in asked for trial in trials(study, s)}) == planned


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("vmi", HEAVY),
        ("vmi.spec.config", HEAVY),
        ("vmi.study.study", HEAVY),
        ("vmi.search.grid", HEAVY),
        ("vmi.cost.packing", HEAVY),
        ("vmi.search.optuna_searcher", ("torch", "ray", "wandb", "pyarrow", "obstore")),
        ("vmi.cli.app", (*HEAVY, "numpy", "pandas", "importlib.metadata", "vmi.cost.sizing", "vmi.results.store")),
        ("vmi", ("typing", "dataclasses", "pathlib", "re", "vmi.api", "vmi.spec")),
        ("vmi.results.store", ("torch", "ray", "optuna", "wandb", "obstore")),
    ],
)
def test_importing_loads_nothing_heavy(module: str, banned: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print([m for m in {banned!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", CORE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_library_below_knows_neither_sweeps_nor_records(path: Path) -> None:
    banned = ("ray", "optuna", "wandb", "pyarrow", "vmi.results", "vmi.driver")
    assert [module for module in banned if reaches(path, module)] == []


@pytest.mark.parametrize(
    ("module", "home"),
    [
        ("optuna", "vmi/search/optuna_searcher.py vmi/search/optuna_pruner.py vmi/search/optuna_export.py"),
        ("ray", "vmi/runners/tune.py vmi/runners/tune_hooks.py vmi/runners/ray_cluster.py vmi/runners/ray_private.py"),
        ("wandb", "vmi/mirror/runs.py vmi/mirror/report.py"),
        ("wandb_workspaces", "vmi/mirror/report_blocks.py"),
        ("obstore", "vmi/storage/bucket.py vmi/storage/bucket_errors.py vmi/storage/clouds.py"),
        ("safetensors", "vmi/export/model.py"),
        ("boto3", ""),
        ("botocore", "vmi/storage/clouds.py"),
    ],
)
def test_each_outside_library_has_one_home(module: str, home: str) -> None:
    users = [path.relative_to(ROOT).as_posix() for path in SOURCES if reaches(path, module)]
    assert [user for user in users if user not in home.split()] == []


@pytest.mark.parametrize("path", [path for path in SOURCES if ">>> " in path.read_text()], ids=lambda path: path.name)
def test_the_examples_of_docstrings_hold(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted and not tried.failed


def contracts_hold(folder: Path) -> tuple[bool, str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with their contracts."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("vmi", "analysis"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", folder)
    return folder


@pytest.mark.parametrize(
    ("path", "line", "broken"),
    [
        ("vmi/spec/trial.py", "", ""),
        ("vmi/training/train.py", "import ray", "Ray stands only in four files of vmi/runners BROKEN"),
        ("vmi/results/store.py", "import wandb", "W&B stands only in the mirror and in the uploaded report BROKEN"),
        ("analysis/wandb_report.py", "import wandb_workspaces", "and in the uploaded report BROKEN"),
        ("vmi/results/store.py", "import obstore", "clients stand only in the object store BROKEN"),
        ("vmi/spec/trial.py", "from vmi.results import schema", "A room imports only the rooms below it BROKEN"),
        ("vmi/brand_new.py", "from vmi.driver import launch", "A room imports only the rooms below it BROKEN"),
        ("vmi/training/brand_new.py", "from vmi.driver import launch", "A room imports only the rooms below it BROKEN"),
        ("vmi/training/train.py", "from vmi.results import schema", "nor knows of studies BROKEN"),
        (
            "vmi/driver/launch.py",
            "import analysis",
            "Only command line and face call the analysis BROKEN",
        ),
        ("analysis/data/goals.py", "from vmi.search import score", "it neither trains nor sweeps BROKEN"),
        ("vmi/cost/packing.py", "from vmi.training import train", "A room imports only the rooms below it BROKEN"),
        ("analysis/report.py", "from vmi.data import dataset", "it neither trains nor sweeps BROKEN"),
        ("vmi/study/space.py", "import torch", "torch, Ray, W&B, Arrow or a runner BROKEN"),
    ],
)
def test_a_planted_import_breaks_its_contract(house: Path, path: str, line: str, broken: str) -> None:
    file = house / path
    before = file.read_text(encoding="utf-8") if file.exists() else None
    file.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        kept, said = contracts_hold(house)
    finally:
        file.write_text(before, encoding="utf-8") if before is not None else file.unlink()
    assert kept == (not line), said
    assert broken in " ".join(said.split())
