"""The wheel, in an environment of its own and outside of the repository, does what the checkout does."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from vmi.spec.version import version

ROOT = Path(__file__).parents[1]
UV = [sys.executable, "-m", "uv"]
PACKAGES = ("vmi", "analysis")
STUDY = """
import vmi

study = vmi.Study(
    name="own",
    fixed={"dataset": "digits", "layout": "n4+c10*", "batch_size": 32},
    space={"mi_weight": vmi.choice(0, 4)},
)
if __name__ == "__main__":
    vmi.main(study)
"""
PROGRAM = """
import vmi
from own import study

ran = vmi.run(study, results="results", local=True, steps=4, seeds=2, name="again")
opened = vmi.open("results/own-smoke")
print(vmi.__file__, len(ran.trials), len(opened.trials), opened.best is not None, len(opened.figures) > 3)
"""
TYPED = """
import vmi
from own import study

results: vmi.Results = vmi.run(study, local=True, pack_size="auto", seeds=[0, 1])
vmi.run(study, packsize=2)
vmi.run(study, steps="x")
vmi.open(3)
"""

pytestmark = pytest.mark.linux


class Installed(NamedTuple):
    """What was built, and where the wheel is installed: beside nothing but the locked packages."""

    wheel: Path
    sdist: Path
    bin: Path
    packages: Path
    folder: Path

    def run(self, *command: str | Path) -> str:
        """Standard output of a command of this environment, in a folder of its own."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "WANDB", "VIRTUAL_ENV"))}
        done = subprocess.run(
            [str(part) for part in command], cwd=self.folder, env=clean | {"WANDB_MODE": "disabled"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    built, folder = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("user")
    build = ["build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir"]
    subprocess.run([*UV, *build, built], cwd=ROOT, check=True)  # the sdist, and of that the wheel
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    home = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    install = ["pip", "install", "--quiet", "--no-deps", "--offline", "--python"]
    subprocess.run([*UV, *install, python, wheel], check=True)
    packages = home / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    # By its path alone, so that what is installed editably there stays unknown.
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib"))
    for name, text in (("own", STUDY), ("program", PROGRAM), ("typed", TYPED)):
        (folder / f"{name}.py").write_text(text)
    return Installed(wheel, sdist, home / "bin", packages, folder)


def test_wheel_and_sdist_have_every_file_of_the_packages(installed: Installed) -> None:
    there = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"vmi/py.typed", "analysis/py.typed", "analysis/html/page.js", "analysis/html/page.css"} <= there
    with zipfile.ZipFile(installed.wheel) as wheel:
        assert {name for name in wheel.namelist() if name.startswith(PACKAGES) and ".dist-info/" not in name} == there
    with tarfile.open(installed.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert there | {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names


def test_it_is_the_wheel_that_is_imported_and_its_command_that_answers(installed: Installed) -> None:
    said = installed.run(installed.bin / "python", "-c", "import vmi, analysis; print(vmi.__file__, analysis.__file__)")
    assert [Path(file).parents[1] for file in said.split()] == [installed.packages, installed.packages]
    assert installed.run(installed.bin / "vmi", "--version").strip() == version()
    assert "report" in installed.run(installed.bin / "vmi", "--help")


def test_a_study_file_a_report_and_a_program_run(installed: Installed) -> None:
    assert "4 trained in this run" in installed.run(installed.bin / "python", "own.py", "--local", "--smoke")
    assert "page: results/own-smoke/report.html" in installed.run(installed.bin / "vmi", "report", "results/own-smoke")
    page = (installed.folder / "results" / "own-smoke" / "report.html").read_text()
    for name in ("page.js", "values.js", "explorer.js", "page.css"):
        assert (ROOT / "analysis" / "html" / name).read_text().strip() in page
    *_, said = installed.run(installed.bin / "python", "program.py").splitlines()
    assert said == f"{installed.packages / 'vmi' / '__init__.py'} 4 4 True True"


def test_a_user_s_type_checker_sees_the_types(installed: Installed) -> None:
    command = [str(installed.bin / "python"), "-m", "mypy", "--strict", "--cache-dir", "cache", "typed.py"]
    done = subprocess.run(command, cwd=installed.folder, capture_output=True, text=True, check=False)
    errors = [line.partition(": error: ")[2] for line in done.stdout.splitlines() if ": error: " in line]
    assert done.returncode == 1 and len(errors) == 3, done.stdout + done.stderr
    assert 'Unexpected keyword argument "packsize" for "run"' in errors[0]
    assert 'Argument "steps" to "run" has incompatible type "str"' in errors[1]
    assert 'Argument 1 to "open" has incompatible type "int"' in errors[2]
