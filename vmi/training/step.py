"""One step of a pack: two phases on one minibatch, and a third where a member is weighted on FactorVAE's term.

Q first (Serdega & Kim 2020, section 3.3): ascend E log Q(code|x_hat) in Q's parameters, then descend the objective in
the encoder's and decoder's through the updated Q. With the same noise the encoder's and decoder's forward pass is
shared by both phases: bitwise the same result. VAE first, as the paper's authors' code does it: descend the objective
through the old Q, then update Q on a forward pass of its own.
Shapes: K member, B batch, D pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from vmi.information.likelihood import Decoded, distortion
from vmi.nn.dense import frozen
from vmi.nn.distributions import DiagonalNormal, Distribution
from vmi.nn.ops import sigmoid
from vmi.objective import penalties
from vmi.objective.codes import Noise, prior_codes, sample, side_by_side
from vmi.objective.total_correlation import total_correlation
from vmi.objective.weighted_sum import code_entropy, expected_log_q, mi_terms, rate_terms
from vmi.training.pack import Pack

T = TypeVar("T")


class Forward(NamedTuple):
    """A pass through encoder and decoder, and where a member needs it, one through the decoder from prior codes."""

    posterior: tuple[Distribution, ...]
    codes: tuple[Tensor, ...]
    decoded: Decoded
    prior_codes: tuple[Tensor, ...] = ()
    generated_KBD: Tensor | None = None


def train_step(pack: Pack, images_KBD: Tensor, noise: Noise) -> dict[str, Tensor]:
    """All phases on one minibatch; takes every member one step on and returns its terms, [K] each, detached."""
    inputs_KBD, targets_KBD = pack.seen(images_KBD)
    forward = encode_decode(pack, inputs_KBD, noise)
    if pack.architecture.phase_order == "q_first":
        q_phase(pack, forward)
        terms = vae_phase(pack, targets_KBD, forward)
        discriminator_phase(pack, forward)
    else:
        terms = vae_phase(pack, targets_KBD, forward)
        discriminator_phase(pack, forward)
        with torch.no_grad():
            forward = encode_decode(pack, inputs_KBD, pack.noise())
        q_phase(pack, forward)
    pack.broken.watch(torch.stack(list(terms.values())), pack.step_K)
    pack.advance()
    return terms


def encode_decode(pack: Pack, images_KBD: Tensor, noise: Noise) -> Forward:
    """x -> q(z,c|x) -> relaxed code -> x_hat; prior code -> image where a member is weighted on it."""
    posterior = pack.encoder(images_KBD)
    codes = sample(pack.layout.blocks, posterior, noise, pack.temperature_K())
    decoded = Decoded.of(pack.decoder(side_by_side(codes)))
    if not pack.uses.prior:
        return Forward(posterior, codes, decoded)
    prior = prior_codes(pack.layout.blocks, pack.prior_noise())
    # Generated images are normalised by their own statistics and leave the running ones alone.
    generated = sigmoid(pack.decoder(side_by_side(prior), track=False)) if pack.uses.generator else None
    return Forward(posterior, codes, decoded, prior, generated)


def q_phase(pack: Pack, forward: Forward) -> None:
    """One Adam step on -E log Q(code|x_hat) in Q's parameters alone (and on generated images, where weighted)."""
    if not pack.layout.informed:
        return
    codes = [code.detach() for code in informed(pack, forward.codes)]
    loss_K = -torch.stack(expected_log_q(pack.auxiliary(forward.decoded.image_KBD.detach()), codes)).sum(0)
    if forward.generated_KBD is not None:
        on_generated_K = _log_q_generated(pack, forward, forward.generated_KBD.detach())
        loss_K = loss_K - torch.where(pack.weights.generator_mi_K > 0, on_generated_K, 0.0)
    pack.q_adam.step(torch.autograd.grad(loss_K.sum(), pack.q_parameters))


