"""What a worker tells the C library about memory: before it trains, and once there was not enough."""

from __future__ import annotations

import ctypes
import platform

# From malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1
_MMAP_MOST = 2**30


def keep_freed_memory() -> None:
    """Blocks that are freed stay with the process, where the C library is glibc.

    By default a block of a megabyte goes back to the kernel when it is freed, and its pages are zeroed anew at the next
    step, which cost a pack of small networks a tenth to a fifth of its time.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, _MMAP_MOST)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)


def return_freed_memory() -> None:
    """What was freed and kept goes back to the system, so that a smaller pack is not held to what a larger one took."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
