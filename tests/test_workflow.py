"""CI workflow and issue forms keep the schemas of GitHub that check-jsonschema brings; hooks run what make runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"
FORMS = [TEMPLATES / name for name in ("bug.yml", "feature.yml", "question.yml")]


def checked(*paths: Path, schema: str = "github-workflows") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
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


def test_the_issue_forms_keep_github_s_schema_and_one_that_does_not_is_told(tmp_path: Path) -> None:
    assert sorted(TEMPLATES.iterdir()) == sorted([*FORMS, TEMPLATES / "config.yml"])
    told = checked(*FORMS, schema="github-issue-forms")
    assert told.returncode == 0, told.stdout
    told = checked(TEMPLATES / "config.yml", schema="github-issue-config")
    assert told.returncode == 0, told.stdout
    (tmp_path / "bug.yml").write_text(FORMS[0].read_text().replace("type: textarea", "type: text"))
    assert checked(tmp_path / "bug.yml", schema="github-issue-forms").returncode == 1


def test_the_hooks_run_what_make_check_runs_and_fetch_nothing() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ncheck: install")[2].partition("\n\n")[0]
    commands = [line.strip("\t@").replace("$(BIN)", ".venv/bin") for line in recipe.splitlines() if line[:1] == "\t"]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local" and {hook["language"] for hook in repository["hooks"]} == {"system"}
    assert [hook["entry"] for hook in repository["hooks"]] == commands and len(commands) == 4
