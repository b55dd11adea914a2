"""A real S3 server on loopback, in a process of its own, and the environment with which boto3 finds it.

moto's server keeps If-None-Match and If-Match on puts as S3 does; `s3_faults.Faulty` stands in front of it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import boto3

PROGRAM = """
import sys
from werkzeug.serving import WSGIRequestHandler
WSGIRequestHandler.protocol_version = "HTTP/1.1"
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
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
        process.kill()
        process.wait()


def environment(url: str) -> Mapping[str, str]:
    """What a process needs in its environment to reach the server at this address."""
    return {**NOBODY, "AWS_ENDPOINT_URL_S3": url}


def client(url: str) -> object:
    """A client of the server itself, past whatever stands in front of it."""
    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


def objects(url: str, bucket: str) -> dict[str, bytes]:
    """Every object of a bucket, by key."""
    s3: object = client(url)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)  # type: ignore[attr-defined]
    keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}  # type: ignore[attr-defined]


def answers(url: str) -> bool:
    """Whether anything listens there."""
    place = urlsplit(url)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=2)
            connection.request("GET", "/")
            connection.getresponse().read()
            return True
        time.sleep(0.05)
    return False
