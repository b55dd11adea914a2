"""W&B's runs are written beside the training, whole when the command ends, or by the next start after a kill."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.holding import Hold
from support.runs import PATIENCE, until

from tests.analysis.factory import choice, grid, store, trial
from tests.mirror.test_runs import run_files
from vmi.mirror import run_folders, writers
from vmi.mirror.mirror import Mirror, mirror_of
from vmi.mirror.wandb_private import has_ended
from vmi.mirror.writers import Beside
from vmi.results.store import Store

# Marked `litters`: a process beside the driver, which keeps its own scratch folder for it, leaves W&B's files here.
A_RUN = "*/offline-run-*"  # the folder that the client makes at its beginning
SPACE = {"mi_weight": choice(0, 1, 2, 4)}
# What W&B's client says of its own process that is gone: to whoever waited for it just then, and to everyone after.
CLOSED = {"W&B mirror: HandleAbandonedError", "W&B mirror: MailboxClosedError"}


@pytest.fixture
def study(tmp_path: Path) -> Store:
    """Sixteen finished trials, none of which has a run."""
    folder = store(tmp_path, [trial(**point) for point in grid(SPACE, range(4))], space=SPACE, with_arrays=False)
    return Store(folder.parent, folder.name)


def whole(study: Store) -> list[str]:
    """The trial of every run that says how it ended, now; sorted."""
    return sorted(
        path.stem.removeprefix("run-") for path in run_files(Path(str(study.folder))) if has_ended(path.read_bytes())
    )


def writer_of(mirror: Mirror) -> subprocess.Popen[str]:
    """The process that writes its runs."""
    assert isinstance(mirror._writer, Beside) and mirror._writer._process is not None
    return mirror._writer._process


def nothing(line: str) -> None:
    """Whoever waits is told so; not here."""


def following(study: Store) -> Iterator[int]:
    """Processes that write runs of this study."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"vmi.mirror.follower" in command and str(study.root).encode() in command:
            yield int(folder.name)


def started_by(pid: int) -> list[int]:
    return [process.pid for process in psutil.Process(pid).children()]


def is_service(pid: int) -> bool:
    """Whether it is W&B's own process."""
    return b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes()


