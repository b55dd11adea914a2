"""FactorVAE's discriminator: closed forms in float64, what each phase touches, and its state wherever packs go."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from support.packs import trial, vae_gradients
from torch import Tensor

from vmi.data import dataset as data
from vmi.data.random_streams import seeded
from vmi.objective.factor_vae import Factor, FactorTotalCorrelation, cross_entropy, density_ratio, permuted
from vmi.training import checkpoint, step
from vmi.training.evaluation import evaluate
from vmi.training.pack import Pack
from vmi.training.train import train

CORRELATIONS = (0.0, 0.3, 0.8)


def gaussian(correlation: float, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Codes [1, count, 2] of two standard Normal dimensions with this correlation."""
    x = torch.randn(1, count, 2, dtype=torch.float64, generator=generator)
    second = correlation * x[..., 0] + math.sqrt(1 - correlation**2) * x[..., 1]
    return torch.stack([x[..., 0], second], -1)


def truth(correlation: float) -> float:
    """TC of two Normal dimensions: -1/2 ln (1 - r^2)."""
    return -0.5 * math.log(1 - correlation**2)


def optimal_logits(code: Tensor, covariance: Tensor) -> Tensor:
    """log q(z) and sum_d log q(z_d) of a Normal with this covariance: the optimal discriminator's logits."""
    joint = torch.distributions.MultivariateNormal(torch.zeros(len(covariance), dtype=code.dtype), covariance)
    alone = torch.distributions.Normal(0, covariance.diagonal().sqrt())
    return torch.stack([joint.log_prob(code), alone.log_prob(code).sum(-1)], -1)


@pytest.mark.parametrize("dimensions", [2, 3, 6])
def test_with_the_optimal_discriminator_the_estimate_is_the_closed_form(dimensions: int) -> None:
    """TC = 1/2 (sum_d ln S_dd - ln det S). A sample whose covariance is exactly S leaves no sampling error."""
    root = torch.randn(2, dimensions, dimensions, dtype=torch.float64)
    white = torch.randn(500, dimensions, dtype=torch.float64)
    white = white - white.mean(0)
    white = white @ torch.linalg.cholesky((white.T @ white / 500).inverse())
    covariances = root @ root.mT + torch.eye(dimensions, dtype=torch.float64)
    codes = torch.stack([white @ torch.linalg.cholesky(s).T for s in covariances])
    logits = torch.stack([optimal_logits(z, s) for z, s in zip(codes, covariances, strict=True)])
    expected = 0.5 * (covariances.diagonal(dim1=1, dim2=2).log().sum(-1) - covariances.logdet())
    torch.testing.assert_close(density_ratio(logits), expected, rtol=0, atol=1e-9)


def test_cross_entropy_is_that_of_two_classes_and_is_least_at_the_optimal_discriminator() -> None:
    code = gaussian(0.8, 20_000)[0]
    mixed = permuted(code[None], torch.rand_like(code)[None])[0]
    covariance = torch.tensor([[1, 0.8], [0.8, 1]], dtype=torch.float64)

    def loss(scale: float, shift: float) -> float:
        logits = [scale * optimal_logits(z, covariance) + torch.tensor([shift, 0.0]) for z in (code, mixed)]
        labels = [torch.full((len(code),), label) for label in (0, 1)]
        both = zip(logits, labels, strict=True)
        expected = sum(torch.nn.functional.cross_entropy(x, y).item() for x, y in both) / 2
        found = cross_entropy(logits[0][None], logits[1][None]).item()
        assert found == pytest.approx(expected, abs=1e-9)
        return found

    best = loss(1, 0)
    assert all(loss(scale, shift) > best for scale, shift in ((0.7, 0), (1.4, 0), (1, 0.3), (1, -0.3)))
    assert loss(0, 0) == pytest.approx(math.log(2))


def test_permuting_keeps_every_marginal_exactly_and_breaks_the_correlation() -> None:
    code = torch.cat([gaussian(0.9, 5000), gaussian(0.9, 5000) + 3])
    mixed = permuted(code, torch.rand_like(code))
    assert torch.equal(mixed.sort(dim=1).values, code.sort(dim=1).values)
    assert all(abs(torch.corrcoef(z.T)[0, 1].item()) < 0.05 for z in mixed)
    ties = permuted(code, torch.zeros_like(code))
    assert torch.equal(ties.sort(dim=1).values, code.sort(dim=1).values)


