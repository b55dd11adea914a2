"""What this node is, without asking torch: the names under which measurements are kept."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

# Of a control group of either version: the files of its limit and of what it uses, and what of that is cache.
_FIRST = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_SECOND = ("memory.max", "memory.current", "inactive_file")


def cpu_name() -> str:
    """The model of the CPU as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named and named[0] else platform.processor() or platform.machine() or "unknown CPU"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_version() -> str:
    """As installed, without loading it."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "none"


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


def free_on_cards() -> list[int]:
    """Free bytes of each card of this node that this process may use, as its driver's own program says.

    None where there is no such program.
    """
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command.append(f"--id={visible}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    return [int(line) * 2**20 for line in done.stdout.split() if line.isdecimal()] if not done.returncode else []


def _left_in_groups(root: Path) -> Iterator[int]:
    """What is left of the limit of each control group that this process is in, whose caches can be given up."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, path = [*line.split(":", 2), "", ""][:3]
        first = "memory" in kinds.split(",")
        mounts = ["memory"] if first else [] if kinds else ["", "unified"]
        for mount in (root / "sys/fs/cgroup" / mount for mount in mounts):
            inner = mount / path.lstrip("/")
            for group in (inner, *(parent for parent in inner.parents if parent.is_relative_to(mount))):
                yield from _left(group, *(_FIRST if first else _SECOND))


def _left(group: Path, limit: str, used: str, cache: str) -> Iterator[int]:
    most, taken = _text(group / limit).strip(), _text(group / used).strip()
    if most.isdecimal() and taken.isdecimal():
        stats = dict(line.split()[:2] for line in _text(group / "memory.stat").splitlines() if " " in line)
        yield max(0, int(most) - int(taken) + int(stats.get(cache, 0)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
