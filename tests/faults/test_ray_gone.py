"""R4, R5, R9 and full disks with real Ray, real signals, a real file system: what is finished is safe, and goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.owned import short_folder
from support.runs import Run, parts, tables, until

from vmi.results.store import Store
from vmi.training.checkpoint import Saved

pytestmark = pytest.mark.faults
# One pack goes through; every other one waits where the test has said, for as long as it takes: at its commit until
# there is a file "go", or between two steps until it is asked to stop (twice: until nobody asks any more).
STUDY = """
import os
from pathlib import Path
from vmi.cli.run import main
from vmi.study.space import choice
from vmi.study.study import Study

study = Study(name="s", fixed={"steps": 250}, space={"mi_weight": choice(0, 1, 2, 4, 8)}, seeds=range(4))
PLACE, AT = os.environ.get("HELD"), os.environ.get("HELD_AT")

def held(config):
    import ray, time
    from unittest.mock import patch
    from vmi.training import train
    from vmi.results.store import Store
    from vmi.worker.halting import question_of
    from vmi.runners.tune import train_pack

    folder, question = Path(PLACE), question_of(ray.get_runtime_context().get_worker_id())
    commit, run_steps = Store.commit, train.run_steps

    def wait(name, there):
        (folder / f"{name}-{os.getpid()}").touch()
        while not there():
            time.sleep(0.02)

    def held_commit(store, **tables):
        wait("held", (folder / "go").exists)
        return commit(store, **tables)

    def held_steps(pack, data, count):
        run_steps(pack, data, count)
        if min(pack.steps) >= 5:
            wait("held", question.exists)
            if AT == "twice":
                wait("asked", lambda: not question.exists())

    try:
        (folder / "free").touch(exist_ok=False)
        kept = patch.object(Store, "commit", commit)
    except FileExistsError:
        commits = AT == "commit"
        kept = patch.object(Store, "commit", held_commit) if commits else patch.object(train, "run_steps", held_steps)
    with kept:
        train_pack(config)

if PLACE:
    from vmi.runners import tune
    tune.train_pack = held
if __name__ == "__main__":
    main(study)
"""
STEPS, FIRST_REPORT = 250, 25
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
    done = Run(home / "study.py", "--local", "--results", home / "whole", cwd=home).wait()
    assert done.code == 0, done.err
    return home / "whole"


@pytest.fixture
def private() -> dict[str, str]:
    """Ray's own folder for one test: a cluster that others run on this machine is not found."""
    folder = str(short_folder())
    return {"RAY_TMPDIR": folder, "TMPDIR": folder}


class Held:
    """Where packs of a run wait: what its environment says of it, and who waits."""

    def __init__(self, folder: Path, at: str) -> None:
        folder.mkdir()
        self.folder, self.environment = folder, {"HELD": str(folder), "HELD_AT": at}

    def there(self, name: str = "held") -> bool:
        return any(self.folder.glob(f"{name}-*"))

    def all_there(self, study: Path) -> bool:
        """Whether every pack that the driver says is out waits: one that is not is at its start, or the free one."""
        beat = study / "driver.json"
        packs = json.loads(beat.read_text())["packs"] if beat.exists() else []
        return len(list(self.folder.glob("held-*"))) == len(packs) > 0

    def go(self) -> None:
        (self.folder / "go").touch()


class Cluster:
    """A Ray cluster of one node, started as a user starts one, in a session of its own."""

    def __init__(self, cpus: int) -> None:
        folder = short_folder()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [str(RAY), "start", "--head", "--block", f"--port={self.port}", f"--num-cpus={cpus}",
                   f"--temp-dir={folder}", "--include-dashboard=false", "--disable-usage-stats"]  # fmt: skip
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
    home: Path, whole: Path, private: dict[str, str], tmp_path: Path, gone: str
) -> None:
    """R4, and D3 with four workers."""
    results = home / gone
    arguments = ("--results", results, "--pack-size", "2")
    environment: Any = {**private, **OFTEN, "RAY_AUTH_MODE": "disabled"}
    held, first = Held(tmp_path / "held", "commit"), Cluster(4)
    running = Run(
        home / "study.py", *arguments, "--address", first.address, cwd=home, **environment, **held.environment
    )
    assert until(lambda: parts(results, "s") == 1 and held.there()), running.process.poll()
    if gone == "everything":
        first.kill()
    else:
        os.kill(first.processes(gone)[0], signal.SIGKILL)
    start = time.monotonic()
    running.wait()
    print(f"{gone} killed: the driver ended after {time.monotonic() - start:.0f} s with code {running.code}")
    first.kill()
    assert running.code == 1 and "Traceback" not in running.out
    assert "the Ray cluster is gone: " in running.out and "resume with: python " in running.out
    finished = dict(Store(results, "s").finished())
    assert len(finished) == 2
    second = Cluster(2)
    last = Run(home / "study.py", *arguments, "--address", second.address, cwd=home, **environment).wait()
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
    home: Path, whole: Path, private: dict[str, str], tmp_path: Path, damage: Any
) -> None:
    """R5. The store is read, and nothing else: an exact resume, and never "0 trials, success"."""
    results = home / damage.__name__
    environment: Any = {**private, **OFTEN}
    held, mirrored = Held(tmp_path / "held", "commit"), results / "s" / "wandb"
    arguments = ("--results", results, "--pack-size", "4")
    running = Run(home / "study.py", *arguments, cwd=home, **environment, **held.environment)
    assert until(lambda: held.there() and any(mirrored.rglob("*.wandb"))), running.process.poll()
    os.kill(running.process.pid, signal.SIGKILL)
    running.wait()
    assert running.gone()
    finished = dict(Store(results, "s").finished())
    assert len(finished) == 4
    theirs = [p for p in mirrored.rglob("*") if p.is_file() and not p.is_symlink()]
    theirs += [p for p in Path(private["TMPDIR"]).rglob("*") if p.is_file() and not p.is_symlink()]
    assert any("tune" in str(path) for path in theirs) and any(path.suffix == ".wandb" for path in theirs)
    for path in theirs:
        damage(path)
    print(f"{damage.__name__}: {len(theirs)} files of Tune, Ray and W&B; {len(finished)} trials were finished")
    last = Run(home / "study.py", *arguments, cwd=home, **environment).wait()
    assert last.code == 0, last.out + last.err
    assert f"{20 - len(finished)} trained in this run + {len(finished)} found in the store, 0 failed" in last.out
    assert tables(results, "s") == tables(whole, "s")


