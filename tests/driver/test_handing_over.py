"""A pack that gives members away in mid-run: through Ray, killed beside it; and when a driver asks for it."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from runners.test_ledger import completed, ledger_of, study
from support.holding import Hold
from support.object_servers import stored
from support.runs import Run, run, tables, trained, until
from support.spoiling_proxy import Faulty

import vmi
from vmi.cost.cutting import Prices
from vmi.driver.handing_over import HandingOver
from vmi.in_flight.parting import PartRequests, put_part
from vmi.in_flight.steering import FOLDER, LOOK_SECONDS, REMOTE_LOOK_SECONDS
from vmi.results.store import Store
from vmi.storage.paths import ObjectPath
from vmi.worker.messages import Update

FIXED = {"steps": 40, "hidden": "16-8", "batch_size": 64}
STUDY = vmi.Study(name="s", fixed=FIXED, space={"mi_weight": vmi.choice(0, 4)}, seeds=range(2))
SCRIPT = f"""
import vmi
study = vmi.Study(name="s", fixed={FIXED}, space={{"mi_weight": vmi.choice(0, 4)}}, seeds=range(2))
if __name__ == "__main__":
    vmi.main(study)
"""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "study.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path / "study.py"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as no pack of it is parted."""
    root = tmp_path_factory.mktemp("whole")
    trained(STUDY, root)
    return root


def started(script: Path, hold: Hold) -> Run:
    """As one pack, on two workers."""
    options = ("--prefer", "cost")
    return Run(script, *options, cwd=script.parent, VMI_CHECKPOINT_SECONDS="0", **hold.environment)


def ask(store: Store) -> str:
    """Ask the one pack that is under way; it looks as soon as it is let go."""
    (folder,) = store.checkpoints.iterdir()
    put_part(store, folder.name, 2)
    time.sleep(LOOK_SECONDS)
    return str(folder.name)


@pytest.mark.faults
def test_through_ray_both_workers_go_on_with_half_and_rows_are_as_without(script: Path, whole: Path) -> None:
    root, hold = script.parent / "results", Hold(script.parent, "*/checkpoints/*/00000002-*.pt")
    driver = started(script, hold)
    with hold.reached(driver.process):
        parted = ask(Store(root, "s"))
    assert driver.wait().code == 0, driver.out + driver.err
    packs = {row["pack_id"] for row in Store(root, "s").finished().values()}
    assert len(packs) == 2 and parted not in packs
    assert tables(root, "s") == tables(whole, "s")
    assert not (root / "s" / "checkpoints").exists()


@pytest.mark.faults
@pytest.mark.parametrize("moment", ["before it is seen", "while the parts are written", "while a part is begun"])
def test_the_driver_and_its_workers_are_killed_and_the_next_start_has_the_same_rows(
    script: Path, whole: Path, moment: str
) -> None:
    root, store = script.parent / "results", Store(script.parent / "results", "s")
    first = Hold(script.parent, "*/checkpoints/*/00000002-*.pt")
    at = {"while the parts are written": "*/checkpoints/*/pack-*.json", "while a part is begun": "*/claim-*"}
    then = Hold(script.parent, at.get(moment, "nowhere"), after="part-*.json", count=1, beside=first)
    driver = started(script, then)
    with first.reached(driver.process):
        ask(store)
        if moment not in at:
            os.killpg(driver.process.pid, signal.SIGKILL)
    if moment in at:
        with then.reached(driver.process):
            os.killpg(driver.process.pid, signal.SIGKILL)
    driver.wait()
    assert driver.gone()
    again = run(script, cwd=script.parent)
    assert again.code == 0, again.out + again.err
    assert tables(root, "s") == tables(whole, "s")
    assert not (root / "s" / "checkpoints").exists() and not list((root / "s" / FOLDER).glob("part-*"))


