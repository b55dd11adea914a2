"""One driver per study: who holds driver.json, who may take it over, and that of many who try one wins."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.runs import until

from vmi.monitor import lock
from vmi.monitor.lock import FILE, STALE_SECONDS, Heartbeat, read
from vmi.spec.errors import InputError
from vmi.storage.checksum import sealed, unsealed
from vmi.storage.durable import Files

RACE = """
import sys, time
from pathlib import Path
from vmi.spec.errors import InputError
from vmi.monitor.lock import Heartbeat
sys.stdin.readline()  # all start at once
try:
    Heartbeat(Path(sys.argv[1]), "s").acquire()
except InputError as error:
    print("refused", flush=True)
else:
    print("won", flush=True)
    sys.stdin.readline()
"""


def left_behind(folder: Path, **fields: Any) -> bytes:
    """A driver.json as a driver of this host has left it, whose process is gone."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    content = {"host": socket.gethostname(), "pid": gone.pid, "born": "1", "study": "s", "updated": time.time()}
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_bytes(sealed(content | fields))
    return (folder / FILE).read_bytes()


def test_the_file_names_the_process_and_what_was_noted_and_goes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    held = Heartbeat(folder, "s")
    held.note({"planned": 4})
    held.acquire()
    held.acquire()
    found = read(folder, time.time())
    assert found and found.alive and (found.host, found.pid) == (socket.gethostname(), os.getpid())
    assert found.content["planned"] == 4 and found.content["study"] == "s"
    held.release()
    assert list(folder.iterdir()) == []


def test_a_heartbeat_is_written_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    held = Heartbeat(tmp_path, "s")
    held.acquire()
    try:
        held.note({"finished": 3})
        assert until(lambda: json.loads((tmp_path / FILE).read_text()).get("finished") == 3)
    finally:
        held.release()


def test_a_full_disk_stops_neither_the_beat_nor_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Files):
        replaced = 0

        def replace(self, source: Path, target: Path) -> None:
            self.replaced += 1
            if self.replaced < 4:
                raise OSError(28, "No space left on device")
            super().replace(source, target)

    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    files = Full()
    held = Heartbeat(tmp_path, "s", files=files)
    held.acquire()
    assert until(lambda: files.replaced >= 6)
    held.release()
    assert not held.lost and list(tmp_path.iterdir()) == []


def test_a_second_driver_is_refused_by_host_pid_and_age_and_writes_nothing(tmp_path: Path) -> None:
    first = Heartbeat(tmp_path, "lambda")
    first.acquire()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(InputError) as refused, Heartbeat(tmp_path, "lambda"):
        raise AssertionError("two drivers")
    said = str(refused.value)
    assert f"study = 'lambda': another driver runs it: pid {os.getpid()} on {socket.gethostname()}" in said
    assert "last heartbeat 0 s ago" in said
    assert json.loads((tmp_path / FILE).read_bytes())["token"] == json.loads(before)["token"]
    first.release()


def test_one_whose_process_is_gone_is_taken_over_and_named(tmp_path: Path) -> None:
    left_behind(tmp_path)
    with Heartbeat(tmp_path, "s") as held:
        assert held.taken_over and not held.taken_over.alive
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_pid_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    left_behind(tmp_path, pid=os.getpid(), born="1")
    found = read(tmp_path, time.time())
    assert found and not found.alive


@pytest.mark.parametrize(("age", "alive"), [(0, True), (STALE_SECONDS - 5, True), (STALE_SECONDS + 5, False)])
def test_one_on_another_host_lives_as_long_as_it_writes(tmp_path: Path, age: float, alive: bool) -> None:
    left_behind(tmp_path, host="elsewhere", updated=time.time() - age)
    found = read(tmp_path, time.time())
    assert found and found.alive == alive
    if alive:
        with pytest.raises(InputError, match="on elsewhere, last heartbeat"):
            Heartbeat(tmp_path, "s").acquire()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": "x"}', '{"pid": -1, "updated": "now"}', "\x00\xff", "null"])
def test_what_is_no_heartbeat_holds_for_a_minute_and_no_longer(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="pid unknown"):
        Heartbeat(tmp_path, "s").acquire()
    old = time.time() - STALE_SECONDS - 5
    os.utime(tmp_path / FILE, (old, old))
    held = Heartbeat(tmp_path, "s")
    held.acquire()
    assert held.taken_over
    held.release()


def test_a_driver_that_was_taken_over_notices_and_leaves_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    held = Heartbeat(tmp_path, "s")
    held.acquire()
    theirs = left_behind(tmp_path / "other", token="theirs")

    def noticed() -> bool:
        (tmp_path / "other" / FILE).write_bytes(theirs)
        (tmp_path / "other" / FILE).replace(tmp_path / FILE)  # once more where a beat was under way
        return held.lost

    assert until(noticed)
    held.release()
    assert (tmp_path / FILE).read_bytes() == theirs


def test_a_taking_over_that_was_cut_short_is_taken_over_itself(tmp_path: Path) -> None:
    left = left_behind(tmp_path)
    import hashlib

    marker = tmp_path / f".tmp-taking-{hashlib.sha256(left).hexdigest()[:16]}"
    marker.write_bytes(sealed(unsealed(left) | {"study": "t"}))
    with Heartbeat(tmp_path, "s") as held:
        assert held.taken_over
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_processes_that_race_one_wins(tmp_path: Path, stale: bool) -> None:
    if stale:
        left_behind(tmp_path)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers if racer.stdout]
    for racer in racers:
        racer.communicate("\n")
    assert sorted(said) == ["refused"] * 7 + ["won"]