def running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.litters
def test_nobody_waits_for_runs_until_the_end_and_then_every_one_is_whole(
    study: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited would wait for ever: no run is begun before the last of the calls."""
    mirror, ids = mirror_of(study, "offline", local=False), sorted(study.finished())
    hold = Hold(Path(str(study.root)), A_RUN)
    for name, value in hold.environment.items():
        monkeypatch.setenv(name, value)
    mirror.begin()
    assert mirror.note(ids) == [] and mirror.note(ids) == [] and whole(study) == []
    with hold.reached(writer_of(mirror)):
        mirror.end()  # nor does this
    mirror.wait(nothing)
    assert whole(study) == ids and list(following(study)) == []
    assert mirror.close() == [] and whole(study) == ids


@pytest.mark.litters
def test_a_killed_driver_s_runs_are_written_by_the_next_start_and_none_twice(study: Store) -> None:
    program = (
        "import sys; from pathlib import Path; from vmi.results.store import Store\n"
        "from vmi.mirror.mirror import mirror_of\n"
        "study = Store(Path(sys.argv[1]), sys.argv[2])\n"
        "mirror_of(study, 'offline', local=False).note(sorted(study.finished())); input()"
    )
    hold = Hold(Path(str(study.root)), A_RUN, "offline-run-*", 3)
    command = [sys.executable, "-c", program, str(study.root), study.study]
    environment = os.environ | hold.environment
    driver = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment)
    with driver, hold.reached(driver):  # at the fourth run
        (writer,) = following(study)
        threads = psutil.Process(writer).num_threads()
        driver.kill()
        assert until(lambda: psutil.Process(writer).num_threads() < threads), "who listened to it goes on"
    assert until(lambda: not list(following(study)))
    ids = sorted(study.finished())
    assert 0 < len(whole(study)) <= 4
    last = run_files(Path(str(study.folder)))[-1]
    last.write_bytes(last.read_bytes()[:100])  # as a kill of W&B's own process leaves it
    os.utime(last, (0, 0))
    mirror = mirror_of(study, "offline", local=True)
    mirror.finished = set(ids)
    mirror.begin()
    assert mirror.close() == []
    assert until(lambda: whole(study) == ids)
    mirror.begin()
    assert len(run_files(Path(str(study.folder)))) == 16


@pytest.mark.litters
@pytest.mark.parametrize("whose", ["the mirror's own", "W&B's"])
def test_after_a_process_was_killed_another_one_writes_what_is_missing(study: Store, whose: str) -> None:
    mirror, ids = mirror_of(study, "offline", local=False), sorted(study.finished())
    said = mirror.note(ids[:2])
    assert until(lambda: len(whole(study)) == 2)
    (killed,) = following(study)
    if whose == "W&B's":
        (killed,) = filter(is_service, started_by(killed))
    os.kill(killed, signal.SIGKILL)
    assert until(lambda: not running(killed))
    mirror.finished = set(ids[2:5])  # as of a driver before this one
    mirror.begin()
    said += [*mirror.note(ids[5:7]), *mirror.note(ids[7:])]
    mirror.end()
    mirror.wait(nothing)
    said += mirror.close()
    assert whole(study) == ids and len(run_files(Path(str(study.folder)))) == 16
    if whose == "W&B's":
        assert said and set(said) <= CLOSED
    else:
        (line,) = said
        assert "exit code -9" in line


IN_ONE_PROCESS = """
import os, sys; from pathlib import Path
import psutil
from vmi.results.store import Store
from vmi.mirror.mirror import mirror_of
study = Store(Path(sys.argv[1]), sys.argv[2])
mirror, ids = mirror_of(study, "offline", local=True), sorted(study.finished())
said = mirror.note(ids[:2])
(service,) = psutil.Process().children()
service.kill(); os.waitpid(service.pid, 0)
said += [*mirror.note(ids[2:7]), *mirror.note(ids[7:])]
mirror.end(); mirror.wait(str)
print(*said, *mirror.close(), sep="\\n")
"""


@pytest.mark.litters
def test_so_it_is_where_everything_is_trained_in_the_driver(study: Store) -> None:
    command = [sys.executable, "-c", IN_ONE_PROCESS, str(study.root), study.study]
    alone = {name: value for name, value in os.environ.items() if name != writers.SERVICE}
    done = subprocess.run(command, capture_output=True, text=True, env=alone)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said and set(said) <= CLOSED and len(whole(study)) >= 15  # of the last before the kill nothing is known
    assert len(run_files(Path(str(study.folder)))) == 16


@pytest.mark.litters
def test_a_mirror_that_is_killed_again_is_a_warning_with_what_writes_its_runs(study: Store) -> None:
    mirror = mirror_of(study, "offline", local=False)
    mirror.note(sorted(study.finished()))
    mirror.end()
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.01):
            for process in following(study):
                os.kill(process, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    mirror.wait(nothing)
    ended.set()
    killing.join()
    code, missing = mirror.close()
    assert "exit code -9" in code
    assert missing == f"trials without a W&B run so far: 16; the next start, or vmi mirror {study.folder}, writes them"
    assert whole(study) == []
    following_start = mirror_of(study, "offline", local=True)
    following_start.finished = set(study.finished())
    following_start.begin()
    assert until(lambda: whole(study) == sorted(study.finished()))


@pytest.mark.litters
def test_a_run_that_was_reported_but_is_torn_is_written_again_once_nobody_can_write_it(
    study: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tear(which: int) -> None:
        path = run_files(Path(str(study.folder)))[which]
        path.write_bytes(path.read_bytes()[:100])  # as a kill of W&B's own process leaves it
        os.utime(path, (0, 0))

    def looked(trial_ids: set[str], folder: Path) -> list[str]:
        assert list(following(study)) == []
        monkeypatch.setattr(writers, "SILENT_SECONDS", PATIENCE)
        return run_folders.missing_runs(trial_ids, folder)

    mirror, ids = mirror_of(study, "offline", local=False), sorted(study.finished())[:3]
    mirror.note(ids)
    assert until(lambda: whole(study) == ids and not mirror._writer.left())
    tear(0)
    (process,) = following(study)
    os.kill(process, signal.SIGSTOP)
    monkeypatch.setattr(writers, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(writers, "STOP_SECONDS", 0.1)
    monkeypatch.setattr("vmi.mirror.mirror.missing_runs", looked)
    mirror.end()
    mirror.wait(nothing)
    assert whole(study) == ids
    tear(-1)
    assert mirror.close()[-1].startswith("trials without a W&B run so far: 1; the next start, or vmi mirror ")


@pytest.mark.litters
def test_a_server_that_hangs_holds_up_neither_training_nor_the_end_of_an_interrupted_run(
    study: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        monkeypatch.setattr(writers, "STOP_SECONDS", 0.5)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{hanging.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("HOME", str(study.root))
        monkeypatch.delenv("WANDB_SERVICE", raising=False)
        mirror, ids = mirror_of(study, "online", local=False), sorted(study.finished())
        assert mirror.note(ids) == []
        hanging.accept()  # it has asked, and waits
        (process,) = following(study)
        started = started_by(process)
        assert any(map(is_service, started))
        mirror.stop()
        assert mirror.close() == [] and mirror._writer.left() == len(ids), "no run was waited for to its end"
        assert list(following(study)) == []
        assert until(lambda: not any(running(pid) for pid in started))


def test_what_the_next_start_writes_is_missing_and_not_unwanted(study: Store) -> None:
    def begun(mode: str = "offline") -> Mirror:
        mirror = mirror_of(study, mode, local=True)
        mirror.finished = set(study.finished())
        mirror.begin()
        return mirror

    begun()
    assert whole(study) == [] and not (study.folder / "wandb").exists()  # the mirror was off, or its runs were deleted
    (Path(str(study.folder)) / "wandb").mkdir()
    begun("disabled")
    assert whole(study) == []
    begun()
    assert until(lambda: whole(study) == sorted(study.finished()))
    shutil.rmtree(run_files(Path(str(study.folder)))[3].parent)
    begun()
    assert until(lambda: whole(study) == sorted(study.finished()))


def test_a_run_that_was_being_sent_is_missing_however_many_newer_ones_are_whole(
    study: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folders, "NEWEST", 2)
    mirror, ids, folder = mirror_of(study, "offline", local=True), sorted(study.finished()), Path(str(study.folder))
    assert mirror.note(ids) == [] and until(lambda: whole(study) == ids)
    sent, sending, *_ = run_files(folder)
    for path in (sent, sending):  # as online they are called
        os.utime(path, (0, 0))
        path.parent.rename(path.parent.with_name(path.parent.name.removeprefix("offline-")))
    mark = sending.parent.with_name(sending.parent.name.removeprefix("offline-")) / run_folders.SENDING
    mark.touch()
    assert run_folders.missing_runs(ids, folder) == [sending.stem.removeprefix("run-")]
    assert not mark.parent.exists() and run_folders.missing_runs(ids[:0], folder) == []


def test_what_is_no_run_or_cannot_be_removed_ends_no_sweep(study: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = sorted(study.finished())
    folder = Path(str(study.folder)) / "wandb"
    folder.mkdir()
    (folder / f"offline-run-20260101_000000-{ids[0]}").write_text("no folder")
    torn = folder / f"offline-run-20260101_000000-{ids[1]}" / f"run-{ids[1]}.wandb"
    torn.parent.mkdir()
    torn.write_bytes(b"torn")
    os.utime(torn, (time.time() + 3600,) * 2)  # by another clock
    assert run_folders.missing_runs(ids, Path(str(study.folder))) == ids  # and nobody waits until that time has come
    torn.parent.mkdir()
    torn.write_bytes(b"torn")
    os.utime(torn, (0, 0))

    def refused(path: Path) -> None:
        raise PermissionError(f"{path} is another's")

    monkeypatch.setattr(run_folders.shutil, "rmtree", refused)
    mirror = mirror_of(study, "offline", local=True)
    mirror.finished = set(ids)
    mirror.begin()
    (said,) = mirror.close()
    assert said.startswith("W&B mirror: PermissionError: ") and "another's" in said


@pytest.mark.litters
def test_a_line_cut_short_by_a_kill_ends_the_process(study: Store) -> None:
    command = [sys.executable, "-c", "from vmi.mirror.follower import main; main()", str(study.root), study.study]
    done = subprocess.run([*command, "offline"], input=b'["cut sh', capture_output=True)
    assert done.returncode == 0 and whole(study) == []


def test_a_folder_that_cannot_be_written_to_is_a_warning(study: Store) -> None:
    (Path(str(study.folder)) / "wandb").write_text("a file")
    (said,) = mirror_of(study, "offline", local=True).note(sorted(study.finished()))
    assert said.startswith("W&B mirror: ") and "wandb" in said


def test_a_process_that_cannot_be_started_is_a_warning(study: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(study.root / "gone"))
    said = Mirror(study, "offline", Beside(study, "offline")).note(sorted(study.finished()))
    assert "could be started" in said[0]
