"""Online a trial's W&B run is there while it is trained: each durable report once, whoever is killed."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.runs import until
from support.worker_runs import Worker, task_of

from tests.mirror import online
from tests.mirror.online import close, comes_to_have, durable, ended, is_mirrored, kill, members, seen, stored, told
from tests.mirror.test_mirror import following, is_service, started_by, whole
from tests.support.wandb_server import Backend, serving
from vmi.in_flight.live import read_live
from vmi.mirror.live_runs import LiveRuns
from vmi.mirror.mirror import mirror_of
from vmi.results.store import Store
from vmi.storage.paths import ObjectPath
from vmi.worker.messages import Update
from vmi.worker.work import work

server = online.server
pytestmark = pytest.mark.litters
FAILS = {"learning_rate": 2.0, "mi_weight": 1e6}  # in mid-training


def test_the_server_has_what_is_durable_at_every_moment_and_in_the_end_the_whole_runs(
    tmp_path: Path, server: Backend
) -> None:
    task = task_of(tmp_path / "results", [*members(2), *members(1, **FAILS)])
    store = Store(Path(task.root), task.study)
    mirror = mirror_of(store, "online", local=True)
    moments = []
    for number, said in enumerate(told(mirror, task, work(task))):
        assert said == []
        if number in (2, 5, 8):
            assert comes_to_have(server, durable(store)) and ended(server) == {} and not store.finished()
            moments.append(seen(server))
    first, second, third = (max(map(len, moment.values())) for moment in moments)
    assert 0 < first < second < third and len(moments[0]) >= 2
    assert close(mirror) == [] and is_mirrored(server, store)
    assert sorted(ended(server).values()) == [0, 0, 1]
    assert server.operations().count("RunResumeStatus") == 3, "each run was begun once"
    assert list(following(store)) == [] and list(Path(store.folder).glob("wandb/*/sending")) == []


def test_after_its_process_was_killed_at_any_moment_no_line_is_there_twice_and_none_is_missing(
    tmp_path: Path, server: Backend
) -> None:
    """Before it has looked, once it has sent something, and while trials that have ended wait for it."""
    store, task = online.pack(tmp_path)
    mirror = mirror_of(store, "online", local=False)
    mirror.start()
    warnings = []
    for number, said in enumerate(told(mirror, task, work(task))):
        warnings += said
        if number == 4:
            assert comes_to_have(server, durable(store)) and any(seen(server).values())
        if number in (1, 4):
            kill(*following(store))
        if number == 8:
            (waiting,) = following(store)
            os.kill(waiting, signal.SIGSTOP)
    kill(waiting)
    warnings += close(mirror)
    assert set(warnings) == {"the process of the W&B mirror has ended: exit code -9; another starts"}
    assert is_mirrored(server, store) and list(Path(str(store.folder)).glob("wandb/*/sending")) == []


def test_an_interrupted_driver_leaves_its_open_runs_to_the_next_start_without_an_end(
    tmp_path: Path, server: Backend
) -> None:
    store, task = online.pack(tmp_path)
    first, second = (mirror_of(store, "online", local=False) for _ in range(2))
    running = told(first, task, work(task))
    assert [next(running) for _ in range(5)] == [[]] * 5
    assert comes_to_have(server, durable(store)) and any(seen(server).values())
    first.stop()
    assert first.close() == [] and list(following(store)) == [] and ended(server) == {}
    second.finished = set(store.finished())
    second.begin()
    assert [line for said in told(second, task, work(task)) for line in said] == []
    assert close(second) == [] and is_mirrored(server, store)
    assert len(list(Path(str(store.folder)).glob("wandb/run-*"))) == 2, "what was cut short is gone"


def test_a_process_that_is_killed_again_and_again_is_replaced_a_few_times_and_then_a_warning(
    tmp_path: Path, server: Backend
) -> None:
    store, task = online.pack(tmp_path)
    list(work(task))
    mirror, ids = mirror_of(store, "online", local=False), sorted(store.finished())
    over = threading.Event()

    def kill_all() -> None:
        while not over.wait(0.01):
            for process in following(store):
                os.kill(process, signal.SIGKILL)

    killing = threading.Thread(target=kill_all)
    killing.start()
    warnings = [*mirror.note(ids), *close(mirror)]
    over.set()
    killing.join()
    assert warnings[0].endswith("exit code -9; another starts") and warnings[-2].endswith("exit code -9")
    assert warnings[-1].startswith("trials without a W&B run so far: 2; the next start, or vmi mirror ")
    again = mirror_of(store, "online", local=False)
    again.finished = set(ids)
    again.begin()
    assert close(again) == [] and is_mirrored(server, store)


def test_after_w_and_b_s_own_process_was_killed_every_run_is_kept_offline_with_one_warning(
    tmp_path: Path, server: Backend
) -> None:
    store, task = online.pack(tmp_path)
    mirror = mirror_of(store, "online", local=False)
    warnings = []
    for number, said in enumerate(told(mirror, task, work(task))):
        warnings += said
        if number == 4:
            assert comes_to_have(server, durable(store))
            (follower,) = following(store)
            kill(*filter(is_service, started_by(follower)))
    (line,) = warnings + close(mirror)
    assert "W&B runs are kept offline from here on" in line
    assert whole(store) == sorted(store.finished()) and list(Path(str(store.folder)).glob("wandb/run-*")) == []
    assert all(steps == stored(store)[trial_id][: len(steps)] for trial_id, steps in seen(server).items())


def test_a_server_that_goes_ends_the_sending_with_one_warning_and_holds_up_no_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.with_limits(monkeypatch, runs__FINISH_SECONDS=1.0)
    store, task = online.pack(tmp_path)
    with serving() as backend:
        for name, value in online.environment(backend, tmp_path).items():
            monkeypatch.setenv(name, value)
        mirror = mirror_of(store, "online", local=False)
        running = told(mirror, task, work(task))
        assert [next(running) for _ in range(5)] == [[]] * 5
        assert comes_to_have(backend, durable(store)) and any(seen(backend).values())
    warnings = [line for said in running for line in said]
    warnings += close(mirror)
    (line,) = warnings
    assert line.startswith("W&B mirror: ") and "W&B runs are kept offline from here on" in line
    assert whole(store) == sorted(store.finished())


def test_a_worker_that_is_killed_and_goes_on_from_a_checkpoint_sends_no_line_twice(
    tmp_path: Path, server: Backend
) -> None:
    store, task = online.pack(tmp_path)
    mirror = mirror_of(store, "online", local=False)
    ids = [trial.trial_id for trial in task.pack.trials]
    for moment in ("after a checkpoint", "after the commit"):
        worker = Worker("one_worker.py", task, moment)
        assert worker.process.stdout is not None
        for line in iter(worker.process.stdout.readline, "held\n"):
            mirror.look(task.pack.pack_id, Update.from_json(line).saved, ids)
        assert comes_to_have(server, durable(store))
        worker.kill()
    assert store.finished() and ended(server) == {}
    assert [line for said in told(mirror, task, work(task)) for line in said] == []
    assert close(mirror) == [] and is_mirrored(server, store)


def test_of_more_trials_than_may_be_open_the_others_are_written_when_they_have_ended(
    tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.with_limits(monkeypatch, live_runs__MOST_OPEN=2)
    store, task = online.pack(tmp_path, 3)
    mirror = mirror_of(store, "online", local=False)
    for number, _ in enumerate(told(mirror, task, work(task))):
        if number == 5:
            assert len(durable(store)) == 3
            assert until(lambda: sorted(seen(server).values()) == sorted(durable(store).values())[:2]), seen(server)
    assert close(mirror) == [] and is_mirrored(server, store)


def test_those_who_wait_for_a_place_in_their_pack_have_no_run_yet(tmp_path: Path, server: Backend) -> None:
    store, task = online.pack(tmp_path, 4, places=2)
    mirror = mirror_of(store, "online", local=False)
    for number, _ in enumerate(told(mirror, task, work(task))):
        if number == 3:
            assert comes_to_have(server, durable(store)) and len(seen(server)) == 2
            assert not store.finished() and sum(len(live.trials) for live in read_live(store, {})) == 4
    assert close(mirror) == [] and is_mirrored(server, store)


def test_a_trial_that_is_shorter_than_an_interval_has_its_run_when_it_has_ended(
    tmp_path: Path, server: Backend
) -> None:
    store, task = online.pack(tmp_path, checkpoint_seconds=1e6)
    mirror = mirror_of(store, "online", local=False)
    assert [line for said in told(mirror, task, work(task)) for line in said] == []
    assert close(mirror) == [] and is_mirrored(server, store)
    assert server.operations().count("RunResumeStatus") == 2


def test_an_object_store_is_looked_at_every_15_seconds_at_most(root: ObjectPath) -> None:
    now = [0.0]
    live = LiveRuns(Store(root, "s"), lambda: now[0])
    assert live.wait_seconds() is None
    for later in (0.0, 15.0):
        live.note("pack", ["trial"])
        assert live.wait_seconds() == later
        now[0] += later
        live.send(lambda: True)
        assert live.wait_seconds() is None


def test_with_results_in_an_object_store_runs_are_live_too(
    root: ObjectPath, tmp_path: Path, server: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.with_limits(monkeypatch, live_runs__OBJECT_STORE_SECONDS=0.1)
    task = replace(task_of(tmp_path, members(2)), root=str(root))
    store = Store(root, task.study)
    mirror = mirror_of(store, "online", local=False)
    for number, said in enumerate(told(mirror, task, work(task))):
        assert said == []
        if number == 5:
            assert comes_to_have(server, durable(store)) and any(seen(server).values())
    assert close(mirror) == [] and is_mirrored(server, store)
    assert list(Path(tempfile.gettempdir()).glob("vmi-wandb-*")) == []
