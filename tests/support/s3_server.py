"""A real S3 server on loopback, in a process of its own, and the environment with which boto3 finds it.

moto's server keeps If-None-Match and If-Match on puts as S3 does; `s3_faults.Faulty` stands in front of it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import boto3
import pytest
from support.s3_faults import Faulty

from vmi.storage.paths import ObjectPath
from vmi.storage.s3 import client_of

PROGRAM = """
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
# Nothing of the machine's own accounts is read or sent.
NOBODY = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server without any bucket; it ends with the block, and with this process."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, env={**os.environ, **NOBODY},
    )  # fmt: skip
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port.isdecimal(), "moto's server did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.communicate()  # it ends with its input, and removes what it has in the temporary folder


def environment(url: str) -> Mapping[str, str]:
    """What a process needs in its environment to reach the server at this address."""
    return {**NOBODY, "AWS_ENDPOINT_URL_S3": url}


@contextlib.contextmanager
def faulty_server() -> Iterator[Faulty]:
    """A server with a proxy that can spoil requests in front of it, where boto3 in this process finds the proxy."""
    pytest.importorskip("moto", reason="needs moto, flask and flask-cors")
    with s3_server() as url, pytest.MonkeyPatch.context() as patch:
        proxy = Faulty(url)
        for name, value in environment(proxy.url).items():
            patch.setenv(name, value)
        client_of.cache_clear()
        try:
            yield proxy
        finally:
            client_of.cache_clear()
            proxy.close()


def new_bucket(proxy: Faulty) -> ObjectPath:
    """Results in a bucket of their own."""
    name = f"results-{uuid.uuid4().hex}"
    client(proxy).create_bucket(Bucket=name)
    return ObjectPath(name, "team/results")


@cache
def client(proxy: Faulty) -> Any:
    """A client of the server itself, past the proxy."""
    return boto3.client("s3", endpoint_url=proxy.upstream.geturl(), region_name="us-east-1")


def stored(proxy: Faulty, root: ObjectPath) -> dict[str, bytes]:
    """Every object of the bucket by key, as the server has it; one that goes while this looks is not there."""
    s3 = client(proxy)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=root.bucket)
    keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
    found = {}
    for key in keys:
        with contextlib.suppress(s3.exceptions.NoSuchKey):
            found[key] = s3.get_object(Bucket=root.bucket, Key=key)["Body"].read()
    return found
