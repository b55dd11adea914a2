"""The places that a folder such as cluster/ describes, and what of each can be known to be wrong without using it.

A place is a file that another program reads: Ray's cluster launcher (a YAML file with `provider`), KubeRay (a RayJob)
or Slurm (a script with #SBATCH lines). Nothing here goes over the network but `reach`, to a head of one's own.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vmi.spec.errors import InputError, Problem, did_you_mean, one_of

CONNECT_SECONDS = 5
PLACEHOLDER = re.compile(r"REPLACE-[\w-]+")
TOOLS: Mapping[str, tuple[str, ...]] = {
    "launcher": ("ray", "ssh", "rsync"),
    "kuberay": ("kubectl",),
    "slurm": ("sbatch",),
}
_QUIET = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
# What each of Ray's providers imports, and how it is installed.
CLIENTS = {"aws": ("boto3", "aws"), "gcp": ("googleapiclient", "gcp")}


class Place(NamedTuple):
    """One place. `kind`: launcher, kuberay or slurm; `config`: the YAML's content, empty for a script."""

    name: str
    path: Path
    kind: str
    config: Mapping[str, Any]

    @property
    def provider(self) -> Mapping[str, Any]:
        found = self.config.get("provider")
        return found if isinstance(found, dict) else {}

    @property
    def bucket(self) -> str | None:
        """Where in an object store its results lie, as its setup is told by VMI_SHARED; None for files."""
        commands = " ".join(map(str, self.config.get("setup_commands") or ()))
        found = re.search(r"\bVMI_SHARED=(\w+://\S+)", commands)
        return found[1] if found else None


def places_in(folder: Path) -> list[Place]:
    """Every place that the folder describes, by name; other files in it are no places."""
    return [place for path in sorted(folder.iterdir()) if (place := read_place(path))]


def read_place(path: Path) -> Place | None:
    """The place that a file describes, None where it describes none. Raises InputError on YAML that cannot be read."""
    if path.suffix == ".sh" and path.is_file():
        is_slurm = "\n#SBATCH " in path.read_text(encoding="utf-8", errors="replace")
        return Place(path.stem, path, "slurm", {}) if is_slurm else None
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError([Problem("place", str(path), "YAML", " ".join(str(error).split()))]) from error
    if not isinstance(config, dict):
        return None
    kind = "launcher" if "provider" in config else "kuberay" if config.get("kind") == "RayJob" else ""
    return Place(path.stem, path, kind, config) if kind else None


def choose(where: Path, on: str | None) -> Place | list[Place]:
    """The place meant by a file, or by a folder and a name; all of the folder's where the name is missing.

    Raises InputError with the nearest valid name.
    """
    if where.is_file():
        place = read_place(where)
        if place is None:
            allowed = "a YAML file of Ray's cluster launcher, a RayJob, or a script with #SBATCH lines"
            raise InputError([Problem("place", str(where), allowed)])
        if on not in (None, place.name):
            raise InputError([Problem("--on", on, f"only with a folder; {where} is one place already")])
        return place
    if not where.is_dir():
        near = did_you_mean(str(where), [str(p) for p in where.parent.iterdir()] if where.parent.is_dir() else [])
        raise InputError(
            [Problem("place", str(where), "a folder of places such as cluster/, or one of its files", near)]
        )
    places = {place.name: place for place in places_in(where)}
    if not places:
        raise InputError([Problem("place", str(where), "a folder with a place in it")])
    if on is None:
        return [*places.values()] if len(places) > 1 else next(iter(places.values()))
    if on not in places:
        raise InputError([Problem("--on", on, one_of(list(places)), did_you_mean(on, places))])
    return places[on]


def missing_from(place: Place, environ: Mapping[str, str]) -> list[Problem]:
    """What has to be there before a study can be sent: values of one's own, programs, credentials."""
    left = sorted(set(PLACEHOLDER.findall(_without_comments(place.path))))
    problems = [Problem("place", str(place.path), f"values of your own in place of {', '.join(left)}")] if left else []
    problems += [
        Problem("program", tool, f"a program on PATH: {place.name} needs it")
        for tool in TOOLS[place.kind]
        if not find(tool)
    ]
    kind = place.provider.get("type")
    if kind in CLIENTS and importlib.util.find_spec(CLIENTS[kind][0]) is None:
        module, extra = CLIENTS[kind]
        problems.append(Problem("package", module, f"installed: Ray reaches {kind} by it", f"vmi-sweeps[{extra}]"))
    if kind in _CREDENTIALS and not _CREDENTIALS[kind](environ):
        problems.append(Problem("credentials", None, _HOW[kind]))
    return problems


def reach(place: Place) -> list[Problem]:
    """Whether the head of machines of one's own answers, and lets this user in; within seconds."""
    provider, auth = place.provider, place.config.get("auth") or {}
    if provider.get("type") != "local" or auth.get("ssh_proxy_command"):
        return []
    head = str(provider.get("external_head_ip") or provider.get("head_ip"))
    try:
        socket.create_connection((head, 22), CONNECT_SECONDS).close()
    except OSError as error:
        return [Problem("head", head, "a machine that answers on port 22 (ssh)", str(error))]
    key = ["-i", str(Path(auth["ssh_private_key"]).expanduser())] if auth.get("ssh_private_key") else []
    quiet = [f"-o{name}" for name in _QUIET]
    command = ["ssh", *key, *quiet, "-o", f"ConnectTimeout={CONNECT_SECONDS}", f"{auth.get('ssh_user')}@{head}", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * CONNECT_SECONDS)
        said = done.stderr.strip() if done.returncode else ""
    except subprocess.TimeoutExpired:
        said = f"no answer within {2 * CONNECT_SECONDS} s"
    return [Problem("head", head, f"a machine that lets {auth.get('ssh_user')} in by ssh", said)] if said else []


def find(tool: str) -> str | None:
    """The program's path: beside this interpreter, or on PATH."""
    beside = Path(sys.executable).parent / tool
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(tool)


def _without_comments(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _has_aws(environ: Mapping[str, str]) -> bool:
    """Whether any of boto3's sources is there; what they hold is not looked at."""
    named = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
             "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")  # fmt: skip
    home = Path(environ.get("HOME", "~")).expanduser() / ".aws"
    files = [
        environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials",
        environ.get("AWS_CONFIG_FILE") or home / "config",
    ]
    return any(environ.get(name) for name in named) or any(Path(file).is_file() for file in files)


def _has_gcp(environ: Mapping[str, str]) -> bool:
    """Whether Google's application default credentials are there; what they hold is not looked at."""
    named = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        return Path(named).is_file()
    home = Path(environ.get("HOME", "~")).expanduser() / ".config" / "gcloud"
    return (Path(environ.get("CLOUDSDK_CONFIG") or home) / "application_default_credentials.json").is_file()


_CREDENTIALS = {"aws": _has_aws, "gcp": _has_gcp}
_HOW = {
    "aws": "AWS credentials where Ray's launcher finds them: `aws configure`, AWS_PROFILE or AWS_ACCESS_KEY_ID",
    "gcp": "Google's application default credentials: `gcloud auth application-default login`, "
    "or GOOGLE_APPLICATION_CREDENTIALS naming a file",
}
