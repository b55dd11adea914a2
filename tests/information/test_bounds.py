"""MI quantities against enumeration and closed forms, in float64, and the identities between them at 1e-9."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vmi.information import bounds
from vmi.information.likelihood import distortion_bernoulli, distortion_gaussian
from vmi.nn.distributions import Categorical, DiagonalNormal

EXACT = {"atol": 1e-9, "rtol": 0}


def random_log_probs(seed: int, scale: float, members: int = 2, images: int = 40, categories: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(members, images, categories, dtype=torch.float64, generator=generator)
    return torch.log_softmax(logits, -1)


seeds, scales = st.integers(0, 2**32 - 1), st.floats(0.0, 40.0)


@given(seeds, scales)
def test_rate_is_mi_plus_the_aggregate_s_divergence(seed: int, scale: float) -> None:
    """E KL(q(c|x) || u) = I_q(x;c) + KL(m || u)."""
    log_probs = random_log_probs(seed, scale)
    rate = Categorical(log_probs).kl().mean(-1)
    aggregate = bounds.aggregate_posterior(log_probs)
    torch.testing.assert_close(
        rate, bounds.mi_encoder_categorical(log_probs) + bounds.kl_to_uniform(aggregate), **EXACT
    )


@given(seeds, scales)
def test_paper_bound_exceeds_the_aggregate_bound_by_the_marginal_s_divergence(seed: int, scale: float) -> None:
    """(ln C + E log Q) - (H(marginal) + E log Q) = KL(marginal || u)."""
    log_probs = random_log_probs(seed, scale)
    expected_log_q = random_log_probs(seed + 1, 1.0).mean((1, 2))
    aggregate = bounds.aggregate_posterior(log_probs)
    paper = bounds.mi_variational_bound(torch.full((2,), math.log(6), dtype=torch.float64), expected_log_q)
    corrected = bounds.mi_variational_bound(bounds.entropy(aggregate), expected_log_q)
    torch.testing.assert_close(paper - corrected, bounds.kl_to_uniform(aggregate), **EXACT)


@given(seeds, scales, scales)
def test_real_bound_is_below_the_mi_which_is_below_the_rate(seed: int, scale: float, q_scale: float) -> None:
    """For any normalised Q: H(m) + E sum q log Q(.|x) <= I_q(x;c) <= E KL(q || u), and I_q <= ln C."""
    log_probs, log_q = random_log_probs(seed, scale), random_log_probs(seed + 1, q_scale)
    mi = bounds.mi_encoder_categorical(log_probs)
    assert (bounds.mi_real_bound(log_probs, log_q) <= mi + 1e-9).all()
    assert (mi <= Categorical(log_probs).kl().mean(-1) + 1e-9).all()
    assert ((mi >= -1e-9) & (mi <= math.log(6) + 1e-9)).all()


def test_real_bound_is_tight_for_the_posterior_itself() -> None:
    log_probs = random_log_probs(0, 3.0)
    torch.testing.assert_close(
        bounds.mi_real_bound(log_probs, log_probs), bounds.mi_encoder_categorical(log_probs), **EXACT
    )


def test_mi_of_the_code_by_enumeration_of_the_joint() -> None:
    """I = sum p(x, c) log p(x, c) / (p(x) p(c)) with x uniform."""
    log_probs = random_log_probs(3, 2.0)
    joint = log_probs.exp() / log_probs.shape[1]
    ratio = joint / (joint.sum(-1, keepdim=True) * joint.sum(1, keepdim=True))
    torch.testing.assert_close(bounds.mi_encoder_categorical(log_probs), (joint * ratio.log()).sum((1, 2)), **EXACT)


def test_identity_code_has_the_entropy_of_its_marginal_and_a_constant_code_has_no_mi() -> None:
    identity = torch.log(torch.eye(6, dtype=torch.float64)[torch.arange(30) % 6] + 1e-300)[None]
    assert bounds.mi_encoder_categorical(identity).item() == pytest.approx(math.log(6), abs=1e-9)
    constant = random_log_probs(0, 2.0)[:1, :1].expand(1, 30, 6)
    assert bounds.mi_encoder_categorical(constant).item() == pytest.approx(0, abs=1e-9)


def test_entropy_takes_zero_probabilities() -> None:
    assert bounds.entropy(torch.tensor([1.0, 0.0])).item() == 0
    assert bounds.entropy(torch.tensor([0.5, math.nan])).isnan(), "what is no number is not hidden"


def normals(seed: int, images: int = 50, dims: int = 3) -> tuple[DiagonalNormal, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance, noise = (
        torch.randn(2, images, dims, dtype=torch.float64, generator=generator) for _ in range(3)
    )
    posterior = DiagonalNormal(mean, log_variance - 1)
    return posterior, posterior.rsample(noise)


def test_pairwise_densities_match_one_by_one_evaluation() -> None:
    posterior, code = normals(0, images=9)
    pairs = bounds.pairwise_log_density(posterior, code)
    for j in range(9):
        one = DiagonalNormal(*(p[:, j : j + 1].expand(2, 9, 3) for p in posterior))
        torch.testing.assert_close(pairs[:, :, j], one.log_prob(code))


def test_sandwich_of_a_linear_gaussian_channel_holds_its_closed_form() -> None:
    """x ~ N(0, 1), z | x ~ N(x, s^2): I = 1/2 ln(1 + 1/s^2) per dimension; both bounds are within 0.03 nats of it."""
    generator = torch.Generator().manual_seed(1)
    images, variance = 4000, 0.25
    x = torch.randn(1, images, 1, dtype=torch.float64, generator=generator)
    posterior = DiagonalNormal(x, torch.full_like(x, math.log(variance)))
    code = posterior.rsample(torch.randn(1, images, 1, dtype=torch.float64, generator=generator))
    lower, upper = bounds.mi_normal_sandwich(posterior, code)
    truth = 0.5 * math.log(1 + 1 / variance)
    assert lower.item() <= upper.item()
    assert lower.item() == pytest.approx(truth, abs=0.03)
    assert upper.item() == pytest.approx(truth, abs=0.03)


def test_leave_in_bound_reaches_and_never_exceeds_ln_n() -> None:
    """Posteriors that do not overlap: the true MI is infinite, the lower bound is ln N exactly."""
    mean = 1e3 * torch.arange(32, dtype=torch.float64).reshape(1, 32, 1)
    posterior = DiagonalNormal(mean, torch.zeros_like(mean))
    lower, upper = bounds.mi_normal_sandwich(posterior, mean + 0.1)
    assert lower.item() <= math.log(32) + 1e-12
    assert lower.item() == pytest.approx(math.log(32), abs=1e-9)
    assert upper.item() > 1e5


def test_sandwich_does_not_depend_on_how_many_rows_are_handled_at_a_time() -> None:
    posterior, code = normals(2)
    for whole, pieces in zip(
        bounds.mi_normal_sandwich(posterior, code, rows=50),
        bounds.mi_normal_sandwich(posterior, code, rows=7),
        strict=True,
    ):
        torch.testing.assert_close(whole, pieces)


def test_a_constant_normal_code_has_no_mi() -> None:
    mean = torch.zeros(1, 64, 2, dtype=torch.float64)
    posterior = DiagonalNormal(mean, torch.zeros_like(mean))
    lower, upper = bounds.mi_normal_sandwich(posterior, torch.randn_like(mean))
    assert lower.item() == pytest.approx(0, abs=1e-9)
    assert upper.item() == pytest.approx(0, abs=1e-9)


def test_a_category_that_no_image_is_in_breaks_no_gradient() -> None:
    """Its share of a minibatch is 0 in float32, whose logarithm is none; of the others it is what it was."""
    logits = torch.zeros(1, 3, 4)
    logits[..., 0] = -120
    logits.requires_grad_()
    bounds.entropy(bounds.aggregate_posterior(logits.log_softmax(-1))).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all() and not logits.grad[..., 0].any()


def test_aggregate_entropy_is_the_lower_bound_plus_the_posterior_s_own() -> None:
    posterior, code = normals(3)
    lower, _ = bounds.mi_normal_sandwich(posterior, code)
    torch.testing.assert_close(
        bounds.aggregate_entropy_normal(posterior, code), lower - posterior.log_prob(code).mean(-1)
    )


def test_gaussian_distortion_is_the_log_density() -> None:
    x, logits = torch.rand(2, 5, 9, dtype=torch.float64), torch.randn(2, 5, 9, dtype=torch.float64)
    variance = torch.tensor([0.04, 0.49], dtype=torch.float64)
    density = torch.distributions.Normal(logits.sigmoid(), variance.sqrt()[:, None, None])
    expected = -density.log_prob(x).sum(-1).mean(-1)
    torch.testing.assert_close(distortion_gaussian(x, logits.sigmoid(), variance), expected)


def test_bernoulli_distortion_is_the_cross_entropy() -> None:
    x, logits = torch.rand(2, 5, 9, dtype=torch.float64), 30 * torch.randn(2, 5, 9, dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1).mean(-1)
    torch.testing.assert_close(distortion_bernoulli(x, logits), expected)
