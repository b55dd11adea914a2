"""Send a study to a cluster: `vmi submit cluster/ sweeps/lambda.py --on aws -- --seeds 3`.

It runs what the place's own program offers (ray submit, sbatch, kubectl) and adds what those lack: a folder to choose
from, arguments quoted for the shell that Ray hands them to, and a named reason before anything is started.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vmi.cli.recipes import Place, choose, find, missing_from, reach
from vmi.spec.errors import InputError, Problem, printable
from vmi.spec.redaction import redacted
from vmi.study.checks import validate
from vmi.study.loading import load

# Ray's launcher takes some seconds to find the head, and the head some to load the study.
HEAD_SECONDS = 25
# Where KubeRay's pods find the study, and the folder that they share; cluster/kuberay.yaml mounts both.
STUDY_MOUNT, RESULTS_MOUNT, CONFIG_MAP = "/study", "/results", "vmi-study"

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_EXCEPTION = re.compile(r"[A-Za-z_.]*[A-Za-z_](Error|Exception): ")
# What `ray submit` adds to the output of a command that failed on the head.
_RAYS_OWN = ("Shared connection to", "Error: Command failed")

Command = Sequence[str]
Ask = Callable[[Sequence[str]], str]


def submit(
    where: Path, study: Path, arguments: Sequence[str], *, on: str | None, dry_run: bool, ask: Ask | None,
    say: Callable[[str], None],
) -> int:  # fmt: skip
    """Print what is run and run it; its exit code. `ask` picks a place by name, None where nobody can be asked.

    Raises InputError before anything is sent; with `dry_run` nothing but place and study is looked at.
    """
    place = _place(where, on, ask)
    _check_study(place, study)
    commands = commands_for(place, study, arguments)
    if not dry_run:
        problems = missing_from(place, os.environ) or reach(place) or _answers(place)
        if problems:
            raise InputError(problems, f"place {place.name!r}")
        _try_on_head(place, study)
    for command in commands:
        say(printable(redacted(f"$ {shlex.join(command)}")))
    return 0 if dry_run else _run(commands)


def commands_for(place: Place, study: Path, arguments: Sequence[str]) -> list[Command]:
    """What sends the study, as commands that take the arguments through unchanged."""
    if place.kind == "slurm":
        return [["sbatch", str(place.path), str(study), *arguments]]
    if place.kind == "kuberay":
        line = shlex.join(["python", f"{STUDY_MOUNT}/{study.name}", "--results", RESULTS_MOUNT, *arguments])
        content = [f"--from-file={study.name}={study}", f"--from-literal=command={line}"]
        return [
            ["kubectl", "delete", "configmap", CONFIG_MAP, "--ignore-not-found"],
            ["kubectl", "create", "configmap", CONFIG_MAP, *content],
            # Not `apply`: each start is a new RayJob, with a name that the cluster makes.
            ["kubectl", "create", f"--filename={place.path}"],
        ]
    own = any(argument.partition("=")[0] == "--results" for argument in arguments)
    results = ["--results", place.bucket] if place.bucket and not own else []
    # Ray joins what follows -- with spaces and gives it to a shell on the head.
    passed = ["--", *map(shlex.quote, [*results, *arguments])] if results or arguments else []
    return [["ray", "submit", str(place.path), str(study), *passed]]


def _place(where: Path, on: str | None, ask: Ask | None) -> Place:
    found = choose(where, on)
    if isinstance(found, Place):
        return found
    names = [place.name for place in found]
    if ask is None:
        raise InputError([Problem("--on", None, f"one of {', '.join(names)}: {where} has more than one place")])
    chosen = choose(where, ask(names))
    assert isinstance(chosen, Place)
    return chosen


def _check_study(place: Place, study: Path) -> None:
    """The study as this machine sees it. Raises InputError when it is not one, or has a name that does not travel."""
    validate(load(study))
    if place.kind != "slurm" and shlex.quote(study.name) != study.name:
        allowed = "a file name without spaces and shell characters: it is sent to the cluster under this name"
        raise InputError([Problem("study file", str(study), allowed)])


def _answers(place: Place) -> list[Problem]:
    """Whether the Kubernetes cluster answers and knows RayJobs; the other places are asked in their own ways."""
    if place.kind != "kuberay":
        return []
    code, said = _output(["kubectl", "get", "crd", "rayjobs.ray.io", "--request-timeout=10s"], HEAD_SECONDS)
    return [Problem("cluster", place.name, "a Kubernetes cluster with KubeRay's operator", said)] if code else []


def _try_on_head(place: Place, study: Path) -> None:
    """Raises InputError when the study does not load on the head: `--help` does that, and starts nothing."""
    if place.kind != "launcher":
        return
    code, said = _output(["ray", "submit", str(place.path), str(study), "--", "--help"], HEAD_SECONDS)
    if code:
        allowed = "a study that loads on the head of a cluster that is up"
        raise InputError([Problem("study file", str(study), allowed, said)], f"place {place.name!r}")


def _output(command: Command, seconds: float) -> tuple[int, str]:
    """The exit code, and the line that says most about a failure."""
    try:
        done = subprocess.run(
            [str(find(command[0])), *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds, env=_environment(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {seconds} s"
    return done.returncode, telling(done.stdout)


def telling(output: str) -> str:
    """Of what a command printed: the exception that Python ended with, else the last line before Ray's own words."""
    lines = [line.strip() for line in _COLOURS.sub("", output).splitlines() if line.strip()]
    own = [i for i, line in enumerate(lines) if line.startswith(_RAYS_OWN)]
    said = lines[: own[0]] if own and own[0] else lines
    errors = [line for line in said if _EXCEPTION.match(line)]
    return (errors or said or ["it said nothing"])[-1]


def _run(commands: Sequence[Command]) -> int:
    for command in commands:
        code = subprocess.run([str(find(command[0])), *command[1:]], env=_environment()).returncode
        if code:
            return code
    return 0


def _environment() -> Mapping[str, str]:
    """The programs beside this interpreter come first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
