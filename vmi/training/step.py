"""One step of a pack: two phases on one minibatch, and a third where a member is weighted on FactorVAE's term.

Q first (Serdega & Kim 2020, section 3.3): ascend E log Q(code|x_hat) in Q's parameters, then descend the objective in
the encoder's and decoder's through the updated Q. With the same noise the encoder's and decoder's forward pass is
shared by both phases: bitwise the same result. VAE first, as the paper's authors' code does it: descend the objective
through the old Q, then update Q on a forward pass of its own.
Shapes: K member, B batch, D pixels.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vmi.information.likelihood import Decoded, distortion
from vmi.nn.dense import frozen
from vmi.nn.ops import added, sigmoid
from vmi.objective.codes import Noise, prior_codes, sample, side_by_side
from vmi.objective.mutual_information import code_entropy, expected_log_q
from vmi.objective.term import Forward, Statistics
from vmi.objective.weighted_sum import objective
from vmi.training.pack import Pack


def train_step(pack: Pack, images_KBD: Tensor, noise: Noise) -> dict[str, Tensor]:
    """All phases on one minibatch; takes every member one step on and returns its terms, [K] each, detached."""
    inputs_KBD, targets_KBD = pack.seen(images_KBD)
    forward = encode_decode(pack, inputs_KBD, noise)
    if pack.needs_pair:
        forward = forward._replace(again=pack.encoder(pack.paired(images_KBD), track=False))
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
    """x -> q(z,c|x) -> relaxed code -> x_hat; prior code -> image where a term needs it."""
    blocks = pack.layout.blocks
    posterior = pack.encoder(images_KBD)
    codes = sample(blocks, posterior, noise, pack.temperature_K())
    decoded = Decoded.of(pack.decoder(side_by_side(codes)))
    forward = Forward(blocks, posterior, codes, decoded, partial(pack.auxiliary, track=False))
    if not pack.needs_prior:
        return forward
    prior = prior_codes(blocks, pack.prior_noise())
    # Generated images are normalised by their own statistics and leave the running ones alone.
    generated = sigmoid(pack.decoder(side_by_side(prior), track=False)) if pack.needs_generated else None
    return forward._replace(prior_codes=prior, generated_KBD=generated)


def q_phase(pack: Pack, forward: Forward) -> None:
    """One Adam step on -E log Q(code|x_hat) in Q's parameters alone (and on what terms ask of Q, where weighted)."""
    if not pack.layout.informed:
        return
    codes = [code.detach() for code in forward.informed(forward.codes)]
    loss_K = -added(expected_log_q(pack.auxiliary(forward.decoded.image_KBD.detach()), codes))
    for term in pack.terms:
        if (asked_K := term.of_q(forward)) is not None:
            loss_K = loss_K - asked_K
    pack.q_adam.step(torch.autograd.grad(loss_K.sum(), pack.q_parameters))


def vae_phase(pack: Pack, targets_KBD: Tensor, forward: Forward) -> dict[str, Tensor]:
    """One Adam step on the objective in the encoder's and the decoder's parameters, through Q but not into it."""
    with frozen(pack.auxiliary):
        seen = statistics(pack, targets_KBD, forward)
        loss_K = objective(pack.terms, seen)
    # Only the gradients asked for are computed: none of Q's parameters.
    pack.vae_adam.step(torch.autograd.grad(loss_K.sum(), pack.vae_parameters))
    # In the order of `term_names`.
    terms = {**{f"rate_{name}": rate for name, rate in seen.rates.items()}, "distortion": seen.distortion_K}
    for block, log_q_K, entropy_K in zip(pack.layout.informed, seen.log_qs, seen.entropies, strict=True):
        terms |= {f"log_q_{block.name}": log_q_K, f"code_entropy_{block.name}": entropy_K}
    return {name: term.detach() for name, term in (terms | {"loss": loss_K}).items()}


def statistics(pack: Pack, targets_KBD: Tensor, forward: Forward) -> Statistics:
    """What the terms of the objective are made of, on this minibatch."""
    distortion_K = distortion(pack.architecture.likelihood, targets_KBD, forward.decoded, pack.variance_K)
    rates = {b.name: q.kl().mean(-1) for b, q in zip(forward.blocks, forward.posterior, strict=True)}
    codes = forward.informed(forward.codes)
    # Q first: the same minibatch passes Q a second time, and its running statistics have already moved.
    log_qs = expected_log_q(forward.score(forward.decoded.image_KBD), codes) if codes else []
    informed = zip(forward.informed(forward.posterior), codes, strict=True)
    entropies = [code_entropy(q, code) for q, code in informed]
    return Statistics(forward, pack.step_K, distortion_K, rates, log_qs, entropies)


def discriminator_phase(pack: Pack, forward: Forward) -> None:
    """One step of the parameters that are a term's own (FactorVAE's discriminators), on the codes of this step."""
    for term in pack.terms:
        term.learn(forward)
