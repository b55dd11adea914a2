"""The CI workflow keeps GitHub's own schema, as check-jsonschema brings it, and runs what .ci/run runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_workflow_keeps_github_s_schema_and_one_that_does_not_is_told(tmp_path: Path) -> None:
    assert checked(WORKFLOW).returncode == 0, checked(WORKFLOW).stdout
    (tmp_path / "ci.yml").write_text(WORKFLOW.read_text().replace("runs-on", "runs-at"))
    assert checked(tmp_path / "ci.yml").returncode == 1


@pytest.mark.parametrize("job", ["ubuntu", "macos"])
def test_every_target_that_the_workflow_makes_is_there(job: str) -> None:
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"][job]["steps"]
    targets = [step["run"].split()[1] for step in steps if step.get("run", "").startswith("make ")]
    for target in targets:
        assert f"\n{target}: install" in (ROOT / "Makefile").read_text()
    assert targets or any(step.get("run") == ".ci/run" for step in steps)


def test_ubuntu_runs_each_python_that_the_project_names() -> None:
    versions = yaml.safe_load(WORKFLOW.read_text())["jobs"]["ubuntu"]["strategy"]["matrix"]["python"]
    named = (ROOT / "pyproject.toml").read_text()
    assert versions == [v for v in ("3.11", "3.12", "3.13") if f"Programming Language :: Python :: {v}" in named]
