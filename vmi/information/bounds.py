"""Entropies and every MI quantity, as pure functions of tensors, in nats.

Shapes: K member, B or N images, D pixels, Z dimensions of a Normal block, C categories. Results are [K].
Notation: q(c|x) posterior, m = E_x q(c|x) aggregate posterior, Q auxiliary distribution, x_hat reconstruction.
Sources: Serdega & Kim (arXiv 2005.13953, 2006.02227); Barber & Agakov 2003 for the bound with Q; for the bounds of a
Normal block with known conditional density, Poole et al. 2019 (arXiv 1905.06922), equations 12 and 13.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vmi.nn.distributions import LOG_2PI, DiagonalNormal
from vmi.nn.ops import bmm


def entropy(probabilities: Tensor) -> Tensor:
    """H(p) = -sum p log p over the last axis; 0 log 0 = 0, and a probability that is 0 has a gradient of 0, not inf."""
    result: Tensor = torch.special.entr(torch.where(probabilities == 0, 1.0, probabilities)).sum(-1)
    return result


def aggregate_posterior(log_probs_KNC: Tensor) -> Tensor:
    """m = E_x q(c|x): [K, C]."""
    return log_probs_KNC.exp().mean(1)


def kl_to_uniform(probabilities: Tensor) -> Tensor:
    """KL(p || uniform) = ln C - H(p) over the last axis."""
    return math.log(probabilities.shape[-1]) - entropy(probabilities)


def mi_encoder_categorical(log_probs_KNC: Tensor) -> Tensor:
    """I_q(x;c) = H(m) - E_x H(q(c|x)), exact for the N images given (x uniform over them)."""
    return entropy(aggregate_posterior(log_probs_KNC)) - entropy(log_probs_KNC.exp()).mean(1)


def mi_real_bound(log_probs_KNC: Tensor, log_q_KNC: Tensor) -> Tensor:
    """H(m) + E_x sum_c q(c|x) log Q(c|x) on the real images: at most I_q(x;c), for any normalised Q."""
    cross_K = (log_probs_KNC.exp() * log_q_KNC).sum(-1).mean(-1)
    return entropy(aggregate_posterior(log_probs_KNC)) + cross_K


def mi_variational_bound(entropy_K: Tensor, expected_log_q_K: Tensor) -> Tensor:
    """H + E log Q (Barber & Agakov): a lower bound on the code's MI when H is (at most) the code's true entropy.

    With H = H(marginal) it is the aggregate bound; with H = ln C, the prior's, it is what the paper plots, which
    exceeds the aggregate bound by exactly KL(marginal || uniform).
    """
    return entropy_K + expected_log_q_K


def pairwise_log_density(posterior: DiagonalNormal, code_KMZ: Tensor) -> Tensor:
    """log q(z_i | x_j) for every code i of M and every posterior j of N: [K, M, N].

    Written as matrix products: -1/2 [z^2 . 1/s^2 - 2 z . m/s^2 + sum (m^2/s^2 + log s^2 + log 2 pi)].
    """
    precision_KNZ = (-posterior.log_variance_KBZ).exp()
    constant_KN = (posterior.mean_KBZ.square() * precision_KNZ + posterior.log_variance_KBZ + LOG_2PI).sum(-1)
    quadratic = bmm(code_KMZ.square(), precision_KNZ.mT) - bmm(2 * code_KMZ, (posterior.mean_KBZ * precision_KNZ).mT)
    return -0.5 * (quadratic + constant_KN[:, None, :])


def aggregate_entropy_normal(posterior: DiagonalNormal, code_KBZ: Tensor) -> Tensor:
    """-E log (1/B sum_j q(z_i|x_j)), the code's own posterior included: at most h(m) in expectation."""
    log_density_KBB = pairwise_log_density(posterior, code_KBZ)
    return -(log_density_KBB.logsumexp(-1) - math.log(code_KBZ.shape[1])).mean(-1)


def mi_normal_sandwich(posterior: DiagonalNormal, code_KNZ: Tensor, rows: int = 512) -> tuple[Tensor, Tensor]:
    """Lower and upper bound on I_q(x;z) with the known density, from one code per image (Poole et al. 2019).

    lower = E[log q(z_i|x_i) - log 1/N sum_j q(z_i|x_j)]            (leave-in, never above ln N)
    upper = E[log q(z_i|x_i) - log 1/(N-1) sum_{j != i} q(z_i|x_j)] (leave-one-out)
    """
    lower_KN, upper_KN = normal_sandwich_terms(posterior, code_KNZ, rows)
    return lower_KN.mean(1), upper_KN.mean(1)


def normal_sandwich_terms(posterior: DiagonalNormal, code_KNZ: Tensor, rows: int = 512) -> tuple[Tensor, Tensor]:
    """The terms of `mi_normal_sandwich`, one per image: [K, N] each.

    `rows` codes are handled at a time: memory K * rows * N.
    """
    count = code_KNZ.shape[1]
    own_KN = posterior.log_prob(code_KNZ)
    lower, upper = [], []
    for start in range(0, count, rows):
        stop = min(start + rows, count)
        log_density_KMN = pairwise_log_density(posterior, code_KNZ[:, start:stop])
        # The own term exactly as in own_KN: then lower <= ln N holds without rounding.
        index = torch.arange(start, stop, device=code_KNZ.device)
        local = index - start
        log_density_KMN[:, local, index] = own_KN[:, start:stop]
        lower.append(own_KN[:, start:stop] - (log_density_KMN.logsumexp(-1) - math.log(count)))
        log_density_KMN[:, local, index] = -math.inf
        upper.append(own_KN[:, start:stop] - (log_density_KMN.logsumexp(-1) - math.log(max(count - 1, 1))))
    return torch.cat(lower, 1), torch.cat(upper, 1)
