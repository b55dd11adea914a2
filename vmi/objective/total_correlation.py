"""beta-TCVAE's term: the total correlation of a minibatch's codes as one autograd function, member by member on a CPU.

TC = E [log q(z) - sum_d log q(z_d)],  log q(z_i) = logsumexp_j [sum_d l_idj + log W_ij],
log q(z_id) = logsumexp_j [l_idj + log W_ij],  l_idj = log N(z_id; mean_jd, variance_jd)
(Chen et al. 2018, arXiv 1802.04942).

Every code is compared with every posterior in every dimension, and the terms of one member just about fit a core's
cache: composed by autograd for all members at once, each of some twenty passes went to memory. With P_ij and P_idj the
shares of j in the two sums, the gradient is

    d TC / d l_idj = (P_ij - P_idj) / B

Shapes: K member, M of them at a time, B codes, Z dimensions, J posteriors (the same images as B).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from vmi.nn import ops
from vmi.nn.distributions import LOG_2PI, DiagonalNormal
from vmi.objective.term import Members, Statistics, Term


class TotalCorrelation(Term):
    """Of all Normal blocks together, by each member's own `tc_estimator`."""

    weight = "tc_weight"

    def __init__(self, members: Members) -> None:
        super().__init__(members)
        batch, count = members.configs[0].batch_size, members.train_count
        of_member = [importance_weights(batch, count, c.tc_estimator == "stratified") for c in members.configs]
        self.log_weights_KBB = torch.stack(of_member).to(members.device, members.dtype)

    def value(self, seen: Statistics) -> Tensor:
        posterior, code_KBZ = seen.forward.normal()
        return total_correlation(posterior, code_KBZ, self.log_weights_KBB)


def total_correlation(posterior: DiagonalNormal, code_KBZ: Tensor, log_weights_KBB: Tensor) -> Tensor:
    """E [log q(z) - sum_d log q(z_d)] in nats, [K]; densities are estimated from the minibatch by these weights."""
    at_a_time = len(code_KBZ) if ops.on_card(code_KBZ) else 1
    pieces = (torch.split(t, at_a_time) for t in (code_KBZ, *posterior, log_weights_KBB))
    return torch.cat([_OfMinibatch.apply(*piece) for piece in zip(*pieces, strict=True)])


class _OfMinibatch(Function):
    @staticmethod
    def forward(ctx: Any, code_MBZ: Tensor, mean_MBZ: Tensor, log_variance_MBZ: Tensor, log_weights: Tensor) -> Tensor:
        # The posteriors lie innermost, where a CPU sums fastest.
        mean, log_variance = (t.mT.contiguous()[:, None] for t in (mean_MBZ, log_variance_MBZ))
        factor = (-log_variance).exp_().mul_(-0.5)
        density = (code_MBZ[..., None] - mean).square_()
        torch.addcmul((log_variance + LOG_2PI) * -0.5, density, factor, out=density)
        joint = density.sum(2).add_(log_weights)
        joint_MB1 = joint.logsumexp(2, keepdim=True)
        share = density.add_(log_weights.unsqueeze(2))
        most = share.amax(-1, keepdim=True)
        total = share.sub_(most).exp_().sum(-1, keepdim=True)
        marginals_MB = (most + total.log()).sum((2, 3))
        share_of_joint = joint.sub_(joint_MB1).exp_()
        difference = torch.sub(share_of_joint.unsqueeze(2), share.div_(total), out=share)
        ctx.save_for_backward(difference, code_MBZ, mean, factor)
        result: Tensor = (joint_MB1.squeeze(-1) - marginals_MB).mean(-1)
        return result

    @staticmethod
    def backward(ctx: Any, gradient_M: Tensor) -> tuple[Tensor | None, ...]:
        difference, code_MBZ, mean, factor = ctx.saved_tensors
        distance = code_MBZ[..., None] - mean
        product = difference * distance
        scale = (gradient_M / code_MBZ.shape[1])[:, None, None]
        # Of l: 2 factor distance in the code, its negative in the mean, and -factor distance^2 - 1/2 in log variance.
        of_mean_MZJ = product.sum(1).mul_(factor[:, 0]).mul_(-2 * scale)
        of_square_MZJ = (product * distance).sum(1).mul_(factor[:, 0])
        of_log_variance_MZJ = of_square_MZJ.add_(difference.sum(1), alpha=0.5).mul_(-scale)
        of_code_MBZ = product.mul_(factor).sum(-1).mul_(2 * scale)
        return of_code_MBZ, of_mean_MZJ.mT, of_log_variance_MZJ.mT, None


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
