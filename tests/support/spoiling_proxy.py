"""An HTTP proxy in front of a server of an object store, that spoils chosen requests as networks and servers do.

Requests are numbered from 0 since `arm`. What a fault does to the request it is for:

    503, 500, 409 refused, without the server having seen it
    drop          the connection is closed, without the server having seen it
    lost          the server has done it, and the connection is closed without an answer (a timeout after success)
    500 after     the server has done it, and the answer is an error
    truncated     half of the answer's body, then the connection is closed
    torn          half of the request's body reaches the server, then both connections are closed
    flipped       one bit of the answer's body is another
    slow          the server sees it only when the test says so (`go`), after the client has given it up
    held          nobody answers until the test says so (`go`), and the server never sees it
    race          just before it another writer puts other bytes under the same key
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

FAULTS = ("503", "500", "409", "drop", "lost", "500 after", "truncated", "flipped", "torn")
CONDITIONS = ("if-none-match", "if-match", "x-goog-if-generation-match")
RIVAL = b"another writer"
ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>injected</Message></Error>'
CODES = {503: "SlowDown", 500: "InternalError", 409: "ConditionalRequestConflict", 403: "AccessDenied"}
# Status, headers, body.
Answer = tuple[int, dict[str, str], bytes]


class Faulty:
    """The proxy: `url` is its address. `plan` gives the fault of a request, by its number, method and path."""

    def __init__(self, server: Any) -> None:
        self.server = server  # of `support.object_servers`
        self.plan: Callable[[int, str, str], str] = lambda number, method, path: ""
        self.log: list[tuple[str, str]] = []
        self.hit: tuple[str, str] | None = None
        self.ignores_conditions = self.hides_checksums = False
        self.go = threading.Event()  # cleared by `arm`
        # Called with the number of a request before the server sees it, and after.
        self.before: Callable[[int], None] = lambda number: None
        self.after: Callable[[int], None] = lambda number: None
        # One request at a time reaches the server: moto looks and puts in two steps, which S3 does in one.
        self.turn, self._count = threading.Lock(), threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def arm(self, fault: str = "", at: int = -1, lasting: bool = False) -> None:
        """Spoil the request of this number and, if lasting, every one after it."""
        with self._count:
            self.plan = lambda number, method, path: fault if number == at or (lasting and number > at) else ""
            self.log, self.hit = [], None
            self.go.clear()
            self.before = self.after = lambda number: None

    def numbered(self, method: str, path: str) -> tuple[int, str]:
        """The number of a request, and what is to become of it."""
        path = unquote(path)
        with self._count:
            number = len(self.log)
            self.log.append((method, path))
            fault = self.plan(number, method, path)
            self.hit = (method, path) if fault else self.hit
        return number, fault

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: Faulty

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that were killed leave connections behind."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Small answers must not wait for the acknowledgement of the one before.
    disable_nagle_algorithm = True

    @property
    def _proxy(self) -> Faulty:
        return self.server.proxy

    def _pass(self) -> None:
        proxy = self._proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number, fault = proxy.numbered(self.command, self.path)
        proxy.before(number)
        if fault.isdecimal():
            self._answer(int(fault), {}, ERROR.format(code=CODES[int(fault)]).encode())
        elif fault == "drop":
            self._cut()
        elif fault == "torn":
            proxy.server.tear(self.command, self.path, self._headers(), body)
            self._cut()
        elif fault == "held":
            proxy.go.wait()
            self._cut()
        else:
            if fault == "slow":
                proxy.go.wait()
            if fault == "race":
                self._overtake()
            answer = self._forward(body)
            proxy.after(number)
            self._deliver(fault, *answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    def _headers(self) -> dict[str, str]:
        dropped = ("host", "expect", "connection")
        return {name: value for name, value in self.headers.items() if name.lower() not in dropped}

    def _forward(self, body: bytes) -> Answer:
        server, headers = self._proxy.server, self._headers()
        conditional = self.command == "PUT" and any(name.lower() in CONDITIONS for name in headers)
        with self._proxy.turn:
            if conditional and self._proxy.ignores_conditions:
                answer: Answer = server.overwrite(self.path, headers, body)
            else:
                answer = server.forward(self.command, self.path, headers, body)
        return answer

    def _overtake(self) -> None:
        """Another writer is quicker."""
        headers = {name: value for name, value in self._headers().items() if not name.lower().startswith("x-")}
        with self._proxy.turn:
            said = self._proxy.server.overwrite(self.path, {**headers, "content-length": str(len(RIVAL))}, RIVAL)
        assert said[0] < 300, said

    def _deliver(self, fault: str, status: int, headers: dict[str, str], body: bytes) -> None:
        if fault == "lost":
            self._cut()
        elif fault == "500 after":
            self._answer(500, {}, ERROR.format(code="InternalError").encode())
        elif fault == "truncated":
            self._answer(status, headers, body, body[: len(body) // 2])
            self._cut()
        elif fault == "flipped":
            self._answer(status, headers, body[:-1] + bytes([body[-1] ^ 1]) if body else body)
        else:
            self._answer(status, headers, body)

    def _answer(self, status: int, headers: dict[str, str], body: bytes, part: bytes | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            hidden = self._proxy.hides_checksums and name.lower().startswith("x-amz-checksum")
            if name.lower() not in ("content-length", "transfer-encoding", "connection") and not hidden:
                self.send_header(name, value)
        length = next((v for n, v in headers.items() if n.lower() == "content-length"), None)
        if self.command != "HEAD":
            length = str(len(body))
        if status != 204 and length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if part is None else part)

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""
