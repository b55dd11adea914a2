"""What can be said of a Ray cluster without Ray: whether anything of it listens, and who may read its token."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

REACH_SECONDS = 5.0


def private(token: Path) -> None:
    """Ray writes its token readable by everyone; whoever has it may run code on the cluster."""
    with contextlib.suppress(OSError):
        if token.is_file() and stat.S_IMODE(token.stat().st_mode) != 0o600:
            token.chmod(0o600)


def reach(address: str | None) -> None:
    """Ray waits for minutes for what is no server of it. Raises OSError when nothing at host:port speaks HTTP/2."""
    host, _, port = (address or "").rpartition(":")
    if host and "://" not in host and port.isdecimal() and int(port) < 65536:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            if connection.recv(9, socket.MSG_WAITALL)[3:4] != b"\x04":  # a server's first frame: its settings
                raise ConnectionError(f"what listens at {address} is not a Ray cluster")
