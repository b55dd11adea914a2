"""The latent distributions against torch.distributions, in float64, and their samples against their probabilities."""

from __future__ import annotations

import math

import pytest
import torch
from torch import distributions as reference

from vmi.nn.distributions import Categorical, DiagonalNormal, gumbel_from_uniform

torch.manual_seed(0)
MEAN, LOG_VARIANCE = torch.randn(3, 5, 4, dtype=torch.float64), torch.randn(3, 5, 4, dtype=torch.float64)
LOGITS = 2 * torch.randn(3, 5, 7, dtype=torch.float64)


def normal() -> DiagonalNormal:
    return DiagonalNormal(MEAN, LOG_VARIANCE)


def normal_reference() -> reference.Normal:
    return reference.Normal(MEAN, (0.5 * LOG_VARIANCE).exp())


def gumbel(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return gumbel_from_uniform(torch.rand(*shape, dtype=torch.float64, generator=generator))


def test_normal_matches_torch_distributions() -> None:
    code = torch.randn(3, 5, 4, dtype=torch.float64)
    standard = reference.Normal(torch.zeros_like(MEAN), torch.ones_like(MEAN))
    torch.testing.assert_close(normal().log_prob(code), normal_reference().log_prob(code).sum(-1))
    torch.testing.assert_close(normal().entropy(), normal_reference().entropy().sum(-1))
    torch.testing.assert_close(normal().kl(), reference.kl_divergence(normal_reference(), standard).sum(-1))


def test_normal_sample_is_affine_in_the_noise() -> None:
    noise = torch.randn(3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(normal().rsample(noise), MEAN + (0.5 * LOG_VARIANCE).exp() * noise)


def test_categorical_matches_torch_distributions() -> None:
    q, expected = Categorical.from_logits(LOGITS), reference.Categorical(logits=LOGITS)
    index = torch.randint(7, (3, 5))
    hard = torch.nn.functional.one_hot(index, 7).double()
    torch.testing.assert_close(q.log_prob(hard), expected.log_prob(index))
    torch.testing.assert_close(q.entropy(), expected.entropy())
    uniform = reference.Categorical(logits=torch.zeros_like(LOGITS))
    torch.testing.assert_close(q.kl(), reference.kl_divergence(expected, uniform))


def test_hard_samples_are_unbiased() -> None:
    """The frequency of each category over 200,000 Gumbel-max draws is its probability, within five standard errors."""
    draws = 200_000
    q = Categorical.from_logits(LOGITS[:1, :1].expand(1, draws, 7))
    frequency = q.hard_sample(gumbel(1, draws, 7)).mean(1)[0]
    p = LOGITS[0, 0].softmax(-1)
    assert ((frequency - p).abs() <= 5 * (p * (1 - p) / draws).sqrt()).all()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_relaxed_samples_are_on_the_simplex_and_share_the_hard_sample_s_argmax(temperature: float) -> None:
    q, noise = Categorical.from_logits(LOGITS), gumbel(3, 5, 7)
    soft = q.rsample(noise, torch.full((3,), temperature, dtype=torch.float64))
    torch.testing.assert_close(soft.sum(-1), torch.ones(3, 5, dtype=torch.float64))
    assert torch.equal(soft.argmax(-1), q.hard_sample(noise).argmax(-1))


def test_relaxed_samples_become_hard_as_the_temperature_falls() -> None:
    q, noise = Categorical.from_logits(LOGITS), gumbel(3, 5, 7)
    soft = q.rsample(noise, torch.full((3,), 1e-4, dtype=torch.float64))
    torch.testing.assert_close(soft, q.hard_sample(noise), atol=1e-6, rtol=0)


def test_each_member_has_its_own_temperature() -> None:
    q, noise = Categorical.from_logits(LOGITS), gumbel(3, 5, 7)
    together = q.rsample(noise, torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64))
    for k, temperature in enumerate((0.2, 1.0, 5.0)):
        alone = Categorical(q.log_probs_KBC[k : k + 1]).rsample(
            noise[k : k + 1], torch.tensor([temperature], dtype=torch.float64)
        )
        assert torch.equal(alone[0], together[k])


def test_a_draw_of_zero_is_not_an_infinite_gumbel() -> None:
    assert torch.isfinite(gumbel_from_uniform(torch.zeros(3))).all()


def test_entropy_of_a_certain_category_is_zero() -> None:
    certain = torch.tensor([[[0.0, -1e4, -1e4]]], dtype=torch.float64)
    q = Categorical.from_logits(certain)
    assert q.entropy().item() == pytest.approx(0, abs=1e-12)
    assert q.kl().item() == pytest.approx(math.log(3))
