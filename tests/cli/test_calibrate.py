"""`vmi calibrate` measures, `vmi plan` predicts from that and loads nothing heavy; a real run is compared with it."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from cost.test_measurements import entry
from support.runs import SMOKE, run
from typer.testing import CliRunner

from vmi.cli.app import app
from vmi.cost.footprint import base_bytes, member_bytes, shared_bytes
from vmi.cost.forecast import Extent
from vmi.cost.measurements import ZERO, Seconds, costs_on, monotone, read, write
from vmi.cost.sizing import SHARE, Room
from vmi.data import dataset
from vmi.spec.trial import Trial
from vmi.study.loading import load
from vmi.worker import measure
from vmi.worker.measure import _Bench, _pack_of

HEAVY = "('torch', 'ray', 'wandb', 'optuna')"


class Done(NamedTuple):
    code: int
    out: str
    err: str
    cpu: float = 0.0  # seconds of a process of its own


def alone(cwd: Path, *arguments: object) -> Done:
    """A command in a process of its own; the last line is what it had loaded."""
    program = (
        "import sys\nfrom vmi.cli.app import app\ncode = 0\n"
        f"try:\n    app({[str(a) for a in arguments]!r})\nexcept SystemExit as ended:\n    code = ended.code or 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\nsys.exit(code)"
    )
    before = spent()
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True)
    return Done(done.returncode, done.stdout.rstrip("\n"), done.stderr, spent() - before)


def spent() -> float:
    """CPU seconds of the processes that have ended."""
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of_children.ru_utime + of_children.ru_stime


def vmi(cwd: Path, *arguments: object) -> Done:
    """A command in this process."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibrate")


@pytest.fixture(scope="module")
def measured(home: Path) -> Done:
    return alone(home, "calibrate", SMOKE, "--pack-size", 4)


def test_calibrate_measures_every_size_and_keeps_it_without_ray(home: Path, measured: Done) -> None:
    assert measured.code == 0, measured.err
    assert "pack of 1:" in measured.out and "pack of 4:" in measured.out and "ms a step" in measured.out
    assert "linear in its steps" in measured.out and "'ray'" not in measured.out.splitlines()[-1]
    entries = read(home / "results" / "calibration.json")
    assert [(e.device, e.kind.dataset) for e in entries] == [("cpu", "digits")] * 3
    assert [e.pack_size for e in entries] == [1, 4, 16], "up to what was asked for, and what is taken without measuring"
    assert all(e.step.cpu > 0 and e.rest.cpu > 0 and e.start.cpu > 0 for e in entries)
    assert all(e.start.cpu + e.data.cpu + e.reference.cpu + e.step.cpu < measured.cpu for e in entries)
    assert [p.name for p in (home / "results").iterdir()] == ["calibration.json"]  # no store was touched


def test_a_larger_pack_takes_longer_steps_but_shorter_ones_per_member(home: Path, measured: Done) -> None:
    one, four, many = read(home / "results" / "calibration.json")
    assert monotone((one, four, many)) and four.step.cpu < 4 * one.step.cpu


def test_the_plan_predicts_from_it_and_loads_nothing_heavy(home: Path, measured: Done) -> None:
    said = alone(home, "plan", SMOKE, "--pack-size", 4, "--cpus", 1, "--gpu-hour", 2, "--simulate", "1,2,1000")
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "[]"
    assert "predicted on 1 CPU core: " in said.out and " at 2 an hour" in said.out
    assert [line.split()[0] for line in said.out.splitlines()[-5:-1]] == ["CPU", "1", "2", "1000"]


def test_other_packs_hardware_or_networks_are_not_guessed(home: Path, measured: Done) -> None:
    for given in (["--gpus", 8], ["--data", "mnist"], ["--hardware", "another"]):
        said = vmi(home, "plan", SMOKE, "--pack-size", 4, *given)
        assert said.code == 0 and "no prediction: " in said.out and "predicted on" not in said.out
        assert "  measure it there with: vmi calibrate " in said.out
    wanted = vmi(home, "plan", SMOKE, "--gpus", 8, "--results", "results")
    assert f"vmi calibrate {SMOKE} --device cuda" in wanted.out


def test_a_plan_takes_what_a_run_takes(home: Path, measured: Done) -> None:
    said = vmi(home, "plan", SMOKE, "--steps", 7, "--seeds", 3, "--name", "other", "--pack-size", 2, "--cpus", 1)
    assert said.out.splitlines()[0] == "other: 6 trials (grid, 3 seeds each) on digits"
    assert "6 trials, 3 packs of 2" in said.out and "predicted on 1 CPU core: " in said.out


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--gpus", "0"], "--gpus = 0"),
        (["--cpus", "-1"], "--cpus = -1"),
        (["--gpus", "1", "--cpus", "1"], "--cpus = 1: not together with --gpus"),
        (["--gpu-hour", "nan"], "--gpu-hour = nan"),
        (["--gpu-hour", "-3"], "--gpu-hour = -3"),
        (["--simulate", "10,x"], "--simulate = '10,x'"),
        (["--simulate", ""], "--simulate = ''"),
        (["--simulate", "0"], "--simulate = '0'"),
        (["--simulate", "1000000000000"], "--simulate"),
        (["--pack-size", "0"], "--pack-size = 0"),
        (["--seeds", "ten"], "--seeds = 'ten'"),
        (["--scale", "huge"], "--scale = 'huge'"),
    ],
)
def test_a_bad_option_of_a_plan_is_refused_by_name(tmp_path: Path, arguments: list[str], field: str) -> None:
    said = vmi(tmp_path, "plan", SMOKE, *arguments)
    assert said.code == 2 and field in said.err and list(tmp_path.iterdir()) == []


