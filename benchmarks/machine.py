"""What the machine can do at most, and what a step needs of it: measured matmul peak, counted operations."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

SHAPES = ((1024, 1024, 1024), (512, 512, 512), (2048, 1024, 512))


def matmul_peak(dtype: torch.dtype, seconds: float = 1.5) -> float:
    """GF/s of the best of several square-ish matrix products on this thread, each for its share of the seconds."""
    best = 0.0
    for m, k, n in SHAPES:
        a, b, out = (torch.randn(*shape).to(dtype) for shape in ((m, k), (k, n), (m, n)))
        ends = time.perf_counter() + seconds / len(SHAPES)
        while time.perf_counter() < ends:
            before = time.process_time()
            torch.mm(a, b, out=out)
            best = max(best, 2 * m * k * n / (time.process_time() - before) / 1e9)
    return best


def operations(action: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions of one go."""
    counter = FlopCounterMode(display=False)
    with counter:
        action()
    return counter.get_total_flops()
