"""The terms of a code that is the same for every view: against sums over all codes, in float64, and as bounds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vmi.information.bounds import mi_encoder_categorical
from vmi.objective.cross_view import consistency, cross_view_bound, encoder_information, paired_information


def posterior(seed: int, members: int = 3, images: int = 7, categories: int = 4, scale: float = 2.0) -> Tensor:
    logits = torch.randn(
        members, images, categories, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return torch.log_softmax(scale * logits, -1)


def by_hand(log_p_BC: Tensor, log_v_BC: Tensor) -> float:
    """E_{c~p} log v + H(m) of one member, by Python's own sums."""
    p, v = log_p_BC.exp().tolist(), log_v_BC.tolist()
    images, categories = len(p), len(p[0])
    m = [sum(row[c] for row in p) / images for c in range(categories)]
    crossed = sum(p[x][c] * v[x][c] for x in range(images) for c in range(categories)) / images
    return crossed - sum(share * math.log(share) for share in m)


def test_the_bound_is_the_mean_of_both_ways_summed_by_hand() -> None:
    p, v = posterior(0), posterior(1)
    for k, found in enumerate(cross_view_bound(p, v).tolist()):
        assert math.isclose(found, (by_hand(p[k], v[k]) + by_hand(v[k], p[k])) / 2, abs_tol=1e-12)
    assert torch.allclose(cross_view_bound(p, v), cross_view_bound(v, p), atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_at_most_the_mean_information_of_image_and_view_and_equal_where_they_agree(seed: int) -> None:
    p, v = posterior(seed), posterior(seed + 100, scale=4.0)
    both = (mi_encoder_categorical(p) + mi_encoder_categorical(v)) / 2
    assert (cross_view_bound(p, v) <= both + 1e-12).all()
    assert torch.allclose(cross_view_bound(p, p), mi_encoder_categorical(p), atol=1e-12)


def test_it_bounds_the_information_of_code_and_view_by_enumeration() -> None:
    """Two views of every image, equally likely: I(c; t(x)) by the joint of code and all views."""
    p, first, second = posterior(2)[0], posterior(3)[0], posterior(4)[0]
    images = len(p)
    # c ~ q(c|x) of the image, t(x) one of two views that tell images apart: the joint of (c, view) is p(x) / 2 each.
    joint = torch.cat([p, p]).exp() / (2 * images)
    marginal = joint.sum(0)
    exact = (joint * (joint / (joint.sum(1, keepdim=True) * marginal)).log()).sum()
    one_way = [by_hand(p, v) for v in (first, second)]
    assert sum(one_way) / 2 <= exact + 1e-12
    assert exact <= mi_encoder_categorical(p[None])[0] + 1e-12


def test_consistency_is_a_divergence_that_moves_the_view_alone() -> None:
    p, v = posterior(5).requires_grad_(), posterior(6).requires_grad_()
    found = consistency(p, v)
    assert (found > 0).all() and torch.allclose(consistency(p, p.detach()), torch.zeros(3, dtype=torch.float64))
    expected = (p.exp() * (p - v)).sum(-1).mean(-1)
    assert torch.allclose(found, expected, atol=1e-12)
    of_p, of_v = torch.autograd.grad(found.sum(), [p, v], allow_unused=True)
    assert of_p is None and torch.allclose(of_v, -p.exp().detach() / p.shape[1], atol=1e-12)


def test_the_encoders_information_is_that_of_the_minibatch_and_its_entropy_has_a_weight_of_its_own() -> None:
    p = posterior(7)
    one = torch.ones(3, dtype=torch.float64)
    assert torch.allclose(encoder_information(p, one), mi_encoder_categorical(p), atol=1e-12)
    marginal = p.exp().mean(1)
    entropy = -(marginal * marginal.log()).sum(-1)
    assert torch.allclose(encoder_information(p, 4 * one) - encoder_information(p, one), 3 * entropy, atol=1e-12)


def test_gradients_agree_with_finite_differences_and_stay_finite_for_a_sure_code() -> None:
    logits = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    weight = torch.tensor([1.0, 4.0], dtype=torch.float64)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        p, v = torch.log_softmax(x, -1), torch.log_softmax(y, -1)
        return cross_view_bound(p, v) + encoder_information(p, weight)

    x, y = logits.clone().requires_grad_(), logits.flip(1).clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (x, y))
    sure = torch.tensor([[[2000.0, 0.0, -2000.0], [0.0, 2000.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    p = torch.log_softmax(sure, -1)
    total = cross_view_bound(p, p) + encoder_information(p, weight[:1]) - consistency(p, p)
    assert torch.isfinite(torch.autograd.grad(total.sum(), sure)[0]).all()


def test_the_paired_information_is_that_of_the_joint_by_hand() -> None:
    p, v = posterior(9), posterior(10)
    for k, found in enumerate(paired_information(p, v).tolist()):
        rows = zip(p[k].exp().tolist(), v[k].exp().tolist(), strict=True)
        joint = [[0.0] * 4 for _ in range(4)]
        for one, other in rows:
            for a in range(4):
                for b in range(4):
                    joint[a][b] += (one[a] * other[b] + one[b] * other[a]) / 14
        left = [sum(row) for row in joint]
        exact = sum(x * math.log(x / (left[a] * left[b])) for a, row in enumerate(joint) for b, x in enumerate(row))
        assert math.isclose(found, exact, abs_tol=1e-9)
