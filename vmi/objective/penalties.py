"""Terms of the objectives beside distortion, rate and VMI's: capacity, total correlation's weights, MMD. Nats, [K].

Shapes: K member, B batch, Z all Normal dimensions of the code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def capacity(rate_K: Tensor, target_K: Tensor) -> Tensor:
    """|rate - C|: Burgess et al. 2018 (arXiv 1804.03599); per kind of block Dupont 2018 (arXiv 1804.00104)."""
    return (rate_K - target_K).abs()


def importance_weights(batch: int, count: int, stratified: bool) -> Tensor:
    """log W [B, B] with which log q(z_i) is estimated as logsumexp_j [log q(z_i|x_j) + log W_ij] from a minibatch.

    Chen et al. 2018 (arXiv 1802.04942): minibatch-weighted (appendix C.1), W = 1/(N B); minibatch-stratified (C.2),
    whose weights are the chance that x_j of a minibatch that holds x_i stands for each x of the N training images:
    1/N for x_i itself and (N - 1)/(N (B - 1)) for each other, which is unbiased for the density itself.
    """
    if not stratified:
        return torch.full((batch, batch), -math.log(count * batch), dtype=torch.float64)
    others = math.log((count - 1) / (count * max(batch - 1, 1)))
    log_weights = torch.full((batch, batch), others, dtype=torch.float64)
    return log_weights.fill_diagonal_(-math.log(count))


def maximum_mean_discrepancy(code_KBZ: Tensor, prior_KBZ: Tensor) -> Tensor:
    """E k(z, z') + E k(p, p') - 2 E k(z, p), biased (pairs with themselves included), so never below 0.

    k(a, b) = exp(-|a - b|^2 / (2 Z)): Gretton et al. 2012; as a VAE's regulariser, Zhao et al. 2019 (InfoVAE, arXiv
    1706.02262). Not in nats: the kernel is between 0 and 1.
    """
    own, prior, cross = _kernel(code_KBZ, code_KBZ), _kernel(prior_KBZ, prior_KBZ), _kernel(code_KBZ, prior_KBZ)
    return own + prior - 2 * cross


def _kernel(a_KBZ: Tensor, b_KBZ: Tensor) -> Tensor:
    """Mean of the kernel over all pairs: [K]."""
    squared = (a_KBZ[:, :, None] - b_KBZ[:, None]).square().sum(-1)
    return (-squared / (2 * a_KBZ.shape[-1])).exp().mean((1, 2))
