"""What a node has for packs: memory, cores and cards, within what its container or its user leaves of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.cards import nvidia_smi

from vmi.cost import hardware
from vmi.cost.sizing import Room, room_here
from vmi.runners.local import LocalRunner

FIRST = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
SECOND = "memory.max", "memory.current", "inactive_file"
GIB = 2**30


def machine(root: Path, free: int, group: str, **limits: tuple[str, object, int, int]) -> Path:
    """/proc and /sys as a kernel shows them: free bytes, the groups of this process, and their limits by folder."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:  {free // 1024} kB\n")
    (root / "proc/self/cgroup").write_text(group)
    for folder, limit, used, cache in limits.values():
        names = FIRST if "memory" in folder.split("/") else SECOND
        where = root / "sys/fs/cgroup" / folder
        where.mkdir(parents=True, exist_ok=True)
        for name, value in zip(names, (limit, used), strict=False):
            (where / name).write_text(f"{value}\n")
        (where / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\n")
    return root


@pytest.mark.parametrize(
    ("group", "limits", "left"),
    [
        ("", {}, 8),
        ("0::/job\n", {"own": ("job", 3 * GIB, GIB, 0)}, 2),
        ("0::/job\n", {"own": ("job", 3 * GIB, 2 * GIB, GIB)}, 2),  # a cache can be given up
        ("0::/job/step\n", {"own": ("job/step", "max", GIB, 0), "above": ("job", 4 * GIB, GIB, 0)}, 3),
        ("0::/job\n", {"own": ("job", 3 * GIB, 4 * GIB, 0)}, 0),
        ("0::/not/seen/here\n", {"mount": ("", 2 * GIB, GIB, 0)}, 1),  # a container's own root
        ("0::/job\n", {"own": ("job", 64 * GIB, GIB, 0)}, 8),
        ("4:memory:/job\n0::/\n", {"own": ("memory/job", 3 * GIB, GIB, 0)}, 2),
        ("4:cpu,memory:/x\n", {"mount": ("memory", 5 * GIB, GIB, GIB)}, 5),
        ("4:memory:/x\n", {"mount": ("memory", 2**63 - 4096, GIB, 0)}, 8),
        ("nonsense\n", {}, 8),
    ],
)
def test_what_a_container_has_left_counts_where_it_is_less_than_the_machines(
    tmp_path: Path, group: str, limits: dict[str, Any], left: int
) -> None:
    assert hardware.available_memory(machine(tmp_path, 8 * GIB, group, **limits)) == left * GIB


def test_less_is_left_where_a_group_is_held_up_before_its_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, 8 * GIB, "0::/job\n", own=("job", 5 * GIB, GIB, 0))
    for high, left in (("max", 4), (3 * GIB, 2), (6 * GIB, 4)):
        (root / "sys/fs/cgroup/job/memory.high").write_text(f"{high}\n")
        assert hardware.available_memory(root) == left * GIB


@pytest.mark.parametrize(
    ("group", "files", "allowed"),
    [
        ("", {}, None),
        ("0::/job\n", {"job/cpu.max": "100000 100000"}, 1),
        ("0::/job\n", {"job/cpu.max": "199999 100000"}, 1),
        ("0::/job\n", {"job/cpu.max": "10000 100000"}, 1),  # there is no less than one
        ("0::/job\n", {"job/cpu.max": "max 100000"}, None),
        ("0::/job\n", {"job/cpu.max": "100000 0"}, None),
        ("0::/job\n", {"job/cpu.max": "99900000 100000"}, None),
        ("0::/job/step\n", {"job/step/cpu.max": "max 100000", "job/cpu.max": "100000 100000"}, 1),
        ("0::/not/seen/here\n", {"cpu.max": "100000 100000"}, 1),  # a container's own root
        ("1:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": "50000", "cpu/job/cpu.cfs_period_us": "50000"}, 1),
        ("4:cpu,cpuacct:/x\n", {"cpu,cpuacct/cpu.cfs_quota_us": "7", "cpu,cpuacct/cpu.cfs_period_us": "7"}, 1),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("1:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1"}, None),
        ("nonsense\n", {}, None),
    ],
)
def test_a_container_s_quota_counts_where_it_is_less_than_the_cores(
    tmp_path: Path, group: str, files: dict[str, str], allowed: int | None
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group)
    for name, content in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    assert hardware.cores(tmp_path) == (allowed or len(os.sched_getaffinity(0)))


def test_this_machines_memory_is_shared_by_its_workers_and_a_silent_system_has_none(
    tmp_path: Path,
) -> None:
    free = hardware.available_memory()
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert free and 0 < free <= total
    cores = hardware.cores()
    alone, shared, beyond = (room_here("cpu", count).free for count in (1, cores, 1000 * cores))
    assert alone and shared and beyond
    assert shared == pytest.approx(alone / cores, rel=0.2) and beyond == pytest.approx(shared, rel=0.2)
    assert hardware.available_memory(tmp_path) is None and hardware.own_memory(tmp_path) == 0


def test_what_this_process_holds_already_is_room_for_the_packs_that_it_trains_itself() -> None:
    # In a process of its own: this one may have freed memory that it takes again.
    grown = """
import os
from vmi.cost import hardware
held = hardware.own_memory()
block = bytearray(os.urandom(1024)) * (100 * 1024)
print((hardware.own_memory() - held) / len(block))
"""
    found = subprocess.run([sys.executable, "-c", grown], capture_output=True, text=True, check=True)
    assert float(found.stdout) == pytest.approx(1, rel=0.2)
    room, here = LocalRunner(0.0).room(), room_here("cpu", 1)
    assert room.device == "cpu" and room.free and here.free
    assert room.free - here.free == pytest.approx(hardware.own_memory(), rel=0.5)


def test_a_node_without_cards_says_so_and_one_with_cards_names_their_free_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a program in place of the driver's: no card is at hand."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.free_on_cards() == [] and room_here("cuda", 1) == Room("cuda", None)
    program = nvidia_smi(tmp_path, [("GPU-a", 40000, None), ("GPU-b", 81000, None)])
    assert hardware.free_on_cards() == [40000 * 2**20, 81000 * 2**20]
    assert room_here("cuda", 2) == Room("cuda", 40000 * 2**20)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.free_on_cards() == [] and room_here("cuda", 2) == Room("cuda", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    program.write_text(f"#!{sys.executable}\nprint('No devices were found')\nraise SystemExit(6)")
    assert hardware.free_on_cards() == []
