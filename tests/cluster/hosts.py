"""Several hosts on one machine: each a network, pid, mount and uts namespace with its own address, sshd, home,
/tmp/ray and /dev/shm, on one bridge. What a Ray cluster sees of real machines, without one.

Needs root, iproute2 and util-linux; an ssh server of the machine's own is not touched.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

TOOLS = ("ip", "nsenter", "unshare", "mount", "ssh", "ssh-keygen", "rsync", "/usr/sbin/sshd")
START_SECONDS = 20.0

INIT = """
set -e
mount --make-rprivate /
hostname {name}
mkdir -p /tmp/ray /run/sshd
mount --bind {folder}/ray /tmp/ray
mount -t tmpfs -o size=1g tmpfs /dev/shm
{binds}
mount --rbind {folder}/home {home}
exec /usr/sbin/sshd -D -f {folder}/sshd_config -E {folder}/sshd.log
"""

SSHD = """
Port 22
ListenAddress {address}
HostKey {keys}/host
AuthorizedKeysFile {keys}/user.pub
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
MaxStartups 100
"""


def missing() -> str:
    """Why no hosts can be made here; empty where they can."""
    if os.geteuid() != 0:
        return "needs root: each host is a set of namespaces"
    absent = [Path(tool).name for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"needs {', '.join(absent)} (Debian: openssh-server, openssh-client, iproute2, rsync)"
    tried = subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount", "--uts", "true"], capture_output=True)
    return "" if tried.returncode == 0 else f"needs namespaces: {tried.stderr.decode().strip()}"


class Host:
    """One host; `seen` maps folders that it shares with this machine from its home's path to the real one."""

    def __init__(
        self, folder: Path, keys: Path, name: str, address: str, bridge: str, seen: Mapping[str, Path]
    ) -> None:
        self.name, self.address, self.folder, self.keys = name, address, folder, keys
        self._bridge, self._seen = bridge, dict(seen)
        self.space = f"{bridge}-{name}"
        self._process: subprocess.Popen[bytes] | None = None
        for part in ("ray", "home/.ssh"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "home").chmod(0o700)
        (folder / "sshd_config").write_text(SSHD.format(address=address, keys=keys))

    def start(self, gateway: str) -> None:
        """Plug it in and start its sshd. Ray finds its own address by the default route."""
        link, inside = f"{self._bridge}{self.name}", ("ip", "-n", self.space)
        call("ip", "netns", "add", self.space)
        call("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        call("ip", "link", "set", link, "master", self._bridge, "up")
        call(*inside, "addr", "add", f"{self.address}/24", "dev", "eth0")
        # A host that comes back has the address on the wire that its neighbours remember.
        call(*inside, "link", "set", "eth0", "address", "02:00:00:00:00:" + self.address.rpartition(".")[2].zfill(2))
        for device in ("eth0", "lo"):
            call(*inside, "link", "set", device, "up")
        call(*inside, "route", "add", "default", "via", gateway)
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.space}", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
             "--mount", "--uts", "bash", "-c", self._init()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.folder / "init.log").open("wb"),
            start_new_session=True,
        )  # fmt: skip
        self._await_ssh()

    def kill(self) -> None:
        """Pull the plug: everything in it dies at once, and its address answers no more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        subprocess.run(["ip", "link", "del", f"{self._bridge}{self.name}"], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.space], capture_output=True)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command in its shell, as a user who logs in has it."""
        shell = f"bash --login -c {shlex.quote(f'touch ~/.bashrc; . ~/.bashrc; {command}')} 2>&1"
        return subprocess.run([*self.ssh(), shell], capture_output=True, text=True)

    def ssh(self, *options: str) -> list[str]:
        quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        key = ["-i", str(self.keys / "user"), "-o", "ConnectTimeout=5", "-o", "BatchMode=yes"]
        return ["ssh", *quiet, *key, *options, f"root@{self.address}"]

    def _init(self) -> str:
        home = self.folder / "home"
        # What the interpreter needs may lie below the home that the host's own is mounted over.
        kept = {path for path in map(Path, (sys.prefix, sys.base_prefix)) if path.is_relative_to(Path.home())}
        binds = {str(path.relative_to(Path.home())): path for path in sorted(kept)} | self._seen
        lines = []
        for below, real in binds.items():
            (home / below).mkdir(parents=True, exist_ok=True)
            lines.append(shlex.join(["mount", "--bind", str(real), str(home / below)]))
        return INIT.format(name=self.name, folder=self.folder, home=Path.home(), binds="\n".join(lines))

    def _await_ssh(self) -> None:
        end = time.monotonic() + START_SECONDS
        while subprocess.run([*self.ssh(), "true"], capture_output=True).returncode != 0:
            if time.monotonic() > end:
                logs = [
                    path.read_text() for path in (self.folder / "init.log", self.folder / "sshd.log") if path.exists()
                ]
                raise RuntimeError(f"{self.name} does not answer: {' '.join(logs)}")
            time.sleep(0.2)


class Hosts:
    """`count` hosts on a bridge of their own; everything is gone when the block is left, whatever happened in it."""

    def __init__(self, folder: Path, count: int, seen: Mapping[str, Path]) -> None:
        # Names and addresses carry the process's number, so that two test runs do not meet.
        self._bridge, net = f"vmi{os.getpid() % 100000}", f"10.213.{os.getpid() % 200}"
        self._gateway = f"{net}.254"
        self.keys = folder / "keys"
        self.keys.mkdir(parents=True)
        for name in ("host", "user"):
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.keys / name))
        self.all = [
            Host(folder / f"h{i}", self.keys, f"h{i}", f"{net}.{10 + i}", self._bridge, seen)
            for i in range(1, count + 1)
        ]

    def __enter__(self) -> list[Host]:
        try:
            call("ip", "link", "add", self._bridge, "type", "bridge")
            call("ip", "addr", "add", f"{self._gateway}/24", "dev", self._bridge)
            call("ip", "link", "set", self._bridge, "up")
            for host in self.all:
                self.start(host)
        except BaseException:
            self.__exit__()
            raise
        return self.all

    def start(self, host: Host) -> None:
        host.start(self._gateway)

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(subprocess.run, ["ip", "link", "del", self._bridge], capture_output=True)
            for host in self.all:
                stack.callback(host.kill)


def call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}: {done.stderr.strip()}")