def test_a_bad_device_or_file_of_a_calibration_is_refused_before_measuring(tmp_path: Path) -> None:
    assert "--device = 'gpu': one of cpu, cuda" in vmi(tmp_path, "calibrate", SMOKE, "--device", "gpu").err
    (tmp_path / "mine.json").write_text("mine")
    said = vmi(tmp_path, "calibrate", SMOKE, "--out", "mine.json")
    assert said.code == 3 and "mine.json" in said.err and (tmp_path / "mine.json").read_text() == "mine"
    damaged = vmi(tmp_path, "plan", SMOKE, "--calibration", "mine.json")
    assert damaged.code == 3 and "mine.json" in damaged.err


def test_without_a_number_sizes_are_measured_as_far_as_memory_and_long_steps_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, extent = _Bench("cpu", tmp_path), Extent(load(SMOKE), (), 16)
    ((architecture, members),) = extent.members.items()
    sizes = partial(bench._sizes, architecture, extent.kinds[architecture])
    enough = base_bytes("digits") + shared_bytes(architecture)
    for held, measured in ((10**6, [1, 4, 16, 64]), (85.5, [1, 4, 16, 64]), (84.5, [1, 4, 16]), (4.5, [1]), (-9, [1])):
        room = Room("cpu", round((enough + held * member_bytes(architecture)) / SHARE))
        monkeypatch.setattr(measure, "room_here", lambda device, workers, room=room: room)
        assert sizes() == measured
    for asked, held, measured in ((7, 28.5, [1, 4, 7, 16]), (7, 27.5, [1, 4, 7]), (20, -9, [1, 4, 16, 20])):
        room = Room("cpu", round((enough + held * member_bytes(architecture)) / SHARE))
        monkeypatch.setattr(measure, "room_here", lambda device, workers, room=room: room)
        assert sizes(asked) == measured, "what was asked for in any case, and no more than memory holds besides"
    packs = {size: _pack_of(members, size) for size in (1, 2)}
    digits = dataset.load("digits")
    monkeypatch.setattr(measure, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(measure, "CHUNK_SECONDS", 0.0)
    assert [*bench._steps(packs, digits, bounded=True)] == [1, 2]
    monkeypatch.setattr(measure, "LONGEST_STEP", 0.0)
    assert [*bench._steps(packs, digits, bounded=True)] == [1], "the smallest in any case"
    assert [*bench._steps(packs, digits, bounded=False)] == [1, 2]
    assert [*bench._steps(packs, digits, bounded=True, asked=2)] == [1, 2], "what was asked for in any case"


def test_what_is_beyond_the_steps_is_never_nothing_however_slow_steps_were_when_they_were_timed(tmp_path: Path) -> None:
    """As where others use the machine meanwhile: a step that took longer than the whole task."""
    bench, extent = _Bench("cpu", tmp_path), Extent(load(SMOKE), (), 16)
    (members,) = extent.members.values()
    pack = _pack_of(members, 1)
    slow, whole = bench._rest(pack, Seconds(1e3, 1e3)), bench._rest(pack, ZERO)
    assert slow.cpu > 0 and whole.cpu > 0 and bench._timed(pack)[1] > 0


def test_what_was_measured_is_kept_before_the_next_size_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the second size is measured: the first one is there, beside what was there before."""
    asked: list[int] = []

    def shared(self: _Bench, trials: Sequence[Trial], step: Seconds) -> int:
        asked.append(len(trials))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return 1

    monkeypatch.setattr(_Bench, "_packs_a_gpu", shared)
    monkeypatch.setattr(measure, "CHUNK_SECONDS", 0.0)
    path = tmp_path / "kept.json"
    write(path, [before := entry(7, 0.01)])
    said = vmi(tmp_path, "calibrate", SMOKE, "--pack-size", 2, "--out", path.name)
    assert said.code == 130 and asked == [1, 2]
    assert [e.pack_size for e in read(path)] == [1, 7] and before in read(path)


@pytest.mark.slow
def test_cost_is_linear_in_steps_as_measured(tmp_path: Path) -> None:
    """Three times the steps, three times the CPU seconds, within a third: chance on a shared machine is large."""
    bench = _Bench("cpu", tmp_path)
    extent = Extent(load(SMOKE), (), 4)
    (members,) = extent.members.values()
    pack = _pack_of(members, 4)
    bench._task(pack)

    def cpu(steps: int) -> Seconds:
        return bench._task([t._replace(config=replace(t.config, steps=steps)) for t in pack])

    few, many = cpu(100), cpu(300)
    rest = bench._task([t._replace(config=replace(t.config, steps=10)) for t in pack])
    assert (many.cpu - rest.cpu) / (few.cpu - rest.cpu) == pytest.approx(290 / 90, rel=1 / 3)


@pytest.mark.slow
def test_a_real_run_takes_what_was_predicted_in_cpu_seconds(home: Path, measured: Done) -> None:
    """Loose: caches and neighbours of a shared machine change CPU seconds by tens of per cent."""
    arguments = ("--pack-size", "4", "--steps", "500")
    done = run(SMOKE, "--local", *arguments, "--results", "results", "--name", "real", cwd=home)
    assert done.code == 0, done.err
    kept = json.loads((home / "results" / "real" / "prediction.json").read_text())
    foreseen, took = kept["predicted"]["cpu_seconds"], kept["actual"]["cpu_seconds"]
    assert foreseen / 2 < took < foreseen * 2
    assert costs_on(read(home / "results" / "calibration.json"), "cpu", None)
