"""Real servers of object stores on loopback, each in a process of its own, and the environment that leads to them.

S3 is moto's, `az` Azurite (npm), `gs` gcp-storage-emulator behind `gcs_server.Translated`, which adds what it lacks.
`spoiling_proxy.Faulty` stands in front of each.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
from obstore.store import AzureStore, S3Store
from support.gcs_server import Translated
from support.runs import PATIENCE
from support.spoiling_proxy import CONDITIONS, Answer, Faulty

from vmi.storage.clouds import store_of
from vmi.storage.paths import ObjectPath

CLOUDS = ("s3", "gs", "az")
MOTO = """
import sys
from werkzeug.serving import WSGIRequestHandler
WSGIRequestHandler.protocol_version = "HTTP/1.1"
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""
GOOGLE = """
import sys, threading
from gcp_storage_emulator.server import create_server
server = create_server("127.0.0.1", 0, in_memory=True)
server.start()
print(server._api._httpd.server_address[1], flush=True)
sys.stdin.read()
server.stop()
"""
# Nothing of the machine's own accounts is read or sent.
NOBODY = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
# Azurite's, which everybody knows.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
HTTP: Any = {"allow_http": True}


class Server:
    """A server of one cloud at an address: how it is found, what is in it, and what it answers to a request."""

    scheme, program = "s3", MOTO
    # Names in one answer of a listing, at most.
    page = 1000

    def __init__(self, url: str) -> None:
        self.url, self.address = url, urlsplit(url).netloc

    def environment(self, url: str) -> Mapping[str, str]:
        """What a process needs in its environment to reach this server, or what stands in front of it at `url`."""
        return {**NOBODY, "AWS_ENDPOINT_URL_S3": url}

    def make(self, bucket: str) -> None:
        """An empty bucket."""
        assert self.forward("PUT", f"/{bucket}", {}, b"")[0] == 200

    def _store(self, bucket: str) -> Any:
        return S3Store(bucket, aws_endpoint_url_s3=self.url, client_options=HTTP)

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Every object by key; one that goes while this looks is not there."""
        store, found = self._store(bucket), {}
        for key in [each["path"] for page in obstore.list(store) for each in page]:
            with contextlib.suppress(FileNotFoundError):
                found[key] = bytes(obstore.get(store, key).bytes())
        return found

    def forward(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if "list-type=2" in path:
            path += f"&max-keys={self.page}"
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        connection.request(method, path, body or None, dict(headers))
        said = connection.getresponse()
        answer = said.status, dict(said.getheaders()), said.read()
        connection.close()
        return answer

    def overwrite(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """A put without conditions in place of one with them."""
        return self.forward(
            "PUT",
            path,
            {name: value for name, value in headers.items() if name.lower() not in CONDITIONS},
            body,
        )

    def tear(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Half a body under the length of the whole one."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.address}", *(f"{n}: {v}" for n, v in headers.items())]
        host, _, port = self.address.partition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[: len(body) // 2])


class Google(Translated, Server):
    """gcp-storage-emulator."""

    scheme, program = "gs", GOOGLE

    def environment(self, url: str) -> Mapping[str, str]:
        return {"STORAGE_EMULATOR_HOST": url}


class Azure(Server):
    """Azurite, which checks signatures: what the proxy changes is signed anew."""

    scheme, program = "az", ""

    def environment(self, url: str) -> Mapping[str, str]:
        # As `az storage` reads it; an account key of the machine's own would come first.
        told = {"AccountName": ACCOUNT, "AccountKey": KEY, "BlobEndpoint": f"{url}/{ACCOUNT}"}
        return {"AZURE_STORAGE_CONNECTION_STRING": ";".join(f"{name}={value}" for name, value in told.items())}

    def make(self, bucket: str) -> None:
        headers = {"x-ms-date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()), "x-ms-version": "2021-08-06"}
        lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
        said = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/{bucket}", "restype:container"])
        seal = base64.b64encode(hmac.new(base64.b64decode(KEY), said.encode(), hashlib.sha256).digest()).decode()
        headers |= {"Authorization": f"SharedKey {ACCOUNT}:{seal}", "Content-Length": "0"}
        assert self.forward("PUT", f"/{ACCOUNT}/{bucket}?restype=container", headers, b"")[0] == 201

    def _store(self, bucket: str) -> Any:
        endpoint = f"{self.url}/{ACCOUNT}"
        return AzureStore(bucket, account_name=ACCOUNT, account_key=KEY, endpoint=endpoint, client_options=HTTP)

    def overwrite(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        _, _, bucket, key = path.split("/", 3)
        marks = {n[10:]: value for n, value in headers.items() if n.lower().startswith("x-ms-meta-")}
        made = obstore.put(self._store(bucket), key, body, attributes=marks, use_multipart=False)
        when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        return 201, {"ETag": str(made["e_tag"]), "Last-Modified": when}, b""


KINDS = {"s3": Server, "gs": Google, "az": Azure}


@contextlib.contextmanager
def server(scheme: str = "s3") -> Iterator[Server]:
    """A server without any bucket; it ends with the block, and with this process."""
    kind = KINDS[scheme]
    with _azurite() if scheme == "az" else _python(kind.program) as port:
        yield kind(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def _python(program: str) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, env={**os.environ, **NOBODY},
    )  # fmt: skip
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port.isdecimal(), "the server did not start"
        yield int(port)
    finally:
        process.communicate()  # it ends with its input, and removes what it has in the temporary folder


@contextlib.contextmanager
def _azurite() -> Iterator[int]:
    program = shutil.which("azurite-blob")
    if not program:
        pytest.skip("needs azurite-blob on PATH: npm install -g azurite")
    folder = Path(tempfile.mkdtemp())
    options = ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--blobPort", "0", "--silent"]
    process = subprocess.Popen([program, *options], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        ports = (re.search(r"listens on http://127\.0\.0\.1:(\d+)", line) for line in process.stdout)
        yield int(next(port[1] for port in ports if port))
    finally:
        process.terminate()
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)  # a test that litters has taken it along


@contextlib.contextmanager
def faulty_server(scheme: str = "s3") -> Iterator[Faulty]:
    """A server with a proxy that can spoil requests in front of it, which this process finds as its object store."""
    module = {"s3": "moto", "gs": "gcp_storage_emulator"}.get(scheme, "obstore")
    pytest.importorskip(module, reason=f"needs {module}")
    with server(scheme) as running, pytest.MonkeyPatch.context() as patch:
        proxy = Faulty(running)
        for name, value in running.environment(proxy.url).items():
            patch.setenv(name, value)
        store_of.cache_clear()
        try:
            yield proxy
        finally:
            store_of.cache_clear()
            proxy.close()


def new_bucket(proxy: Faulty) -> ObjectPath:
    """Results in a bucket of their own."""
    name = f"results-{uuid.uuid4().hex}"
    proxy.server.make(name)
    return ObjectPath(name, "team/results", scheme=proxy.server.scheme)


def stored(proxy: Faulty, root: ObjectPath) -> dict[str, bytes]:
    """Every object of the bucket by key, as the server has it, past the proxy."""
    found: dict[str, bytes] = proxy.server.contents(root.bucket)
    return found
