"""The terms of the objective, written out, and the sampling of codes."""

from __future__ import annotations

import pytest
import torch

from vmi.nn.distributions import Categorical, DiagonalNormal
from vmi.objective.codes import Noise, prior_codes, sample
from vmi.objective.weighted_sum import Weights, mi_terms, rate_terms
from vmi.spec.layout import parse


def weights(**given: list[float]) -> Weights:
    """Two members; what is not given is 0."""
    return Weights(**{field: torch.tensor(given.get(field, [0.0, 0.0])) for field in Weights._fields})


def test_mi_terms_weigh_each_block_by_its_kind_and_its_entropy_by_eta() -> None:
    blocks = parse("n2*+c3*").informed
    log_qs, entropies = [torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -1.0])], [torch.tensor([1.0, 1.5])] * 2
    w = weights(mi_K=[0.0, 2.0], mi_normal_K=[3.0, 0.5], entropy_K=[1.0, 0.5])
    expected = [3 * (-1 + 1), 0.5 * (-2 + 0.75) + 2 * (-1 + 0.75)]
    torch.testing.assert_close(mi_terms(w, blocks, log_qs, entropies), torch.tensor(expected))


def test_rate_terms_are_beta_times_the_rate_plus_gamma_times_the_distance_to_the_capacity_of_each_kind() -> None:
    blocks = parse("n2+n3+c4*").blocks
    rates = {"n2": torch.tensor([1.0, 2.0]), "n3": torch.tensor([0.5, 0.5]), "c4": torch.tensor([1.0, 0.25])}
    w = weights(
        kl_K=[1.0, 0.0], capacity_K=[0.0, 30.0], capacity_normal_K=[0.0, 4.0], capacity_categorical_K=[0.0, 1.0]
    )
    expected = [2.5, 30 * abs(2.5 - 4) + 30 * abs(0.25 - 1)]
    torch.testing.assert_close(rate_terms(w, blocks, rates, torch.tensor([7, 7])), torch.tensor(expected))


def test_kl_annealing_and_capacity_grow_linearly_and_then_stay() -> None:
    blocks, rates = parse("n2").blocks, {"n2": torch.tensor([3.0, 3.0])}
    w = weights(
        kl_K=[2.0, 0.0],
        kl_anneal_K=[10.0, 0.0],
        capacity_K=[0.0, 1.0],
        capacity_normal_K=[0.0, 8.0],
        capacity_steps_K=[0.0, 4.0],
    )
    found = [rate_terms(w, blocks, rates, torch.tensor([s, s])).tolist() for s in (0, 1, 5, 10, 1000)]
    assert [pair[0] for pair in found] == pytest.approx([0, 0.6, 3, 6, 6])
    assert [pair[1] for pair in found] == pytest.approx([3, 1, 5, 5, 5])


def test_prior_codes_are_standard_normal_and_uniform_one_hot() -> None:
    noise = Noise(torch.randn(1, 20_000, 2), -torch.empty(1, 20_000, 4).exponential_().log())
    z, c = prior_codes(parse("n2+c4*").blocks, noise)
    assert torch.equal(z, noise.normal_KBZ)
    assert (c.sum(-1) == 1).all()
    assert (c.mean(1) - 0.25).abs().max() < 0.02


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
