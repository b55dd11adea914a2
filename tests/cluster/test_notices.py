"""What tells a study that its time is over: Slurm's warning, and a provider's notice to a spot machine."""

from __future__ import annotations

import http.server
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[2] / "cluster"
# The study: says that it runs, and ends on either signal as a driver does.
STUDY = """
import pathlib, signal, sys
for number, code in ((signal.SIGUSR1, 4), (signal.SIGTERM, 143)):
    signal.signal(number, lambda *_, code=code: (pathlib.Path("told").touch(), sys.exit(code)))
with open("running", "w") as fifo:
    fifo.write("x")
signal.pause()
"""
STANDS_IN = {
    "srun": '#!/bin/bash\nwhile [ "$1" != -- ] && [ "$1" != hostname ]; do shift; done\n[ "$1" = -- ] && shift\n"$@"\n',
    "scontrol": "#!/bin/sh\necho localhost\n",
}


def slurm(folder: Path, study: str) -> subprocess.Popen[str]:
    """The script on this machine, in a process group of its own, with stand-ins for Slurm's programs."""
    (folder / "study.py").write_text(study)
    for name, text in STANDS_IN.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    given = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_NODELIST": "h"}
    # A machine may have python3 alone; the job's environment has python.
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | given | {"PATH": path, "VMI_PROFILE": os.devnull}
    command = ["bash", str(CLUSTER / "slurm.sh"), "study.py"]
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, text=True)


def said(pipe: Path, job: subprocess.Popen[str]) -> str:
    """What somebody writes into a named pipe; nothing where the job ends before."""
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor) as reading:
        while job.poll() is None:
            if select.select([reading], [], [], 0.1)[0] and (text := reading.read()):
                return text
            time.sleep(0.02)  # a pipe that nobody has opened yet is always at its end
    return ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR1, 4), (signal.SIGTERM, 143)])
def test_slurm_s_warning_reaches_the_driver_alone_and_the_job_ends_as_it_does(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    os.mkfifo(tmp_path / "running")
    job = slurm(tmp_path, STUDY)
    try:
        assert said(tmp_path / "running", job) == "x"
        os.kill(job.pid, number)
        assert job.wait() == code
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    assert (tmp_path / "told").exists()
    assert not list(tmp_path.glob(".vmi-token*"))


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_that_nobody_warned_ends_with_the_driver_s_code(tmp_path: Path, code: int) -> None:
    assert slurm(tmp_path, f"raise SystemExit({code})").wait() == code
    assert not list(tmp_path.glob(".vmi-token*"))


class Metadata(http.server.ThreadingHTTPServer):
    """A provider's metadata: without a notice until `taken`."""

    taken = False
    asked = 0


class Answers(http.server.BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self._say(200, b"token" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else b"")

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.path.startswith("/latest/meta-data/spot"):
            known = self.headers["X-aws-ec2-metadata-token"] == "token"
            self._say(200 if self.server.taken and known else 404, b'{"action": "terminate"}')
        else:
            known = self.headers["Metadata-Flavor"] == "Google"
            self._say(200 if known else 403, b"TRUE" if self.server.taken else b"FALSE")

    def _say(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    server = Metadata(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("place", ["aws", "gcp"])
def test_a_provider_s_notice_becomes_the_file_that_workers_look_for(
    tmp_path: Path, metadata: Metadata, place: str
) -> None:
    file = tmp_path / "preempted"
    file.touch()  # of the machine's life before
    environment = os.environ | {"VMI_PREEMPTION_FILE": str(file), "VMI_PREEMPTION_SECONDS": "0.05", "no_proxy": "*"}
    command = ["bash", str(CLUSTER / "preemption.sh"), place, f"http://127.0.0.1:{metadata.server_port}"]
    watching = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        while metadata.asked < 2:
            assert watching.poll() is None
        assert not file.exists()
        metadata.taken = True
        assert watching.wait() == 0
    finally:
        if watching.poll() is None:
            os.killpg(watching.pid, signal.SIGKILL)
    assert file.exists()
