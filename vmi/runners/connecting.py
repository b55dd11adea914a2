"""What is asked of a Ray cluster without Ray: whether it listens, who may read its token, whether workers have joined.

Right after `ray up` none has, and the head trains nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

# A machine that is being started, and set up, takes minutes; those that come together come within seconds.
PATIENCE_SECONDS = 600.0
SETTLED_SECONDS = 15.0
LOOK_SECONDS = 1.0

Resources = Mapping[str, float]


def joined(
    look: Callable[[], Resources],
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Resources:
    """The resources of a cluster that has CPUs for packs; where it has none yet, those that its workers bring.

    Returns at once where there is a CPU. Else waits until one has joined and no other did for SETTLED_SECONDS; what has
    not joined within PATIENCE_SECONDS is not waited for.
    """
    found = look()
    if found.get("CPU"):
        return found
    say(f"the cluster has no CPU yet: waiting for its workers, for at most {PATIENCE_SECONDS / 60:.0f} minutes")
    began = changed = clock()
    while clock() - began < PATIENCE_SECONDS and not (found.get("CPU") and clock() - changed >= SETTLED_SECONDS):
        sleep(LOOK_SECONDS)
        now = look()
        if _counted(now) != _counted(found):
            changed = clock()
        found = now
    return found


def _counted(resources: Resources) -> tuple[float, float]:
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0)


REACH_SECONDS = 5.0


def private(folder: Path) -> None:
    """Ray writes its token readable by everyone; whoever has it may run code on the cluster. So the folder is closed
    before Ray writes into it, and the token afterwards."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        token = folder / "auth_token"
        for path, mode in ((folder, 0o700), *([(token, 0o600)] if token.is_file() else [])):
            if stat.S_IMODE(path.stat().st_mode) != mode:
                path.chmod(mode)


def reach(address: str | None) -> None:
    """Raises OSError within 5 s when nothing at host:port speaks HTTP/2 (RFC 9113), as every server of Ray does.

    Ray itself waits for what is no server of it for more than two minutes (2.60).
    """
    host, _, port = (address or "").rpartition(":")
    if host and "://" not in host and port.isdecimal() and int(port) < 65536:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            if connection.recv(9, socket.MSG_WAITALL)[3:4] != b"\x04":  # a server's first frame: its settings
                raise ConnectionError(f"what listens at {address} is not a Ray cluster")
