"""The objective J = distortion + beta * rate - lambda * (E log Q + eta * H), per member, and its terms.

Shapes: K member, B batch, L width of the code. Everything in nats per image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vmi import bounds
from vmi.distributions import Categorical, Distribution
from vmi.latents import Block


class Weights(NamedTuple):
    """What may differ between the members of a pack, each [K]: lambda, eta, beta and sigma^2 of the likelihood."""

    mi_K: Tensor
    entropy_K: Tensor
    kl_K: Tensor
    variance_K: Tensor


class Noise(NamedTuple):
    """The randomness of one step: standard Normal [K, B, all Normal dimensions], Gumbel [K, B, all categories]."""

    normal_KBZ: Tensor
    gumbel_KBC: Tensor


def sample(
    blocks: Sequence[Block], posterior: Sequence[Distribution], noise: Noise, temperature_K: Tensor | None
) -> tuple[Tensor, ...]:
    """One code per block: relaxed at `temperature_K` for categorical blocks, hard one-hot where it is None."""
    codes, z, c = [], 0, 0
    for block, q in zip(blocks, posterior, strict=True):
        if isinstance(q, Categorical):
            gumbel = noise.gumbel_KBC[..., c : c + block.size]
            codes.append(q.hard_sample(gumbel) if temperature_K is None else q.rsample(gumbel, temperature_K))
            c += block.size
        else:
            codes.append(q.rsample(noise.normal_KBZ[..., z : z + block.size]))
            z += block.size
    return tuple(codes)


def expected_log_q(auxiliary: Sequence[Distribution], codes: Sequence[Tensor]) -> list[Tensor]:
    """E log Q(code|x_hat) for each informed block: [K] each."""
    return [q.log_prob(code).mean(-1) for q, code in zip(auxiliary, codes, strict=True)]


def code_entropy(posterior: Distribution, code: Tensor) -> Tensor:
    """H of the code's marginal on this minibatch: H(m) for a categorical, h(m) leave-in for a Normal block."""
    if isinstance(posterior, Categorical):
        return bounds.entropy(bounds.aggregate_posterior(posterior.log_probs_KBC))
    return bounds.aggregate_entropy_normal(posterior, code)


def objective(
    weights: Weights,
    distortion_K: Tensor,
    rates: Mapping[str, Tensor],
    log_qs: Sequence[Tensor],
    entropies: Sequence[Tensor],
) -> Tensor:
    """J [K], to be minimised in the encoder's and the decoder's parameters; sums run over blocks."""
    loss_K = distortion_K + weights.kl_K * torch.stack(list(rates.values())).sum(0)
    for log_q_K, entropy_K in zip(log_qs, entropies, strict=True):
        loss_K = loss_K - weights.mi_K * (log_q_K + weights.entropy_K * entropy_K)
    return loss_K