def _signalled(running: Run, number: int) -> None:
    """As Ctrl-C does, which everything in the foreground gets, or as `kill` does."""
    os.killpg(running.process.pid, number) if number == signal.SIGINT else os.kill(running.process.pid, number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("times", ["once", "twice"])
def test_signals_once_or_twice_leave_everything_durable_and_no_process(
    home: Path, whole: Path, private: dict[str, str], tmp_path: Path, number: int, code: int, times: str
) -> None:
    """R9. Whoever presses Ctrl-C twice is impatient, and loses nothing by it that is finished.

    They come while packs train that have not come to their first report, the second one while workers are waited for.
    """
    results, held = home / f"signal-{number}-{times}", Held(tmp_path / "held", times)
    arguments = ("--results", results, "--pack-size", "2")
    running = Run(home / "study.py", *arguments, cwd=home, **private, **held.environment)
    assert until(lambda: parts(results, "s") == 1 and held.all_there(results / "s")), running.process.poll()
    start = time.monotonic()
    _signalled(running, number)
    if times == "twice":
        assert until(lambda: held.there("asked")), "nobody was asked to stop"
        _signalled(running, number)
    running.wait()
    seconds = time.monotonic() - start
    print(f"{signal.Signals(number).name} {times}: ended after {seconds:.1f} s with code {running.code}")
    assert running.code == code and "Traceback" not in running.out + running.err
    assert running.out.splitlines()[-1].startswith("resume with: python ")
    assert running.gone(), list(running.processes())
    assert not (results / "s" / "driver.json").exists()
    finished, kept = Store(results, "s").finished(), _kept(results)
    assert len(finished) == 2 and "interrupted: 2 of 20 trials are finished in " in running.out
    if times == "once":
        low, high = (f"{100 * most(kept.values()) / STEPS:.0f}" for most in (min, max))
        assert len(kept) >= 2 and 5 <= max(kept.values()) < FIRST_REPORT  # another worker may be at its first step
        said = low if low == high else f"{low} to {high}"
        assert f"; {len(kept)} more resume from {said} % of their steps\n" in running.out, (kept, running.out)
    last = Run(home / "study.py", "--local", *arguments, cwd=home, **private).wait()
    assert last.code == 0, last.out + last.err
    assert "18 trained in this run + 2 found in the store, 0 failed" in last.out
    assert tables(results, "s") == tables(whole, "s")


def _kept(results: Path) -> dict[str, int]:
    """The steps of the trials that stand in a checkpoint."""
    saved = [Saved(path.read_bytes()) for path in (results / "s" / "checkpoints").rglob("*.pt")]
    return {trial_id: step for one in saved for trial_id, step in one.steps.items()}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts a small file system")
def test_a_disk_that_fills_up_is_named_and_the_run_goes_on_once_there_is_room(
    home: Path, whole: Path, private: dict[str, str], tmp_path: Path
) -> None:
    """S4 and R9: what was finished is safe, what could not be stored is said to be trained at the next start."""
    small, held = home / "small", Held(tmp_path / "held", "commit")
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=True)
    try:
        environment: Any = {**private, "WANDB_MODE": "disabled"}
        arguments = ("--results", small / "results", "--pack-size", "4")
        running = Run(home / "study.py", *arguments, cwd=home, **environment, **held.environment)
        assert until(lambda: parts(small / "results", "s") == 1 and held.there()), running.process.poll()
        finished = dict(Store(small / "results", "s").finished())
        _fill(small / "filler")
        held.go()
        running.wait()
        print(f"disk full after {len(finished)} trials: code {running.code}; {running.out.splitlines()[-3:]}")
        assert running.code == 1 and "Traceback" not in running.out + running.err
        assert "No space left on device" in running.out and "the next start trains them again" in running.out
        assert finished.items() <= dict(Store(small / "results", "s").finished()).items()
        (small / "filler").unlink()
        again = Run(home / "study.py", *arguments, cwd=home, **environment).wait()
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
