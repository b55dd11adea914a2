"""The maximum mean discrepancy (MMD) between aggregate posterior and prior: InfoVAE's term.

E k(z, z') + E k(p, p') - 2 E k(z, p), k(a, b) = exp(-|a - b|^2 / (2 Z)): Gretton et al. 2012; as a VAE's regulariser,
Zhao et al. 2019 (InfoVAE, arXiv 1706.02262). Not in nats: the kernel is between 0 and 1.
Shapes: K member, B batch, Z all Normal dimensions of the code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vmi.objective.term import Statistics, Term


class MaximumMeanDiscrepancy(Term):
    """Of all Normal blocks together, against codes drawn from the prior."""

    weight = "mmd_weight"
    prior = True

    def value(self, seen: Statistics) -> Tensor:
        _, code_KBZ = seen.forward.normal()
        blocks = zip(seen.forward.blocks, seen.forward.prior_codes, strict=True)
        prior_KBZ = torch.cat([code for block, code in blocks if not block.is_categorical], -1)
        return maximum_mean_discrepancy(code_KBZ, prior_KBZ)


def maximum_mean_discrepancy(code_KBZ: Tensor, prior_KBZ: Tensor) -> Tensor:
    """The biased estimate (pairs with themselves included), so never below 0: [K]."""
    own, prior, cross = _kernel(code_KBZ, code_KBZ), _kernel(prior_KBZ, prior_KBZ), _kernel(code_KBZ, prior_KBZ)
    return own + prior - 2 * cross


def _kernel(a_KBZ: Tensor, b_KBZ: Tensor) -> Tensor:
    """Mean of the kernel over all pairs: [K]."""
    squared = (a_KBZ[:, :, None] - b_KBZ[:, None]).square().sum(-1)
    return (-squared / (2 * a_KBZ.shape[-1])).exp().mean((1, 2))
