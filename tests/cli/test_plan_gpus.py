"""What a plan for GPUs takes their memory to be, and that it says so; none is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cost.test_sizing import MADE, room_for, steps_of
from faults.starting import SMOKE, elsewhere, vmi
from support.cards import nvidia_smi

from vmi.cli.plan import Request, plan_lines
from vmi.cost.measurements import write
from vmi.cost.prediction import Target

UNKNOWN = "assumed: GPU memory holds these packs; there is no GPU here to ask (--gpu-memory GB names it)"
DEFAULT = "pack size: 16 (the default: not measured here and no GPU to ask; a run takes what its GPU holds)"


@pytest.fixture(autouse=True)
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the driver's own program would be found, were there a card."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder / "nvidia-smi"


def said(tmp_path: Path, **request: Any) -> tuple[list[str], list[str]]:
    """What a plan for two GPUs says of the size of its packs, and of what it takes for granted."""
    found = [*plan_lines(MADE, Request(**{"results": tmp_path, "target": Target("cuda", 2), **request}))]
    starts = ("pack size: ", "warning: a pack"), ("assumed: ",)
    return tuple([line for line in found if line.startswith(start)] for start in starts)  # type: ignore[return-value]


def room(members: float) -> int:
    return room_for(members, device="cuda").free or 0


def test_without_a_card_a_plan_names_what_it_assumes_and_what_a_run_does(tmp_path: Path) -> None:
    assert said(tmp_path) == ([DEFAULT], [UNKNOWN])
    assert said(tmp_path, pack_size=7) == (["pack size: 7 (as asked for)"], [UNKNOWN])
    assert said(tmp_path, target=Target("cpu", 2))[1] == [], "a CPU's memory is this node's"


def test_with_the_memory_of_a_card_named_a_plan_takes_the_packs_that_a_run_on_it_takes(tmp_path: Path) -> None:
    (size,), (assumed,) = said(tmp_path, gpu_bytes=80 * 10**9)
    assert size == "pack size: 1024 (the most that is allowed)"
    assert assumed == "assumed: 80.0 GB of memory free on each GPU, as --gpu-memory says"
    (size,), _ = said(tmp_path, gpu_bytes=room(2.5))
    assert size.startswith("pack size: 2 (memory: ")
    (size, warning), _ = said(tmp_path, gpu_bytes=room(2.5), pack_size=4, target=Target("cuda", 1))
    assert size == "pack size: 4 (as asked for)" and warning.endswith("memory holds about 2")


def test_what_was_measured_on_a_card_is_planned_with_as_far_as_the_named_memory_holds_it(tmp_path: Path) -> None:
    write(tmp_path / "calibration.json", steps_of(0.01, 0.005, 0.001, device="cuda", hardware="test card"))
    assert said(tmp_path, gpu_bytes=room(20))[0] == ["pack size: 16 (measured on test card, 2026-01-01)"]
    assert said(tmp_path, gpu_bytes=room(3.5))[0][0].startswith("pack size: 3 (memory: ")


def test_a_card_of_this_node_is_asked_where_none_is_named(tmp_path: Path, driver: Path) -> None:
    nvidia_smi(driver.parent, [("GPU-a", 2048, None)])
    assert said(tmp_path)[1] == ["assumed: 2.1 GB of memory free on each GPU, as on this node"]
    assert "as --gpu-memory says" in said(tmp_path, gpu_bytes=10**9)[1][0]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--gpus", 2, "--gpu-memory", 0), "--gpu-memory = 0.0: GB above 0, at most 10000"),
        (("--gpus", 2, "--gpu-memory", "-80"), "--gpu-memory = -80.0: GB above 0"),
        (("--gpus", 2, "--gpu-memory", "nan"), "--gpu-memory = nan: GB above 0"),
        (("--gpus", 2, "--gpu-memory", "1e300"), "--gpu-memory = 1e+300: GB above 0, at most 10000"),
        (("--gpus", 2, "--gpu-memory", "80GB"), "--gpu-memory = '80GB': GB above 0"),
        (("--gpu-memory", 80), "--gpu-memory = 80.0: only together with --gpus"),
    ],
)
def test_a_memory_that_no_gpu_has_is_refused_by_name(tmp_path: Path, arguments: tuple[Any, ...], error: str) -> None:
    with elsewhere(tmp_path):
        found = vmi("plan", SMOKE, *arguments)
    assert found.code == 2 and error in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_the_option_is_that_of_the_plan(tmp_path: Path) -> None:
    with elsewhere(tmp_path):
        found = vmi("plan", SMOKE, "--gpus", 2, "--gpu-memory", "24.5")
    assert found.code == 0 and "assumed: 24.5 GB of memory free on each GPU, as --gpu-memory says" in found.out
