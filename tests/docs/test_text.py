"""README, CONTRIBUTING and the pages say what is so: their length, their links, and each command that they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import vmi
from vmi.cli.app import app
from vmi.driver.options import RunOptions, flag, options_of
from vmi.spec.environment import VARIABLES

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "cluster" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OF_STUDIES = {"--help", "--debug", *(flag(part.name) for part in options_of(RunOptions))}
# Variables of others that our code passes on, sets for them, or asks about without an effect of its own.
OF_OTHERS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "TUNE_DISABLE_SIGINT_HANDLER", "TUNE_PRINT_ALL_TRIAL_ERRORS",
    "RAY_AIR_NEW_OUTPUT", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_USAGE_STATS_ENABLED", "RAY_NUM_REDIS_GET_RETRIES",
    "WANDB_SERVICE",
}  # fmt: skip


@pytest.mark.parametrize(("name", "lines"), [("README.md", 150), ("CONTRIBUTING.md", 100)])
def test_what_is_read_first_is_short(name: str, lines: int) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= lines


@pytest.mark.parametrize("page", ["README.md", "docs/guides/study.md"])
def test_the_study_that_is_shown_is_the_one_that_runs(page: str) -> None:
    study = (ROOT / "sweeps" / "lambda.py").read_text(encoding="utf-8")
    assert f"```python\n{study}```" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_is_linked_or_named_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = [link.partition("#")[0] for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", text)]
    named = re.findall(r"`((?:vmi|analysis|tests|sweeps|docs|cluster)/[\w./-]+)`", text)
    assert linked
    assert [path for path in (*linked, *named) if not (ROOT / path).exists()] == []


def shown(page: Path) -> Iterator[str]:
    """The commands that a page shows, without their comments."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield from (part.strip() for part in line[2:].partition(" #")[0].split("&&"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_that_is_shown_is_one(page: Path) -> None:
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in shown(page):
        words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
        own = words[: words.index("--")] if "--" in words else words
        options = {word.partition("=")[0] for word in own if word.startswith("--")}
        if words[0] == "make":
            assert f"\n{words[1]}: install" in targets or f"\n{words[1]}: $(STAMP)" in targets, command
        elif words[0] == "vmi":
            known = {name for option in COMMANDS[words[1]].params for name in getattr(option, "opts", ())}
            assert options <= {"--help", *known}, command
        elif words[0] == "python" and words[1].startswith("sweeps/"):
            assert (ROOT / words[1]).is_file(), command
            assert options <= OF_STUDIES, command
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), command


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_name_of_ours_in_an_example_is_one(page: Path) -> None:
    rooms = {path.name for path in (ROOT / "vmi").iterdir() if path.is_dir()}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        compile(block, str(page), "exec")
        assert set(re.findall(r"\bvmi\.(\w+)", block)) <= {*vmi.__all__, *rooms}
        assert set(re.findall(r"\bresults\.(\w+)", block)) <= {"folder", *dir(vmi.Results)}


def test_the_environment_variables_that_are_read_are_those_that_are_listed() -> None:
    """Names of ours and of the libraries that we configure, wherever a string of the code is one."""
    files = [path for folder in ("vmi", "analysis") for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.name != "environment.py")
    found = set(re.findall(r"\"((?:VMI|WANDB|RAY|TUNE)_[A-Z_]+)\"", text))
    assert found - OF_OTHERS <= set(VARIABLES)
    assert {name for name in VARIABLES if name.startswith(("VMI_", "WANDB_", "RAY_"))} <= found


def test_the_lock_names_no_host() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
