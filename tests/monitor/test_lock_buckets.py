"""One driver per study in an object store: the lock is one conditional put, whatever becomes of single requests."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.object_servers import stored
from support.runs import until
from support.spoiling_proxy import FAULTS, RIVAL, Faulty

from vmi.monitor import lock
from vmi.monitor.lock import FILE, STALE_SECONDS, Heartbeat, read
from vmi.spec.errors import InputError
from vmi.storage import bucket
from vmi.storage.durable import put_replacing
from vmi.storage.paths import ObjectPath


@pytest.fixture
def folder(root: ObjectPath) -> ObjectPath:
    return root / "lambda"


def left_behind(folder: ObjectPath) -> bytes:
    """What a driver on another host has left, that was silent for too long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "elsewhere")
        content = Heartbeat(folder, "lambda", lambda: time.time() - STALE_SECONDS - 9)._encoded()
    put_replacing(folder, FILE, content)
    return content


@pytest.mark.parametrize("fault", [f if f == "lost" else pytest.param(f, marks=pytest.mark.faults) for f in FAULTS])
@pytest.mark.parametrize("stale", [False, True], ids=["new", "taken over"])
def test_one_request_that_fails_neither_loses_the_lock_nor_gives_it_twice(
    proxy: Faulty, folder: ObjectPath, fault: str, stale: bool
) -> None:
    for number in range(40):
        if stale:
            left_behind(folder)
        proxy.arm(fault, number)
        first = Heartbeat(folder, "lambda")
        first.acquire()
        assert bool(first.taken_over) == stale
        with pytest.raises(InputError, match="another driver runs it: pid"):
            Heartbeat(folder, "lambda").acquire()
        first.release()
        assert stored(proxy, folder) == {}
        if proxy.hit is None:
            break
    assert number > (9 if stale else 4)


@pytest.mark.parametrize("stale", [False, True], ids=["new", "taken over"])
def test_of_many_that_race_one_wins(folder: ObjectPath, stale: bool) -> None:
    if stale:
        left_behind(folder)
    racers = [Heartbeat(folder, "lambda") for _ in range(8)]

    def won(racer: Heartbeat) -> bool:
        try:
            racer.acquire()
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(won, racers)) == [False] * 7 + [True]
    for racer in racers:
        racer.release()
    assert not folder.exists()


def test_a_driver_that_was_taken_over_notices_and_leaves_the_object_alone(
    folder: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    held = Heartbeat(folder, "lambda")
    held.acquire()
    theirs = left_behind(folder)

    def noticed() -> bool:
        put_replacing(folder, FILE, theirs)  # once more where a beat was under way
        return held.lost

    assert until(noticed)
    held.release()
    assert (folder / FILE).read_bytes() == theirs


def test_what_a_removal_that_was_killed_has_left_is_nobody_s_for_a_minute_and_stale_then(folder: ObjectPath) -> None:
    put_replacing(folder, FILE, bucket.GOING)
    with pytest.raises(InputError, match="another driver runs it: pid unknown on unknown host"):
        Heartbeat(folder, "lambda").acquire()
    later = Heartbeat(folder, "lambda", lambda: time.time() + STALE_SECONDS + 9)
    later.acquire()
    assert later.taken_over
    later.release()
    assert not folder.exists()


def test_a_driver_whose_lock_was_taken_over_before_it_removes_it_leaves_the_object_alone(
    proxy: Faulty, folder: ObjectPath
) -> None:
    """It looks, another takes over, it removes: what a delete without conditions would lose."""
    held = Heartbeat(folder, "lambda")
    held.acquire()
    proxy.arm("race", 1)
    held.release()
    assert proxy.hit and (folder / FILE).read_bytes() == RIVAL


def test_the_beat_goes_on_after_a_store_that_stayed_away(
    proxy: Faulty, folder: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    held = Heartbeat(folder, "lambda")
    held.acquire()
    monkeypatch.setattr(bucket, "HASTY_SECONDS", 0.02)
    proxy.arm("503", 0, lasting=True)
    assert until(lambda: len(proxy.log) >= 3)
    proxy.arm()
    held.note({"finished": 7})
    assert until(lambda: (found := read(folder, time.time())) and found.content.get("finished") == 7)
    assert not held.lost
    held.release()
    assert not folder.exists()
