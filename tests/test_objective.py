"""J = distortion + beta rate - lambda (E log Q + eta H), and the sampling of codes."""

from __future__ import annotations

import torch

from vmi.distributions import Categorical, DiagonalNormal
from vmi.latents import parse
from vmi.objective import Noise, Weights, objective, sample


def test_objective_is_the_weighted_sum_of_its_terms_per_member() -> None:
    mi, entropy, kl = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.5]), torch.tensor([1.0, 4.0])
    weights = Weights(mi, entropy, kl, torch.ones(2))
    rates = {"n2": torch.tensor([1.0, 2.0]), "c3": torch.tensor([0.5, 0.25])}
    log_qs, entropies = [torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -1.0])], [torch.tensor([1.0, 1.0])] * 2
    loss = objective(weights, torch.tensor([10.0, 20.0]), rates, log_qs, entropies)
    expected = [10 + 1.5, 20 + 4 * 2.25 - 2 * ((-2 - 1) + 0.5 * 2)]
    torch.testing.assert_close(loss, torch.tensor(expected))


def test_each_block_takes_its_own_slice_of_the_noise() -> None:
    """Blocks of one kind share one noise tensor: moving one block's slice moves that block's code alone."""
    blocks = parse("n2+c3*+n1+c4").blocks
    posterior = [
        Categorical.from_logits(torch.zeros(1, 5, b.size))
        if b.is_categorical
        else DiagonalNormal(*[torch.zeros(1, 5, b.size)] * 2)
        for b in blocks
    ]
    noise = Noise(torch.randn(1, 5, 3), torch.randn(1, 5, 7))
    before = sample(blocks, posterior, noise, torch.ones(1))
    moved = Noise(
        noise.normal_KBZ + torch.tensor([0.0, 0.0, 1.0]), noise.gumbel_KBC * torch.tensor([2.0] * 3 + [1.0] * 4)
    )
    after = sample(blocks, posterior, moved, torch.ones(1))
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, False, True]
    assert [code.shape[-1] for code in before] == [2, 3, 1, 4]


def test_without_a_temperature_categorical_codes_are_hard() -> None:
    blocks = parse("c4*").blocks
    posterior = [Categorical.from_logits(torch.randn(2, 9, 4))]
    (code,) = sample(blocks, posterior, Noise(torch.empty(2, 9, 0), torch.randn(2, 9, 4)), None)
    assert ((code == 0) | (code == 1)).all()
    assert (code.sum(-1) == 1).all()