@pytest.mark.faults
@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "killed while the parts are written"])
def test_results_in_a_bucket(proxy: Faulty, root: ObjectPath, script: Path, whole: Path, killed: bool) -> None:
    store, packs, asked = Store(root, "s"), set[str](), threading.Event()

    def fault(_: int, method: str, path: str) -> str:
        """Held: the first pack's second checkpoint, and then, where all are to be killed, the plan of its second part.

        The server sees both once they are let go, as it would of a put that whoever was killed had sent.
        """
        found = re.search(r"/checkpoints/(\w+)/(pack-|00000002-)", path) if method == "PUT" else None
        if found is None:
            return ""
        if found[2] == "pack-":
            packs.add(found[1])
            return "slow" if killed and len(packs) == 3 else ""
        return "" if asked.is_set() else "slow"

    proxy.plan = fault
    driver = Run(script, "--prefer", "cost", "--results", str(root), cwd=script.parent, VMI_CHECKPOINT_SECONDS="0")
    assert until(lambda: proxy.hit or driver.process.poll() is not None) and proxy.hit, driver.wait().err
    (whole_pack,) = packs
    put_part(store, whole_pack, 2)
    time.sleep(REMOTE_LOOK_SECONDS)
    proxy.hit = None
    asked.set()
    proxy.go.set()
    if killed:
        proxy.go.clear()
        assert until(lambda: proxy.hit or driver.process.poll() is not None) and proxy.hit, driver.wait().err
        os.killpg(driver.process.pid, signal.SIGKILL)
        proxy.go.set()
        driver.wait()
        assert driver.gone()
        driver = Run(script, "--results", str(root), cwd=script.parent)
    assert driver.wait().code == 0, driver.out + driver.err
    assert len(packs) == 3
    trained_in = {row["pack_id"] for row in store.finished().values()}
    assert trained_in == {whole_pack} if killed else trained_in == packs - {whole_pack}
    assert tables(root, "s") == tables(whole, "s")
    left = [key for key in stored(proxy, root) if "/checkpoints/" in key or f"/{FOLDER}/part-" in key]
    assert len(left) == (0 if killed else 1), "the request of the test, which is no driver"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked_after(
    root: Path, seconds: float, done: float = 0.1, workers: int = 2, present: int | None = None
) -> tuple[int, list[str]]:
    """Into how many packs a pack of four is to be parted whose first steps, of 10,000, took so long; what is said."""
    made = study(space={"mi_weight": vmi.choice(0, 1)}, seeds=range(2))
    ledger, said, clock = ledger_of(made, pack_size=100), list[str](), Clock()
    store = Store(root, "s")
    prices = Prices(MappingProxyType({}), None, "cpu")
    driving = HandingOver(ledger, store, workers, lambda: prices, said.append, lambda: present or workers, clock)
    spec = ledger.next_pack()
    assert spec is not None and ledger.next_pack() is None
    for step in (1, 1 + int(done * 10_000)):
        update = Update(spec.pack_id, step, 10_000)
        ledger.take(update)
        driving.update(update)
        clock.now += seconds
    folder = root / "s" / FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    parts = PartRequests(store, spec.pack_id).parts(names)
    last = Update(spec.pack_id, 10_000, 10_000, tuple(map(completed, spec.trials)))
    ledger.take(last)
    driving.update(last)
    assert not folder.is_dir() or not list(folder.iterdir()), "a pack that is over is asked for nothing"
    return parts, said


def test_a_pack_is_asked_where_the_gain_exceeds_the_cost(tmp_path: Path) -> None:
    parts, (said,) = asked_after(tmp_path / "long", 1000.0)
    assert parts == 2 and "1 worker free" in said and "sooner" in said
    assert asked_after(tmp_path / "short", 0.5) == (1, []), "its pace is not known"
    assert asked_after(tmp_path / "soon", 50.0, done=0.9) == (1, []), "six seconds are left"
    assert asked_after(tmp_path / "alone", 1000.0, workers=1) == (1, [])
    assert asked_after(tmp_path / "many", 1000.0, workers=9)[0] == 4, "no more than it has members"
    assert asked_after(tmp_path / "gone", 1000.0, workers=9, present=1) == (1, []), "nodes have gone since the start"
    assert asked_after(tmp_path / "fewer", 1000.0, workers=9, present=2)[0] == 2
    assert asked_after(tmp_path / "more", 1000.0, workers=2, present=9)[0] == 2, "no more run at a time than at first"


def test_a_pack_that_does_not_part_keeps_no_worker_free_for_it(tmp_path: Path) -> None:
    """Another one is asked in its place, and it itself not again."""
    ledger, said, clock = ledger_of(study(), pack_size=100, workers=lambda: 1), list[str](), Clock()
    store, prices = Store(tmp_path, "s"), Prices(MappingProxyType({}), None, "cpu")
    driving = HandingOver(ledger, store, 3, lambda: prices, said.append, lambda: 3, clock)
    packs = [ledger.next_pack(), ledger.next_pack()]
    assert ledger.next_pack() is None

    def go_on(step: int, **told: Any) -> None:
        for spec in packs:
            assert spec is not None
            update = Update(spec.pack_id, step, 10_000, **told if said and spec.pack_id in said[0] else {})
            ledger.take(update)
            driving.update(update)
        clock.now += 1000.0

    go_on(1)
    go_on(1000)
    assert len(said) == 1
    go_on(1500)
    assert len(said) == 1, "the only free worker is for the one that was asked"
    go_on(2000, whole=True)
    go_on(2500)
    first, second = packs if packs[0] and packs[0].pack_id in said[0] else reversed(packs)
    assert len(said) == 2 and first and second and first.pack_id in said[0] and second.pack_id in said[1]
    assert len(list((tmp_path / "s" / FOLDER).iterdir())) == 1, "what was asked of the first is taken back"
