"""Rows of the table of bad inputs about Ray: what is not there, or not what it should be, is said within 30 seconds."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from faults.starting import CLEARED, in_a_process, study

SECONDS = 30
ADDRESS = "the address of a running Ray cluster"
PATIENCE_SECONDS = 60


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_without_ray(work: Path) -> None:
    said = study("--local", "--gpus-per-pack", "1")
    assert said.code == 2 and "--gpus-per-pack = 1.0: 0: this machine has no GPU" in said.err
    assert list(work.iterdir()) == []


@pytest.mark.faults
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused_through_ray(work: Path) -> None:
    said = in_a_process(work, "--gpus-per-pack", "1")
    assert said.code == 2 and said.err.endswith("--gpus-per-pack = 1.0: 0: the Ray cluster has no GPU\n")
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("server", ["absent", "silent", "http"])
def test_an_address_without_a_ray_cluster_is_refused_quickly(work: Path, server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        if server == "absent":
            listening.close()
        if server == "http":
            replying = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", address.split(":")[1]]
            listening.close()
            other = subprocess.Popen(replying, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1)
        try:
            said = in_a_process(work, "--address", address)
        finally:
            if server == "http":
                other.kill()
                other.wait()
    assert said.seconds < SECONDS and said.code == 2 and f"--address = '{address}': {ADDRESS}" in said.err
    assert "Traceback" not in said.err and list(work.iterdir()) == []


def test_a_bad_ray_address_in_the_environment_is_named_as_such(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    said = study()
    assert said.code == 2 and "RAY_ADDRESS = '127.0.0.1:1'" in said.err


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and token of a Ray cluster of one node, which lets in whoever has the token."""
    token = secrets.token_hex(32)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Ray's sockets have long names, so its folder may not.
    with tempfile.TemporaryDirectory(prefix="vr", ignore_cleanup_errors=True) as short:
        environ = {name: value for name, value in os.environ.items() if name not in CLEARED}
        environ |= {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", f"--port={port}", "--num-cpus=1",
                   "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={short}", "--block"]  # fmt: skip
        head = subprocess.Popen(command, env=environ, start_new_session=True, stdout=subprocess.DEVNULL)
        try:
            _answers(port)
            yield f"127.0.0.1:{port}", token
        finally:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(head.pid, signal.SIGTERM)
                head.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(head.pid, signal.SIGKILL)


def _answers(port: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return time.sleep(3)  # the node joins a moment after its port answers
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the Ray head does not answer")


@pytest.mark.faults
def test_a_missing_or_bad_token_or_another_version_is_said_and_the_right_one_trains(
    work: Path, guarded: tuple[str, str]
) -> None:
    address, token = guarded
    other = secrets.token_hex(32)
    shim = work.parent / "shim"
    shim.mkdir()
    # A driver of another Ray: what it tells the cluster of itself is all that the cluster knows.
    (shim / "sitecustomize.py").write_text("import ray\nray.__version__ = '1.0.0'\n")
    paths = os.pathsep.join([str(shim), os.environ.get("PYTHONPATH", "")])
    drivers = {
        "no token": {"RAY_AUTH_MODE": "disabled"},
        "a bad token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": other},
        "another version": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PYTHONPATH": paths},
    }
    for kind, environ in drivers.items():
        said = in_a_process(work, "--address", address, **environ)
        print(f"inputs: Ray cluster, {kind}: exit code {said.code} after {said.seconds:.1f} s: {said.err.strip()}")
        assert said.code == 2 and f"--address = '{address}': {ADDRESS}" in said.err, (kind, said.err)
        assert said.seconds < SECONDS and "Traceback" not in said.all
        assert token not in said.all and other not in said.all
        assert not [path for path in work.rglob("*") if path.is_file()]
    said = in_a_process(
        work, "--address", address, "--steps", 2, "--seeds", 1, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token
    )
    assert said.code == 0, said.err
