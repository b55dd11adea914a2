"""The maximum mean discrepancy (MMD) between aggregate posterior and prior, [K].

Shapes: K member, B batch, Z all Normal dimensions of the code.
"""

from __future__ import annotations

from torch import Tensor


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
