"""Six canary secrets in the environment and a crash: none in store, logs, page, W&B files, checkpoints, terminal.

Each run is a process of its own, with a home and a folder for Ray of its own, so that every file that it leaves is
looked through, whoever wrote it.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.starting import ROOT, SMOKE, STUDY

CANARIES = {
    "WANDB_API_KEY": "c0ffee00" * 5,
    "AWS_SECRET_ACCESS_KEY": "canary/aws+SeCrEt/wJalrXUtnFEMI7MDENGbPxRf",
    "RAY_AUTH_TOKEN": "deadc0de" * 8,
    "GITHUB_TOKEN": "ghp_canary0123456789abcdefghijklmnopqr",
    "HTTPS_PROXY": "http://me:canary-proxy-password@127.0.0.1:1",
    "MY_SERVICE_SECRET": "canary generic secret, with spaces",
}
SECRETS = [*(value for name, value in CANARIES.items() if name != "HTTPS_PROXY"), "canary-proxy-password"]
# The most talkative error that there can be: the whole environment in its text, once as repr and once as lines.
TALKATIVE = """
import os
import vmi.training.train
def talkative(*arguments, **named):
    lines = "; ".join(f"{name}={value}" for name, value in os.environ.items())
    raise KIND(f"cannot go on with {dict(os.environ)} {lines}")
    yield
vmi.training.train.train = talkative
"""


# Made for Ray by the runs of a test, to be removed after it.
FOLDERS: list[Path] = []


class Ran:
    """One command that has ended: what it said, and every file that it left."""

    def __init__(self, folder: Path, command: list[object], **environ: str) -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir(exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "RAY_"))}
        # Ray's sockets have long names, so its folder may not.
        self.ray = Path(tempfile.mkdtemp(prefix="vs"))
        FOLDERS.append(self.ray)
        places = {"HOME": str(self.home), "RAY_TMPDIR": str(self.ray), "TMPDIR": str(self.ray)}
        self.done = subprocess.run(
            [sys.executable, *map(str, command)], cwd=folder, capture_output=True, text=True,
            env=clean | CANARIES | places | environ,
        )  # fmt: skip

    def leaks(self) -> list[str]:
        """Where a canary is: "terminal", or a file."""
        found = ["terminal"] if any(secret in self.done.stdout + self.done.stderr for secret in SECRETS) else []
        for root in (self.folder, self.ray):
            for path in (path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
                content = path.read_bytes()
                found += [f"{path}: {secret[:10]}…" for secret in SECRETS if secret.encode() in content]
        return found

    def looked_at(self) -> int:
        return sum(path.is_file() for root in (self.folder, self.ray) for path in root.rglob("*"))


def shimmed(folder: Path, error: str) -> str:
    """PYTHONPATH with which every process, workers too, fails in training with its environment in the message."""
    shim = folder / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'vmi.worker.work':\n"
        "            sys.meta_path.remove(self)\n"
        f"            exec({TALKATIVE.replace('KIND', error)!r}, {{}})\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    return os.pathsep.join([str(shim), str(ROOT), os.environ.get("PYTHONPATH", "")])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = os.umask(0o022)  # as most have it: what is closed is closed by us
    yield tmp_path
    os.umask(before)
    while FOLDERS:
        shutil.rmtree(FOLDERS.pop(), ignore_errors=True)


def test_the_test_finds_a_canary(folder: Path) -> None:
    (folder / "note").write_text(f"key {CANARIES['GITHUB_TOKEN']}")
    assert len(Ran(folder, ["-c", "pass"]).leaks()) == 1
    assert Ran(folder, ["-c", "import os; print(os.environ['MY_SERVICE_SECRET'])"]).leaks()[0] == "terminal"


@pytest.mark.parametrize(
    ("error", "more"),
    [
        ("RuntimeError", ["--debug"]),
        ("RuntimeError", []),
        ("OSError", ["--debug"]),
    ],
)
@pytest.mark.faults
def test_a_run_that_crashes_with_its_environment_in_the_message_keeps_it_to_itself(
    folder: Path, error: str, more: list[str]
) -> None:
    """Without Ray, so that it is the driver's own exception; its traceback holds the message too."""
    ran = Ran(folder, [SMOKE, "--local", "--steps", 2, *more], PYTHONPATH=shimmed(folder, error))
    assert ran.done.returncode == 1 and "cannot go on with" in ran.done.stderr, ran.done.stderr
    assert ("Traceback" in ran.done.stderr) == bool(more)
    assert ran.leaks() == []


def test_a_study_file_that_raises_with_its_environment_is_refused_without_it(folder: Path) -> None:
    path = folder / "mine.py"
    path.write_text("import os\nraise ValueError(dict(os.environ))\n")
    for more in ([], ["--debug"]):
        ran = Ran(folder, ["-c", "from vmi.cli.app import main; main()", "plan", path, *more])
        assert ran.done.returncode == 2 and "raises ValueError at line 2" in ran.done.stderr, ran.done.stderr
        assert ran.leaks() == []


@pytest.mark.faults
def test_no_canary_is_anywhere_after_a_run_through_ray_its_report_and_its_mirror(folder: Path) -> None:
    """A whole run with kept models, then every command that writes; and what Ray keeps of its token is closed."""
    ran = Ran(folder, [SMOKE, "--steps", 20, "--seeds", 1, "--keep-models"])
    assert ran.done.returncode == 0, ran.done.stderr
    assert list((folder / "results" / "smoke" / "models").glob("*.pt"))
    assert ran.leaks() == []
    looked = ran.looked_at()
    for command in (["report", "results/smoke"], ["report", "results/smoke", "--wandb", "a/b", "--offline"],
                    ["mirror", "results/smoke"], ["status"], ["compare", "results/smoke", "results/smoke"],
                    ["evaluate", "results/smoke", "--member", "x"]):  # fmt: skip
        said = Ran(folder, ["-c", "from vmi.cli.app import main; main()", *command])
        assert said.done.returncode in (0, 2), said.done.stderr
        assert said.leaks() == []
    print(f"secrets: 6 canaries, a run through Ray: {looked} files looked through, 0 hold one")


@pytest.mark.faults
def test_no_canary_is_anywhere_after_a_pack_crashed_in_its_worker(folder: Path) -> None:
    """The reason travels from the worker to driver, terminal, heartbeat and logs of Ray."""
    paths = shimmed(folder, "RuntimeError")
    ran = Ran(folder, [SMOKE, "--steps", 2, "--seeds", 1, "--debug"], PYTHONPATH=paths)
    assert ran.done.returncode == 1 and "cannot go on with" in ran.done.stdout, ran.done.stdout + ran.done.stderr
    assert ran.leaks() == []
    print(f"secrets: 6 canaries, a crash in a worker: {ran.looked_at()} files looked through, 0 hold one")


@pytest.mark.faults
def test_rays_token_is_for_its_owner_alone(folder: Path) -> None:
    """Without one in the environment Ray writes a token for the local cluster, readable by everyone."""
    path = folder / "study.py"
    path.write_text(STUDY.format(fields="seeds=[0]"))
    ran = Ran(folder, [path, "--steps", 2], RAY_AUTH_TOKEN="")
    assert ran.done.returncode == 0, ran.done.stderr
    kept = ran.home / ".ray"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir() if "token" in path.name] in ([0o600], [])