def test_trained_discriminators_reach_the_known_total_correlation() -> None:
    """Three members at once, to 0.03 nats of -1/2 ln (1 - r^2), by the mean over the last 350 of 600 steps on fresh
    codes: one step's estimate swings by about 0.1 at the highest correlation."""
    configs = [trial(factor_weight=1, learning_rate=1e-3).config] * len(CORRELATIONS)
    factor = Factor(configs, 2, torch.device("cpu"), torch.float64)
    generator = seeded(0, "codes")
    seen = []
    for at in range(600):
        codes = torch.cat([gaussian(r, 256, generator) for r in CORRELATIONS])
        if at >= 250:
            seen.append(factor.total_correlation(codes).detach())
        factor.learn(codes)
    expected = torch.tensor([truth(r) for r in CORRELATIONS], dtype=torch.float64)
    torch.testing.assert_close(torch.stack(seen).mean(0), expected, atol=0.03, rtol=0)


def factors(pack: Pack) -> list[Factor]:
    """The pack's discriminators: one item, or none where no member has a weight on the term."""
    return [term.factor for term in pack.terms if isinstance(term, FactorTotalCorrelation)]


def factor_of(pack: Pack) -> Factor:
    (found,) = factors(pack)
    return found


def minibatch(pack: Pack) -> tuple[Tensor, step.Forward]:
    digits = data.load("digits")
    images = digits.images(digits.train, pack.minibatches.next(), pack.dtype)
    return images, step.encode_decode(pack, images, pack.noise())


def test_the_vae_s_phase_goes_through_the_discriminator_and_leaves_it_alone() -> None:
    pack = Pack([trial(mi_weight=0, factor_weight=10, seed=s) for s in range(2)])
    before = {name: tensor.clone() for name, tensor in factor_of(pack).tensors().items()}
    gradient = vae_gradients(pack, *minibatch(pack))
    assert all(torch.equal(tensor, before[name]) for name, tensor in factor_of(pack).tensors().items())
    assert all(p.grad is None for p in factor_of(pack).parameters)
    plain = Pack([trial(mi_weight=0, seed=s) for s in range(2)])
    encoder = sum(p[0].numel() for p in pack.encoder.parameters())
    moved = gradient != vae_gradients(plain, *minibatch(plain))
    assert moved[:, :encoder].any(1).all()
    assert not moved[:, encoder:].any()  # the decoder does not see the code's total correlation


def test_the_discriminator_s_phase_leaves_the_vae_and_its_codes_alone() -> None:
    pack = Pack([trial(mi_weight=0, factor_weight=10)])
    before = {name: tensor.clone() for name, tensor in pack.tensors().items()}
    _, forward = minibatch(pack)
    before["order"] = pack.minibatches.order_KN.clone()
    statistics = {name: t.clone() for name, t in pack.tensors().items() if name.startswith("statistics")}
    step.discriminator_phase(pack, forward)
    after = pack.tensors()
    changed = {name for name in before if not torch.equal(before[name], after[name])} - set(statistics)
    assert changed == set(factor_of(pack).tensors())
    assert all(torch.equal(after[name], tensor) for name, tensor in statistics.items())


def test_the_vae_s_phase_descends_gamma_times_the_estimate() -> None:
    """Its gradient with the term less that without it is gamma d TC / d theta: a finite difference in float64."""
    gamma, digits = 3.0, data.load("digits")
    weighted, plain, probe = (
        Pack([trial(mi_weight=0, factor_weight=w)], dtype=torch.float64) for w in (gamma, 0.0, gamma)
    )
    images, noise = digits.images(digits.train, probe.minibatches.next(), probe.dtype), probe.noise()
    with_term, without = (
        vae_gradients(pack, images, step.encode_decode(pack, images, noise)) for pack in (weighted, plain)
    )
    direction = torch.randn_like(probe.vae_adam.flat_KP)
    slope = ((with_term - without) * direction).sum().item()

    def total_correlation() -> float:
        return factor_of(probe).total_correlation(step.encode_decode(probe, images, noise).codes[0]).item()

    probe.vae_adam.flat_KP.add_(1e-6 * direction)
    above = total_correlation()
    probe.vae_adam.flat_KP.sub_(2e-6 * direction)
    assert gamma * (above - total_correlation()) / 2e-6 == pytest.approx(slope, rel=1e-4)