def vae_phase(pack: Pack, targets_KBD: Tensor, forward: Forward) -> dict[str, Tensor]:
    """One Adam step on the objective in the encoder's and the decoder's parameters, through Q but not into it."""
    likelihood, variance_K = pack.architecture.likelihood, pack.weights.variance_K
    distortion_K = distortion(likelihood, targets_KBD, forward.decoded, variance_K)
    rates = {b.name: q.kl().mean(-1) for b, q in zip(pack.layout.blocks, forward.posterior, strict=True)}
    codes = informed(pack, forward.codes)
    log_qs: list[Tensor] = []
    if codes:
        # Q first: the same minibatch passes Q a second time, and its running statistics have already moved.
        with frozen(pack.auxiliary):
            log_qs = expected_log_q(pack.auxiliary(forward.decoded.image_KBD, track=False), codes)
    entropies = [code_entropy(q, code) for q, code in zip(informed(pack, forward.posterior), codes, strict=True)]
    loss_K = distortion_K + rate_terms(pack.weights, pack.layout.blocks, rates, pack.step_K)
    loss_K = loss_K - mi_terms(pack.weights, pack.layout.informed, log_qs, entropies)
    loss_K = loss_K + _extra_terms(pack, forward)
    # Only the gradients asked for are computed: none of Q's parameters.
    pack.vae_adam.step(torch.autograd.grad(loss_K.sum(), pack.vae_parameters))
    # In the order of `term_names`.
    terms = {**{f"rate_{name}": rate for name, rate in rates.items()}, "distortion": distortion_K}
    for block, log_q_K, entropy_K in zip(pack.layout.informed, log_qs, entropies, strict=True):
        terms |= {f"log_q_{block.name}": log_q_K, f"code_entropy_{block.name}": entropy_K}
    return {name: term.detach() for name, term in (terms | {"loss": loss_K}).items()}


def discriminator_phase(pack: Pack, forward: Forward) -> None:
    """One Adam step of the discriminators of FactorVAE's term, where a member has one, on the codes of this step."""
    if pack.factor is not None:
        pack.factor.learn(_normal_part(forward)[1])


def informed(pack: Pack, per_block: Sequence[T]) -> list[T]:
    """What belongs to the informed blocks, from one item per block of the layout."""
    return [item for block, item in zip(pack.layout.blocks, per_block, strict=True) if block.informed]


def _extra_terms(pack: Pack, forward: Forward) -> Tensor:
    """w_tc TC + w_factor TC + w_mmd MMD - w_gen E log Q(code|generated), those that some member is weighted on."""
    extra_K = torch.zeros_like(pack.weights.kl_K)
    if pack.uses.tc:
        posterior, code_KBZ = _normal_part(forward)
        total_correlation_K = total_correlation(posterior, code_KBZ, pack.tc_log_weights_KBB)
        extra_K = extra_K + _weighted(pack.weights.tc_K, total_correlation_K)
    if pack.factor is not None:
        _, code_KBZ = _normal_part(forward)
        extra_K = extra_K + _weighted(pack.weights.factor_K, pack.factor.total_correlation(code_KBZ))
    if pack.uses.mmd:
        _, code_KBZ = _normal_part(forward)
        blocks = zip(pack.layout.blocks, forward.prior_codes, strict=True)
        prior_KBZ = torch.cat([code for block, code in blocks if not block.is_categorical], -1)
        extra_K = extra_K + _weighted(pack.weights.mmd_K, penalties.maximum_mean_discrepancy(code_KBZ, prior_KBZ))
    if forward.generated_KBD is not None:
        with frozen(pack.auxiliary):
            log_q_K = _log_q_generated(pack, forward, forward.generated_KBD)
        extra_K = extra_K - _weighted(pack.weights.generator_mi_K, log_q_K)
    return extra_K


def _weighted(weight_K: Tensor, term_K: Tensor) -> Tensor:
    """weight * term, and exactly 0 where the weight is 0, even if the term is not finite there."""
    return torch.where(weight_K > 0, weight_K * term_K, torch.zeros_like(term_K))


def _log_q_generated(pack: Pack, forward: Forward, generated_KBD: Tensor) -> Tensor:
    """E log Q(code|x) of the informed blocks over images generated from prior codes: [K]."""
    scored = pack.auxiliary(generated_KBD, track=False)
    return torch.stack(expected_log_q(scored, informed(pack, forward.prior_codes))).sum(0)


def _normal_part(forward: Forward) -> tuple[DiagonalNormal, Tensor]:
    """All Normal blocks as one, and their code."""
    pairs = [
        (q, code) for q, code in zip(forward.posterior, forward.codes, strict=True) if isinstance(q, DiagonalNormal)
    ]
    parameters = [torch.cat(list(parts), -1) for parts in zip(*(q for q, _ in pairs), strict=True)]
    return DiagonalNormal(*parameters), torch.cat([code for _, code in pairs], -1)
