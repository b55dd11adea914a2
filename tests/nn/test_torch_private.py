"""What torch keeps private and is used all the same: the test says what is to be done where a new version moved it."""

from __future__ import annotations

import torch
from torch.optim.adam import adam

from vmi.nn.torch_private import fused_adam_


def test_the_fused_kernel_is_the_one_of_torch_s_own_adam() -> None:
    moved = "torch has no such kernel any more: `torch.optim.adam.adam(fused=True)` calls the one that it has now"
    assert hasattr(torch, "_fused_adam_"), moved
    gradients = [torch.randn(7, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    ours, theirs = ([[torch.ones(7) * start for _ in gradients] for start in (1, 0, 0)] for _ in range(2))
    counts, options = [torch.tensor(0.0) for _ in gradients], {"weight_decay": 0.0, "eps": 1e-8}
    for step in (1, 2):
        fused_adam_(ours[0], gradients, ours[1], ours[2], [torch.tensor(float(step))] * 3, 1e-3, (0.9, 0.999))
        adam(theirs[0], gradients, theirs[1], theirs[2], [], counts, fused=True, lr=1e-3, beta1=0.9, beta2=0.999,
             amsgrad=False, maximize=False, **options)  # fmt: skip
    for one, other in zip(ours, theirs, strict=True):
        assert all(map(torch.equal, one, other))
