"""Capacity, total correlation and MMD against closed forms and independent formulas, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import distributions

from vmi.nn.distributions import DiagonalNormal
from vmi.objective.annealing import capacity
from vmi.objective.mmd import maximum_mean_discrepancy
from vmi.objective.total_correlation import importance_weights, total_correlation


def posterior(batch: int, dims: int, log_variance: float = -1.0) -> DiagonalNormal:
    mean = torch.randn(2, batch, dims, dtype=torch.float64)
    return DiagonalNormal(mean, torch.full_like(mean, log_variance) + 0.3 * torch.randn_like(mean))


def test_capacity_is_the_distance_to_its_target() -> None:
    assert capacity(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])).tolist() == [1.0, 1.0]


def test_weighted_weights_are_one_over_n_b() -> None:
    assert importance_weights(4, 100, stratified=False).exp().tolist() == [[pytest.approx(1 / 400)] * 4] * 4


@pytest.mark.parametrize("batch", [2, 5, 10])
def test_stratified_weights_make_the_density_unbiased(batch: int) -> None:
    """The mean over every minibatch that holds x_0 of sum_j W_0j q(z|x_j) is the density over the whole data set."""
    from itertools import combinations

    count = 10
    density = torch.rand(count, dtype=torch.float64)
    weights = importance_weights(batch, count, stratified=True)[0].exp()
    estimates = [(weights * density[[0, *rest]]).sum() for rest in combinations(range(1, count), batch - 1)]
    assert torch.stack(estimates).mean().item() == pytest.approx(density.mean().item(), abs=1e-12)


def test_total_correlation_by_torch_distributions_one_pair_at_a_time() -> None:
    q, weights = posterior(6, 3), importance_weights(6, 50, stratified=True)
    code = q.mean_KBZ + 0.5 * torch.randn_like(q.mean_KBZ)
    found = total_correlation(q, code, weights.expand(2, 6, 6))
    for k in range(2):
        values = []
        for i in range(6):
            normal = distributions.Normal(q.mean_KBZ[k], (0.5 * q.log_variance_KBZ[k]).exp())
            log_density = normal.log_prob(code[k, i])
            joint = (log_density.sum(-1) + weights[i]).logsumexp(0)
            values.append(joint - (log_density + weights[i][:, None]).logsumexp(0).sum())
        torch.testing.assert_close(found[k], torch.stack(values).mean())


def test_total_correlation_has_the_gradient_of_finite_differences() -> None:
    q, weights = posterior(5, 3), importance_weights(5, 50, stratified=True).expand(2, 5, 5)
    given = [t.requires_grad_() for t in (q.mean_KBZ, q.log_variance_KBZ, torch.randn_like(q.mean_KBZ))]

    def of(mean: torch.Tensor, log_variance: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        return total_correlation(DiagonalNormal(mean, log_variance), code, weights)

    assert torch.autograd.gradcheck(of, given)


def test_total_correlation_of_correlated_gaussians_is_near_its_closed_form() -> None:
    """Two dimensions whose means have correlation r: TC = -1/2 ln(1 - rho^2), rho the correlation of the codes."""
    count, r, variance = 1500, 0.9, 0.05
    x = torch.randn(1, count, 1, dtype=torch.float64)
    mean = torch.cat([x, r * x + math.sqrt(1 - r**2) * torch.randn_like(x)], -1)
    q = DiagonalNormal(mean, torch.full_like(mean, math.log(variance)))
    code = q.rsample(torch.randn_like(mean))
    rho = r / (1 + variance)
    found = total_correlation(q, code, importance_weights(count, count, stratified=True)[None])
    assert found.item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.1)


def test_mmd_by_an_explicit_loop_and_zero_for_the_same_sample() -> None:
    a, b = torch.randn(2, 7, 3, dtype=torch.float64), torch.randn(2, 7, 3, dtype=torch.float64) + 1
    found = maximum_mean_discrepancy(a, b)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return math.exp(-(x - y).square().sum().item() / 6)

    for k in range(2):
        pairs = [(i, j) for i in range(7) for j in range(7)]
        own = sum(kernel(a[k, i], a[k, j]) + kernel(b[k, i], b[k, j]) for i, j in pairs) / 49
        assert found[k].item() == pytest.approx(own - 2 * sum(kernel(a[k, i], b[k, j]) for i, j in pairs) / 49)
    assert maximum_mean_discrepancy(a, a).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert (found > 0.05).all()


def test_mmd_matches_the_closed_form_for_gaussians() -> None:
    """E k over N(m, s^2 I) pairs: (Z / (Z + 2 s^2))^(Z/2) exp(-|m|^2 / (2 (Z + 2 s^2))), here with Z = 2."""
    count, shift = 2000, 1.0
    a, b = torch.randn(1, count, 2, dtype=torch.float64) + shift, torch.randn(1, count, 2, dtype=torch.float64)
    same, apart = 2 / 4, 2 / 4 * math.exp(-2 * shift**2 / (2 * 4))
    assert maximum_mean_discrepancy(a, b).item() == pytest.approx(2 * same - 2 * apart, abs=0.04)
