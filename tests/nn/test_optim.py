"""Adam per member against torch.optim.Adam on each member alone."""

from __future__ import annotations

import pytest
import torch

from vmi.nn import ops
from vmi.nn.optim import SMALL, LearningRate, MemberAdam


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_row_is_torch_s_adam_with_its_own_learning_rate(dtype: torch.dtype) -> None:
    start, rates = torch.randn(3, 37, dtype=dtype), [1e-3, 1e-2, 1e-4]
    flat = start.clone()
    ours = MemberAdam(flat, [*map(LearningRate, rates)])
    alone = [start[k].clone().requires_grad_() for k in range(3)]
    theirs = [torch.optim.Adam([p], lr=lr, fused=True) for p, lr in zip(alone, rates, strict=True)]
    for _ in range(20):
        gradient = torch.randn(3, 37, dtype=dtype)
        ours.step([gradient[:, :12].reshape(3, 3, 4), gradient[:, 12:]])
        for k in range(3):
            alone[k].grad = gradient[k].clone()
            theirs[k].step()
    for k in range(3):
        assert torch.equal(flat[k], alone[k].detach())


@pytest.mark.parametrize("on_card", [False, True], ids=["of the host", "of the device"])
def test_a_rate_falls_as_torch_s_schedule_has_it(on_card: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "on_card", lambda _: on_card)
    rates = [LearningRate(1e-2, 0.01, 11), LearningRate(1e-3), LearningRate(1e-2, 0.5, 1), LearningRate(1e-2, 0.01, 11)]
    start = torch.randn(4, 9, dtype=torch.float64)
    flat = start.clone()
    ours = MemberAdam(flat, rates)
    alone = [start[k].clone().requires_grad_() for k in range(4)]
    theirs = [torch.optim.Adam([p], lr=rate.first) for p, rate in zip(alone, rates, strict=True)]
    shares = [
        lambda t: 0.01 ** min(t / 10, 1),
        lambda t: 1,
        lambda t: 0.5 ** min(t, 1),
        lambda t: 0.01 ** min(t / 10, 1),
    ]
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, share) for o, share in zip(theirs, shares, strict=True)]
    for _ in range(15):  # some beyond the last
        gradient = torch.randn(4, 9, dtype=torch.float64)
        ours.step([gradient])
        for k in range(4):
            alone[k].grad = gradient[k].clone()
            theirs[k].step()
            schedules[k].step()
    for k in range(4):
        # A rate of the device is a float32.
        torch.testing.assert_close(flat[k], alone[k].detach(), rtol=1e-6 if on_card else 1e-12, atol=0)


@pytest.mark.parametrize("width", [8, SMALL // 2 + 2], ids=["small", "large"])
def test_a_gradient_counts_by_its_elements_and_not_by_where_they_lie(width: int) -> None:
    gradient = torch.randn(2, 2 * width, generator=torch.Generator().manual_seed(1))
    laid_out = {
        "rows": gradient,
        "columns": gradient.T.contiguous().T,
        "gaps": gradient.repeat_interleave(2, 1)[:, ::2],
    }
    ends = []
    for given in [*laid_out.values(), gradient[:1].expand(2, -1)]:
        assert given.stride() != gradient.stride() or given is gradient
        flat = torch.zeros(2, 2 * width)
        MemberAdam(flat, [LearningRate(1e-3), LearningRate(1e-2)]).step([given[:, :width], given[:, width:]])
        assert torch.equal(flat.sign(), -given.sign())
        ends.append(flat)
    assert all(torch.equal(end, ends[0]) for end in ends[1:3])


def test_a_row_with_nan_gradients_leaves_the_others_bitwise_alone() -> None:
    start = torch.randn(3, 10)
    flats = [start.clone(), start.clone()]
    for flat, broken in zip(flats, (False, True), strict=True):
        optimiser = MemberAdam(flat, [LearningRate(1e-3)] * 3)
        gradient = torch.ones(3, 10)
        if broken:
            gradient[1] = torch.nan
        optimiser.step([gradient])
    assert torch.equal(flats[0][[0, 2]], flats[1][[0, 2]])
    assert flats[1][1].isnan().all()
