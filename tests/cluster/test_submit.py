"""`vmi submit`: the command that it prints and runs, and every bad input by name, exit code 2, nothing sent."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vmi.cli import recipes
from vmi.cli.submit import telling

ROOT = Path(__file__).parents[2]
Submit = Callable[..., subprocess.CompletedProcess[str]]
ONPREM = """
cluster_name: c
provider: {{type: local, head_ip: {head}, worker_ips: []}}
auth: {{ssh_user: nobody, ssh_private_key: /nowhere/key}}
"""


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    """Run `vmi submit` as a user without credentials, from a folder with cluster/ and sweeps/; no terminal."""
    for name in ("cluster", "sweeps"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_", "RAY_"))}
        mine = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{clean['PATH']}", "PYTHONPATH": str(ROOT)}
        code = "from vmi.cli.app import main; main()"
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code, "submit", *arguments], cwd=tmp_path, env=clean | mine | environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert time.monotonic() - start < 30 and "Traceback" not in done.stdout + done.stderr
        return done

    return run


def program(folder: Path, name: str, text: str) -> None:
    """A program on PATH that stands in for one of the place's."""
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


STUDY = "sweeps/lambda.py"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cluster/", STUDY], "--on = None: one of aws, gcp, kuberay, onprem, slurm: cluster has more than one place"),
        (["cluster/", STUDY, "--on", "asw"], "did you mean 'aws'?"),
        (["clustr/", STUDY], "did you mean 'cluster'?"),
        (["cluster/ams.yaml", STUDY], "did you mean 'cluster/aws.yaml'?"),
        (["cluster/README.md", STUDY], "place = 'cluster/README.md': a YAML file of Ray's cluster launcher"),
        (["cluster/setup.sh", STUDY], "place = 'cluster/setup.sh'"),
        (["sweeps/", STUDY], "place = 'sweeps': a folder with a place in it"),
        (["cluster/aws.yaml", STUDY, "--on", "gcp"], "--on = 'gcp': only with a folder"),
        (
            ["cluster/aws.yaml", "sweeps/lamda.py"],
            "study file = 'sweeps/lamda.py': a Python file that declares `study`",
        ),
        (["cluster/aws.yaml", "sweeps"], "this is a folder"),
        (["cluster/aws.yaml", "cluster/setup.sh"], "study file = 'cluster/setup.sh'"),
        (["cluster/aws.yaml", STUDY], "in place of REPLACE-ami, REPLACE-bucket, REPLACE-profile, REPLACE-sg"),
        (["cluster/aws.yaml", STUDY], "credentials = None: AWS credentials where Ray's launcher finds them"),
        (["cluster/gcp.yaml", STUDY], "credentials = None: Google's application default credentials"),
        (["cluster/onprem.yaml", STUDY], "REPLACE-head, REPLACE-shared-folder, REPLACE-user"),
    ],
)
def test_bad_input_is_named(submit: Submit, arguments: list[str], said: str) -> None:
    done = submit(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_study_with_a_bad_field_and_a_name_that_does_not_travel(submit: Submit, tmp_path: Path) -> None:
    text = (tmp_path / STUDY).read_text()
    (tmp_path / "my study.py").write_text(text)
    assert "without spaces and shell characters" in submit("cluster/aws.yaml", "my study.py", "--dry-run").stderr
    (tmp_path / "bad.py").write_text(text.replace('"mi_weight"', '"mi_wait"'))
    done = submit("cluster/aws.yaml", "bad.py", "--dry-run")
    assert done.returncode == 2 and "mi_weight" in done.stderr


def test_credentials_by_any_of_the_usual_ways_are_enough(submit: Submit, tmp_path: Path) -> None:
    assert "credentials" not in submit("cluster/aws.yaml", STUDY, AWS_PROFILE="mine").stderr
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("")
    assert "credentials" not in submit("cluster/aws.yaml", STUDY).stderr
    named = submit("cluster/gcp.yaml", STUDY, GOOGLE_APPLICATION_CREDENTIALS="/nowhere.json")
    assert "credentials = None" in named.stderr


def test_a_dry_run_prints_the_command_and_runs_nothing(submit: Submit) -> None:
    done = submit("cluster/", STUDY, "--on", "aws", "--dry-run", "--", "--smoke", "--name", "a b; $c")
    assert (done.returncode, done.stderr) == (0, "")
    command = shlex.split(done.stdout.removeprefix("$ "))
    assert command[:5] == ["ray", "submit", "cluster/aws.yaml", STUDY, "--"]
    # What Ray joins with spaces for a shell on the head is there what the user wrote here, after the recipe's bucket.
    bucket = ["--results", "s3://REPLACE-bucket/results"]
    assert shlex.split(" ".join(command[5:])) == [*bucket, "--smoke", "--name", "a b; $c"]


@pytest.mark.parametrize("own", [["--results", "gs://mine/x"], ["--results=gs://mine/x"]])
def test_results_of_the_user_s_own_come_before_the_recipe_s_bucket(submit: Submit, own: list[str]) -> None:
    done = submit("cluster/", STUDY, "--on", "gcp", "--dry-run", "--", *own)
    assert shlex.split(done.stdout)[6:] == own
    done = submit("cluster/", STUDY, "--on", "gcp", "--dry-run")
    assert shlex.split(done.stdout)[6:] == ["--results", "gs://REPLACE-bucket/results"]


def test_the_folder_of_one_place_needs_no_name(submit: Submit, tmp_path: Path) -> None:
    for path in (tmp_path / "cluster").glob("*.yaml"):
        path.unlink()
    assert submit("cluster", STUDY, "--dry-run").stdout == f"$ sbatch cluster/slurm.sh {STUDY}\n"


def test_slurm_gets_study_and_arguments_unchanged_and_its_exit_code_is_ours(submit: Submit, tmp_path: Path) -> None:
    program(tmp_path, "sbatch", 'for a in "$@"; do echo "<$a>"; done; exit 7')
    done = submit("cluster/slurm.sh", STUDY, "--", "--name", "a b")
    assert done.returncode == 7
    assert done.stdout.splitlines() == [
        f"$ sbatch cluster/slurm.sh {STUDY} --name 'a b'", "<cluster/slurm.sh>", f"<{STUDY}>", "<--name>", "<a b>",
    ]  # fmt: skip


def test_kuberay_gets_the_study_as_a_config_map_and_then_the_job(submit: Submit, tmp_path: Path) -> None:
    recipe = tmp_path / "cluster" / "kuberay.yaml"
    recipe.write_text(recipe.read_text().replace("REPLACE-image", "image"))
    program(tmp_path, "kubectl", 'echo "$@" >>"$HOME/asked"')
    done = submit("cluster", STUDY, "--on", "kuberay", "--", "--seeds", "3")
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text()
    assert "--from-literal=command=python /study/lambda.py --results /results --seeds 3" in asked
    assert asked.splitlines()[-1] == "create --filename=cluster/kuberay.yaml"
    program(tmp_path, "kubectl", "echo 'The connection to the server was refused' >&2; exit 1")
    done = submit("cluster", STUDY, "--on", "kuberay")
    assert done.returncode == 2 and "The connection to the server was refused" in done.stderr


@pytest.mark.parametrize(("place", "tool"), [("slurm.sh", "sbatch"), ("kuberay.yaml", "kubectl")])
def test_a_missing_program_is_named(submit: Submit, place: str, tool: str) -> None:
    done = submit(f"cluster/{place}", STUDY, PATH="/nowhere")
    assert done.returncode == 2 and f"program = '{tool}'" in done.stderr


def test_a_head_that_does_not_answer_is_named_within_seconds(submit: Submit, tmp_path: Path) -> None:
    for tool in ("ssh", "rsync"):
        program(tmp_path, tool, "exit 0")
    (tmp_path / "mine.yaml").write_text(ONPREM.format(head="127.0.0.99"))
    done = submit("mine.yaml", STUDY)
    assert done.returncode == 2 and "head = '127.0.0.99': a machine that answers on port 22" in done.stderr


def test_a_head_that_lets_nobody_in_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program_folder = tmp_path / "bin"
    program_folder.mkdir()
    program(tmp_path, "ssh", "echo 'nobody@head: Permission denied (publickey).' >&2; exit 255")
    monkeypatch.setenv("PATH", f"{program_folder}:{os.environ['PATH']}")
    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())
    (tmp_path / "mine.yaml").write_text(ONPREM.format(head="head"))
    place = recipes.read_place(tmp_path / "mine.yaml")
    assert place and "Permission denied" in str(recipes.reach(place)[0])


def test_of_a_failure_on_the_head_the_telling_line_is_shown() -> None:
    rays = "Shared connection to 10.0.0.1 closed.\nError: Command failed:\n\n  ssh -tt ...\n"
    python = "Traceback (most recent call last):\n  File ...\nModuleNotFoundError: No module named 'x'\n"
    assert telling(f"Fetched IP: 10.0.0.1\n{python}{rays}") == "ModuleNotFoundError: No module named 'x'"
    assert telling(f"bash: python: command not found\n{rays}") == "bash: python: command not found"
    assert (
        telling("RuntimeError: Head node of cluster (c) not found!\n")
        == "RuntimeError: Head node of cluster (c) not found!"
    )
    assert telling("") == "it said nothing"
