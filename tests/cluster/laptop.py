"""The user's side of a cluster of hosts: a checkout with its wheel, a home with key and token, and a transcript."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.hosts import Host, call

ROOT = Path(__file__).parents[2]
SMALL = "--object-store-memory=150000000"
# A worker that has lost its head waits a minute for it; here, ten seconds.
GIVE_UP = "RAY_gcs_rpc_server_reconnect_timeout_s=10"


class Laptop:
    """Runs commands as the user of `cluster/README.md` does, from the checkout's root, and keeps what they say."""

    def __init__(self, folder: Path, hosts: Sequence[Host], transcript: Path) -> None:
        self.home, self.checkout, self.hosts = folder / "home", folder / "checkout", hosts
        self._transcript, self._start = transcript, time.monotonic()
        transcript.parent.mkdir(parents=True, exist_ok=True)
        transcript.write_text("")
        for name in ("cluster", "sweeps"):
            shutil.copytree(ROOT / name, self.checkout / name)
        shutil.copy(ROOT / "requirements.lock", self.checkout)
        self._fill_in()
        self._make_home(hosts[0].keys)
        python = ("--python", sys.executable)
        call(uv(), "build", "--quiet", "--wheel", "--offline", "--no-build-isolation", *python,
             "--out-dir", str(self.checkout / "dist"), str(ROOT))  # fmt: skip

    def environment(self, **extra: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "WANDB", "VMI_"))}
        path = f"{Path(sys.executable).parent}:{clean['PATH']}"
        mine = {
            "HOME": str(self.home),
            "PATH": path,
            "RAY_TMPDIR": str(self.home),
            "TMPDIR": str(self.home),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        return clean | mine | extra

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command, to its end; both its streams, in the order in which they came."""
        self.note(f"$ {' '.join([*(f'{k}={v}' for k, v in environment.items()), *command])}")
        done = subprocess.run(
            command, cwd=self.checkout, env=self.environment(**environment), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.note(f"{done.stdout.rstrip()}\n[exit {done.returncode}]")
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command that goes on beside the test."""
        self.note(f"$ {' '.join(command)} &")
        return subprocess.Popen(
            command, cwd=self.checkout, env=self.environment(), stdin=subprocess.DEVNULL, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def note(self, text: str) -> None:
        """A line of the transcript, with the seconds since its start."""
        with self._transcript.open("a") as file:
            file.write(f"[{time.monotonic() - self._start:5.0f} s] {text}\n")

    def _fill_in(self) -> None:
        """The shipped recipe with its places filled in; and small, for all hosts stand on one machine."""
        path = self.checkout / "cluster" / "onprem.yaml"
        head, *workers = (host.address for host in self.hosts)
        text = path.read_text()
        for old, new in (
            ("REPLACE-head", head),
            ("REPLACE-worker-1, REPLACE-worker-2", ", ".join(workers)),
            ("REPLACE-user", "root"),
            # ssh reads ~ from the list of users, not from HOME.
            ("~/.ssh/id_ed25519", str(self.home / ".ssh" / "id_ed25519")),
            ("REPLACE-shared-folder", "~/shared"),
            ("ray start --head", f"ray start {SMALL} --head"),
            ("ray start --address", f"{GIVE_UP} ray start {SMALL} --num-cpus=1 --address"),
        ):
            assert text.count(old) == 1, f"{old} in {path}"
            text = text.replace(old, new)
        assert "REPLACE" not in text.replace("what says REPLACE", "")
        path.write_text(text)

    def _make_home(self, keys: Path) -> None:
        for name in (".ray", ".ssh"):
            (self.home / name).mkdir(parents=True, mode=0o700)
        shutil.copy(keys / "user", self.home / ".ssh" / "id_ed25519")
        token = self.home / ".ray" / "auth_token"
        token.touch(0o600)
        token.write_text(secrets.token_hex(32))


def furnish(host: Host) -> None:
    """The locked environment of a node that was set up before: `setup.sh` finds its stamp and installs the code.

    It is this test's own, seen through a path file; a real one would be several GB on every host.
    """
    site, version = sysconfig.get_path("purelib"), f"python{sys.version_info.major}.{sys.version_info.minor}"
    made = host.run(f"{Path(sys.base_prefix) / 'bin' / version} -m venv --without-pip ~/vmi-venv")
    assert made.returncode == 0, made.stdout
    venv = host.folder / "home" / "vmi-venv"
    (venv / "lib" / version / "site-packages" / "locked.pth").write_text(f"{site}\n")
    (venv / "bin" / "uv").symlink_to(uv())
    with (ROOT / "requirements.lock").open() as lock:
        (venv / ".lock").write_text(subprocess.run(["sha256sum"], stdin=lock, capture_output=True, text=True).stdout)
    ray = venv / "bin" / "ray"
    ray.write_text(f"#!{Path.home()}/vmi-venv/bin/python\nfrom ray.scripts.scripts import main\nmain()\n")
    ray.chmod(0o755)


def uv() -> str:
    return str(Path(sys.executable).parent / "uv")