def mixed() -> Pack:
    fields = ({"mi_weight": 4}, {"mi_weight": 0, "factor_weight": 10}, {"factor_weight": 2, "seed": 3})
    return Pack([trial(**f) for f in fields])


def test_members_without_a_weight_have_a_discriminator_that_never_moves() -> None:
    pack = mixed()
    before = factor_of(pack).adam.flat_KP.clone()
    (*_, last) = train(pack, data.load("digits"))
    moved = (factor_of(pack).adam.flat_KP != before).any(1)
    assert moved.tolist() == [False, True, True]
    assert not factors(Pack([trial()]))
    assert last.pack is pack


def test_no_other_stream_moves_where_there_is_a_discriminator() -> None:
    """A member has the same networks, minibatches and noise with the term as without it."""
    plain, weighted = Pack([trial()]), Pack([trial(factor_weight=1)])
    assert torch.equal(plain.minibatches.next(), weighted.minibatches.next())
    for name, tensor in plain.tensors().items():
        assert torch.equal(tensor, weighted.tensors()[name]), name
    for name, generators in plain.generators().items():
        assert torch.equal(generators[0].get_state(), weighted.generators()[name][0].get_state())
    assert plain.tensors().keys() | {f"discriminator_{n}" for n in ("parameters", "first", "second", "steps")} == (
        weighted.tensors().keys()
    )


@pytest.mark.parametrize("phase_order", ["q_first", "vae_first"])
def test_killed_and_resumed_is_bitwise_the_uninterrupted_run(tmp_path: Path, phase_order: str) -> None:
    digits = data.load("digits")

    def start() -> Pack:
        weights = ((0, 10), (4, 0), (4, 3))
        return Pack([trial(mi_weight=a, factor_weight=b, phase_order=phase_order, seed=b) for a, b in weights])

    expected = list(train(start(), digits))
    run = train(start(), digits)
    for _ in range(4):
        progress = next(run)
    assert progress.pack is not None
    checkpoint.save(progress.pack, tmp_path / "pack.pt")
    rest = list(train(checkpoint.restore(tmp_path / "pack.pt")[0], digits))
    assert [p.reports for p in rest] == [p.reports for p in expected[4:]]
    assert rest[-1].pack is not None and expected[-1].pack is not None
    for name, tensor in rest[-1].pack.tensors().items():
        assert torch.equal(tensor, expected[-1].pack.tensors()[name]), name


@pytest.mark.parametrize("members", [[1], [0], [2, 0], [1, 2]])
def test_members_are_kept_and_extracted_with_their_discriminators(tmp_path: Path, members: list[int]) -> None:
    """Also from a pack half way, and also members without a weight, whose new pack needs no discriminator."""
    digits = data.load("digits")
    (*_, whole) = train(mixed(), digits)
    run = train(mixed(), digits)
    for _ in range(5):
        progress = next(run)
    assert progress.pack is not None and whole.pack is not None
    kept = progress.pack.keep(members)
    (*_, last) = train(kept, digits)
    assert bool(factors(kept)) == any(kept.trials[k].config.factor_weight for k in range(len(members)))
    for name, tensor in kept.tensors().items():
        assert torch.equal(tensor, whole.pack.tensors()[name][members]), name
    assert last.reports == tuple(whole.reports[k] for k in members)
    checkpoint.save(whole.pack, tmp_path / "pack.pt")
    one = checkpoint.extract(tmp_path / "pack.pt", whole.pack.trials[1].trial_id)
    assert torch.equal(factor_of(one).adam.flat_KP[0], factor_of(whole.pack).adam.flat_KP[1])


def test_the_card_does_not_ask_the_discriminator() -> None:
    pack, digits = mixed(), data.load("digits")
    before = [evaluation.metrics for evaluation in evaluate(pack, digits)]
    factor_of(pack).adam.flat_KP.fill_(math.nan)
    assert [evaluation.metrics for evaluation in evaluate(pack, digits)] == before


def test_a_broken_discriminator_fails_its_own_member_alone() -> None:
    digits = data.load("digits")
    (*_, whole) = train(mixed(), digits)
    pack, failed = mixed(), {}
    factor_of(pack).adam.flat_KP[1] = math.nan
    for progress in train(pack, digits):
        failed |= progress.failed
    assert list(failed) == [pack.trials[1].trial_id]
    assert progress.reports == (whole.reports[0], whole.reports[2])
