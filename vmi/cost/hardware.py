"""What this node is, without asking torch: the names under which measurements are kept, and the memory that is free.

/proc is read by hand: psutil knows neither control groups nor what a process holds for itself alone.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmi.cost.cards import free_on_cards as free_on_cards

# Of a control group of either version: the files of its limits and of what it uses, and what of that is cache.
_FIRST = (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")
# Above the second limit processes are held up and their memory is taken back until they hardly go on.
_SECOND = (("memory.max", "memory.high"), "memory.current", "inactive_file")


def cpu_name() -> str:
    """The model of the CPU as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named and named[0] else platform.processor() or platform.machine() or "unknown CPU"


def cores(root: Path = Path("/")) -> int:
    """How many cores this process may use: those that it may run on, or what a container's quota allows, rounded down.

    At least 1. Ray counts as many, of a container that was given a quota.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *(quota // period for quota, period in _quotas(root))]))


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process and its children may still take: what the system has free, or a container has left.

    None where the system does not say. `root` is where /proc and /sys are.
    """
    lines = _text(root / "proc/meminfo").splitlines()
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*free, *_left_in_groups(root)], default=None)


def own_memory(root: Path = Path("/")) -> int:
    """Bytes that this process holds for itself, without files that it shares; 0 where the system does not say."""
    lines = _text(root / "proc/self/status").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _left_in_groups(root: Path) -> Iterator[int]:
    """What is left of the limits of each control group that this process is in, whose caches can be given up."""
    for group, is_first in _groups(root, "memory"):
        yield from _left(group, *(_FIRST if is_first else _SECOND))


def _quotas(root: Path) -> Iterator[tuple[int, int]]:
    """CPU time, and the time in which it may be used, of each control group of this process that has a quota."""
    for group, is_first in _groups(root, "cpu"):
        if is_first:
            found = [_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
        else:
            found = _text(group / "cpu.max").split()
        if len(found) == 2 and all(map(str.isdecimal, found)) and int(found[1]):  # "max" and -1 are none
            yield int(found[0]), int(found[1])


def _groups(root: Path, kind: str) -> Iterator[tuple[Path, bool]]:
    """The folders of the control groups of this process for such a resource; whether each is of the first version."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, path = [*line.split(":", 2), "", ""][:3]
        is_first = kind in kinds.split(",")
        # The first version's folder bears all the kinds of its line; links have each by itself.
        mounts = dict.fromkeys((kind, kinds)) if is_first else [] if kinds else ["", "unified"]
        for mount in (root / "sys/fs/cgroup" / mount for mount in mounts):
            inner = mount / path.lstrip("/")
            for group in (inner, *(parent for parent in inner.parents if parent.is_relative_to(mount))):
                yield group, is_first


def _left(group: Path, limits: Sequence[str], used: str, cache: str) -> Iterator[int]:
    most, taken = [_text(group / limit).strip() for limit in limits], _text(group / used).strip()
    least = min((int(limit) for limit in most if limit.isdecimal()), default=None)
    if least is not None and taken.isdecimal():
        stats = dict(line.split()[:2] for line in _text(group / "memory.stat").splitlines() if " " in line)
        yield max(0, least - int(taken) + int(stats.get(cache, 0)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
