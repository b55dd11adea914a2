"""What torch keeps private and is used all the same: the test says what is to be done where a new version moved it."""

from __future__ import annotations

import pytest
import torch
from torch.optim.adam import adam
from torch.torch_version import TorchVersion

from vmi.nn.torch_private import end_failed_capture, fused_adam_


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


POOL = (0, 7)


@pytest.mark.parametrize(
    ("version", "told", "done"),
    [("2.11.0", False, ["end", "release"]), ("2.12.1+cu130", True, ["end"]), ("2.15.0+cu132", False, [])],
)
def test_the_allocator_is_told_once_that_a_capture_failed_and_a_pool_that_it_knows_of_is_not_released(
    monkeypatch: pytest.MonkeyPatch, version: str, told: bool, done: list[str]
) -> None:
    calls: list[str] = []

    def end(device: int, pool: tuple[int, int]) -> None:
        calls.append("end")
        assert (device, pool) == (3, POOL)
        if told:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")

    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda device, pool: calls.append("release"), raising=False)
    end_failed_capture(POOL)
    assert calls == done
