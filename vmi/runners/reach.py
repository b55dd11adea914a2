"""What can be said of a Ray cluster without Ray: whether anything of it listens, and who may read its token."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

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
    """Ray waits for minutes for what is no server of it. Raises OSError when nothing at host:port speaks HTTP/2."""
    host, _, port = (address or "").rpartition(":")
    if host and "://" not in host and port.isdecimal() and int(port) < 65536:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            if connection.recv(9, socket.MSG_WAITALL)[3:4] != b"\x04":  # a server's first frame: its settings
                raise ConnectionError(f"what listens at {address} is not a Ray cluster")
