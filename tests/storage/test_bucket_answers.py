"""What a store says that none of the tests' servers does: each test is the server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.object_servers import NOBODY

from vmi.spec.errors import InputError
from vmi.storage import bucket, clouds
from vmi.storage.paths import ObjectPath, opened


def served(answer: Callable[[BaseHTTPRequestHandler], None]) -> ThreadingHTTPServer:
    """A server on loopback in a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        do_PUT = do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def alone(monkeypatch):
    """What makes this process's S3 a server that answers so."""
    servers = []

    def start(answer):
        servers.append(served(answer))
        for name, value in {**NOBODY, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{servers[0].server_port}"}.items():
            monkeypatch.setenv(name, value)
        clouds.store_of.cache_clear()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    clouds.store_of.cache_clear()


@pytest.mark.parametrize(
    "body", ["", "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region></Error>"]
)
def test_the_region_of_a_bucket_elsewhere_is_named(alone, body):
    def answer(request):
        request.send_response(400 if body else 301)
        request.send_header("x-amz-bucket-region", "eu-north-1")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body.encode() if request.command != "HEAD" else b"")

    alone(answer)
    with pytest.raises(InputError, match="the bucket is in region eu-north-1: set AWS_REGION"):
        opened("s3://bucket/x")


def test_a_long_put_to_a_slow_server_is_not_taken_for_silence(alone, monkeypatch):
    """It sends for three times as long as a server may be silent."""
    monkeypatch.setattr(bucket, "READ_SECONDS", 0.5)
    monkeypatch.setattr(bucket, "SECONDS_PER_MIB", 10)
    monkeypatch.setattr(bucket, "PATIENCE_SECONDS", 0.0)
    data, got = os.urandom(6 * 2**20), []

    def answer(request):
        left = len(data)
        while left:
            got.append(request.rfile.read(min(left, 2**18)))
            left -= len(got[-1])
            time.sleep(1.5 / 24)
        request.send_response(200)
        request.send_header("ETag", '"x"')
        request.send_header("Content-Length", "0")
        request.end_headers()

    alone(answer)
    ObjectPath("bucket", "model").write_bytes(data)
    assert b"".join(got) == data
