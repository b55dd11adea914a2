"""R4, R5, R9 and full disks with real Ray, real signals, a real file system: what is finished is safe, and goes on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep.runs import Run, parts, tables, until

from vmi.record.store import Store

pytestmark = pytest.mark.faults
STUDY = """
from vmi.sweep.main import main
from vmi.sweep.space import choice
from vmi.sweep.study import Study

study = Study(name="s", fixed={"steps": 250}, space={"mi_weight": choice(0, 1, 2, 4, 8)}, seeds=range(4))
if __name__ == "__main__":
    main(study)
"""
OFTEN = {"VMI_CHECKPOINT_SECONDS": "0"}
RAY = Path(sys.executable).with_name("ray")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gone")
    (folder / "study.py").write_text(STUDY, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def whole(home: Path) -> Path:
    """The rows of a run that nothing has happened to."""
    done = Run(home / "study.py", "--local", "--results", home / "whole", cwd=home).wait(600)
    assert done.code == 0, done.err
    return home / "whole"


@pytest.fixture
def private() -> Iterator[dict[str, str]]:
    """Ray's own folder for one test: a cluster that others run on this machine is not found. Short, for its sockets."""
    folder = Path(f"/tmp/vmi-{os.getpid()}-{time.monotonic_ns() % 10**6}")
    folder.mkdir()
    yield {"RAY_TMPDIR": str(folder), "TMPDIR": str(folder)}
    shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """A Ray cluster of one node, started as a user starts one, in a session of its own."""

    def __init__(self, folder: Path, cpus: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [str(RAY), "start", "--head", "--block", f"--port={self.port}", f"--num-cpus={cpus}",
                   f"--temp-dir={folder}/ray", "--include-dashboard=false", "--disable-usage-stats"]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"RAY_AUTH_MODE": "disabled"}
        self.process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
        self.address = f"{socket.gethostbyname(socket.gethostname())}:{self.port}"

    def processes(self, name: str) -> list[int]:
        """Ids of the cluster's own processes of this name."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(path.name)) == self.process.pid and name in (path / "cmdline").read_text():
                    found.append(int(path.name))
            except (OSError, UnicodeDecodeError):
                continue
        return found

    def kill(self) -> None:
        """All of it at once, as when the machine goes."""
        for number in self.processes(""):
            if number != os.getpid():
                os.kill(number, signal.SIGKILL)
        self.process.wait()


@pytest.mark.parametrize("gone", ["everything", "gcs_server"])
def test_a_cluster_that_goes_ends_the_driver_and_a_new_one_goes_on_from_the_store_alone(
    home: Path, whole: Path, private: dict[str, str], gone: str
) -> None:
    """R4, and D3 with four workers."""
    results = home / gone
    arguments = ("--results", results, "--pack-size", "2")
    environment: Any = {**private, **OFTEN, "RAY_AUTH_MODE": "disabled"}
    first = Cluster(Path(private["RAY_TMPDIR"]) / "1", 4)
    running = Run(home / "study.py", *arguments, "--address", first.address, cwd=home, **environment)
    assert until(lambda: parts(results, "s") >= 1, 240), running.process.poll()
    if gone == "everything":
        first.kill()
    else:
        os.kill(first.processes(gone)[0], signal.SIGKILL)
    start = time.monotonic()
    running.wait(150)
    print(f"{gone} killed: the driver ended after {time.monotonic() - start:.0f} s with code {running.code}")
    first.kill()
    assert running.code == 1 and "Traceback" not in running.out
    assert "the Ray cluster is gone: " in running.out and "resume with: python " in running.out
    finished = dict(Store(results, "s").finished())
    assert finished
    second = Cluster(Path(private["RAY_TMPDIR"]) / "2", 2)
    try:
        last = Run(home / "study.py", *arguments, "--address", second.address, cwd=home, **environment).wait(400)
    finally:
        second.kill()
    assert last.code == 0, last.out + last.err
    assert tables(results, "s") == tables(whole, "s")
    rows = Store(results, "s").finished()
    assert all(rows[trial_id] == row for trial_id, row in finished.items()), "finished once, trained once"


def _delete(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [_delete, _empty, _truncate])
def test_what_tune_optuna_ray_and_wandb_keep_may_be_damaged_or_gone(
    home: Path, whole: Path, private: dict[str, str], damage: Any
) -> None:
    """R5. The store is read, and nothing else: an exact resume, and never "0 trials, success"."""
    results = home / damage.__name__
    environment: Any = {**private, **OFTEN}
    running = Run(home / "study.py", "--results", results, "--pack-size", "4", cwd=home, **environment)
    assert until(lambda: parts(results, "s") >= 1 and running.trained_by(), 240)
    os.kill(running.process.pid, signal.SIGKILL)
    running.wait()
    assert running.gone(90)
    finished = dict(Store(results, "s").finished())
    theirs = [p for p in (results / "s" / "wandb").rglob("*") if p.is_file() and not p.is_symlink()]
    theirs += [p for p in Path(private["TMPDIR"]).rglob("*") if p.is_file() and not p.is_symlink()]
    assert any("tune" in str(path) for path in theirs) and any(path.suffix == ".wandb" for path in theirs)
    for path in theirs:
        damage(path)
    print(f"{damage.__name__}: {len(theirs)} files of Tune, Ray and W&B; {len(finished)} trials were finished")
    last = Run(home / "study.py", "--results", results, "--pack-size", "4", cwd=home, **environment).wait(300)
    assert last.code == 0, last.out + last.err
    assert f"{20 - len(finished)} trained in this run + {len(finished)} found in the store, 0 failed" in last.out
    assert tables(results, "s") == tables(whole, "s")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("times", [1, 2])
def test_signals_once_or_twice_leave_everything_durable_and_no_process(
    home: Path, private: dict[str, str], number: int, code: int, times: int
) -> None:
    """R9. Whoever presses Ctrl-C twice is impatient, and loses nothing by it."""
    results = home / f"signal-{number}-{times}"
    running = Run(home / "study.py", "--results", results, "--pack-size", "2", cwd=home, **private)
    assert until(lambda: parts(results, "s") >= 1 and running.trained_by(), 240)
    start = time.monotonic()
    for _ in range(times):
        os.killpg(running.process.pid, number) if number == signal.SIGINT else os.kill(running.process.pid, number)
        time.sleep(0.3)
    running.wait(60)
    seconds = time.monotonic() - start
    print(f"{signal.Signals(number).name} x {times}: ended after {seconds:.1f} s with code {running.code}")
    assert running.code == code and "Traceback" not in running.out + running.err
    assert running.out.splitlines()[-1].startswith("resume with: python ")
    assert running.gone(15), list(running.processes())
    said = int(running.out.split("interrupted: ")[1].split()[0])
    assert said <= len(Store(results, "s").finished()) and not (results / "s" / "driver.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts a small file system")
def test_a_disk_that_fills_up_is_named_and_the_run_goes_on_once_there_is_room(
    home: Path, whole: Path, private: dict[str, str]
) -> None:
    """S4 and R9: what was finished is safe, what could not be stored is said to be trained at the next start."""
    small = home / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=True)
    try:
        environment: Any = {**private, "WANDB_MODE": "disabled"}
        arguments = ("--results", small / "results", "--pack-size", "4")
        running = Run(home / "study.py", *arguments, cwd=home, **environment)
        assert until(lambda: parts(small / "results", "s") >= 1, 240)
        finished = dict(Store(small / "results", "s").finished())
        _fill(small / "filler")
        running.wait(300)
        print(f"disk full after {len(finished)} trials: code {running.code}; {running.out.splitlines()[-3:]}")
        assert running.code == 1 and "Traceback" not in running.out + running.err
        assert "No space left on device" in running.out and "the next start trains them again" in running.out
        assert finished.items() <= dict(Store(small / "results", "s").finished()).items()
        (small / "filler").unlink()
        again = Run(home / "study.py", *arguments, cwd=home, **environment).wait(300)
        assert again.code == 0, again.out + again.err
        assert tables(small / "results", "s") == tables(whole, "s")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def _fill(path: Path) -> None:
    """Take what is left of a file system."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
