"""What is used of torch that it keeps private: the fused kernel of Adam, the end of a capture for the allocator.

The kernel comes without what `torch.optim` does around it.

`torch.optim.adam.adam(fused=True)` sorts the tensors by device and type before it calls the kernel, at each step: 60 us
against 25 for 16 tensors of 2,000 numbers, 960 against 660 for 128 of 8,000 (torch 2.15, one thread). pyproject.toml
bounds torch's version by this file; tests/nn/test_torch_private.py says what a new one has moved.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def fused_adam_(
    parameters: list[Tensor],
    gradients: list[Tensor],
    first: list[Tensor],
    second: list[Tensor],
    steps: list[Tensor],
    rate: float | Tensor,
    betas: tuple[float, float],
) -> None:
    """One update of each parameter and its two moments, in place; `steps` count this one already. Epsilon is 1e-8.

    A rate that is a tensor [] lies on the device of the parameters.
    """
    torch._fused_adam_(
        parameters,
        gradients,
        first,
        second,
        [],
        steps,
        lr=rate,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=0.0,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )


def end_failed_capture(pool: tuple[int, int]) -> None:
    """Have the allocator know that a capture into this pool on the current device is over, where it was not told.

    In torch 2.11 and 2.12 `CUDAGraph.capture_end` raises what CUDA says before it tells the allocator
    (pytorch/pytorch#180395). That then takes a capture to be under way for good: when memory runs short it gives back
    no cached block, and it never gives back this pool. Where it was told, it refuses, and nothing is changed.
    """
    if torch.__version__ < "2.15":
        device = torch.cuda.current_device()
        with contextlib.suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(device, pool)
            torch._C._cuda_releasePool(device, pool)  # else nobody does: a graph does once its capture has ended
