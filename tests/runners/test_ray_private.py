"""What Ray keeps private and is used all the same: each test says what is to be done where a new version moved it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmi.runners import ray_private

# isort: split
from ray._private import parameter, ray_constants
from ray.tune.execution import class_cache


def test_a_cluster_for_one_run_starts_without_monitor_and_log_monitor() -> None:
    with ray_private.spared():
        made = vars(parameter.RayParams())
    for name, value in ray_private.SPARED.items():
        assert made.get(name) == value, f"RayParams has no {name} any more: a local cluster starts and ends 1.3 s later"
    assert not vars(parameter.RayParams())["no_monitor"], "outside of it Ray is as it was"


def test_ray_s_note_of_the_cluster_of_this_machine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ray_private.address_noted_in(tmp_path) is None
    (tmp_path / "ray_current_cluster").write_text("192.0.2.7:6379")
    moved = "Ray keeps its note elsewhere: a driver on a cluster's node would start a cluster of its own"
    assert ray_private.address_noted_in(tmp_path) == "192.0.2.7:6379", moved


def test_tune_s_workers_get_no_variables_of_the_driver_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    ray_private.keep_variables()
    made = class_cache._ActorClassCache().get(type("Trainable", (), {}))
    moved = "Tune hands over variables elsewhere: secrets lie in Ray's logs, and no prestarted worker is used"
    assert not made._default_options["runtime_env"].get("env_vars"), moved


def test_every_worker_is_known_by_its_title() -> None:
    title = ray_constants.WORKER_PROCESS_TYPE_IDLE_WORKER
    assert title.startswith(ray_private.TITLE), "workers are called otherwise: none is halted or ended any more"
