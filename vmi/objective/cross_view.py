"""What a categorical code says of an image whatever its view: the terms of its information, in nats.

With p = q(c|x), v = q(c|t(x)) for a random view t, m(p) = E_x p, and P = E_x p v', made symmetric:

    cross-view MI     1/2 E_{c~p} log v + 1/2 E_{c~v} log p + 1/2 H(m(p)) + 1/2 H(m(v))        `view_mi_weight`
    consistency       E KL(p' || v), p' being p without a gradient                            `view_kl_weight`
    paired MI         sum P log (P / (P 1)(1 P))                                              `view_pair_mi_weight`
    encoder's own MI  eta_m H(m(p)) - E H(p)                       `encoder_mi_weight`, `encoder_entropy_weight`

Each half of the first is Barber and Agakov's (2003) bound with the encoder itself as the auxiliary distribution, of
I(c; t(x)) and of I(c'; x), and both of these are at most I_q(x;c), as a view depends on the image alone. The second and
the last are the parts of IMSAT (Hu et al. 2017, arXiv 1702.08720), with affine views in place of its adversarial ones;
the third is IIC's (Ji et al. 2019, arXiv 1807.06653). Sums over the informed categorical blocks; the view is a second
pass through the encoder, which leaves its running statistics as they are.
Shapes: K member, B batch, C categories.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vmi.nn.distributions import Categorical
from vmi.nn.ops import bmm
from vmi.objective.term import Forward, Members, Statistics, Term


class ViewTerm(Term):
    """A term of image and view, of each informed categorical block."""

    paired = True

    def value(self, seen: Statistics) -> Tensor:
        pairs = _informed(seen.forward)
        return sum((self.of_block(p_KBC, v_KBC) for p_KBC, v_KBC in pairs), torch.zeros_like(self.weight_K))

    def of_block(self, log_p_KBC: Tensor, log_v_KBC: Tensor) -> Tensor:
        """[K] from both distributions over the categories of one block."""
        raise NotImplementedError


class CrossViewMI(ViewTerm):
    weight = "view_mi_weight"
    ascended = True

    def of_block(self, log_p_KBC: Tensor, log_v_KBC: Tensor) -> Tensor:
        return cross_view_bound(log_p_KBC, log_v_KBC)


class ViewConsistency(ViewTerm):
    weight = "view_kl_weight"

    def of_block(self, log_p_KBC: Tensor, log_v_KBC: Tensor) -> Tensor:
        return consistency(log_p_KBC, log_v_KBC)


class PairedMI(ViewTerm):
    weight = "view_pair_mi_weight"
    ascended = True

    def of_block(self, log_p_KBC: Tensor, log_v_KBC: Tensor) -> Tensor:
        return paired_information(log_p_KBC, log_v_KBC)


class EncoderMI(Term):
    """The encoder's own information about the minibatch, with a weight for its marginal entropy."""

    weight = "encoder_mi_weight"
    ascended = True

    def __init__(self, members: Members) -> None:
        super().__init__(members)
        self.entropy_weight_K = members.column("encoder_entropy_weight")

    def value(self, seen: Statistics) -> Tensor:
        blocks = _informed_log_probs(seen.forward, seen.forward.posterior)
        of_blocks = (encoder_information(log_p_KBC, self.entropy_weight_K) for log_p_KBC in blocks)
        return sum(of_blocks, torch.zeros_like(self.weight_K))


def cross_view_bound(log_p_KBC: Tensor, log_v_KBC: Tensor) -> Tensor:
    """A lower bound on the MI between the code and the view, symmetric in image and view: [K]."""
    crossed_KBC = log_p_KBC.exp() * log_v_KBC + log_v_KBC.exp() * log_p_KBC
    return 0.5 * (crossed_KBC.sum(-1).mean(-1) + marginal_entropy(log_p_KBC) + marginal_entropy(log_v_KBC))


def consistency(log_p_KBC: Tensor, log_v_KBC: Tensor) -> Tensor:
    """E KL(p' || v): the view is to say what the image says, which is not moved towards it: [K]."""
    log_p_KBC = log_p_KBC.detach()
    return (log_p_KBC.exp() * (log_p_KBC - log_v_KBC)).sum(-1).mean(-1)


def paired_information(log_p_KBC: Tensor, log_v_KBC: Tensor) -> Tensor:
    """The MI of two codes, one of the image and one of its view, by their joint on the minibatch: [K]."""
    joint_KCC = bmm(log_p_KBC.exp().mT, log_v_KBC.exp()) / log_p_KBC.shape[1]
    joint_KCC = (joint_KCC + joint_KCC.mT) / 2
    # IIC's own floor: a pair of categories that no image has would have no logarithm.
    joint_KCC = joint_KCC.clamp_min(torch.finfo(joint_KCC.dtype).eps)
    marginal_KC = joint_KCC.sum(-1)
    independent_KCC = marginal_KC[:, :, None] * marginal_KC[:, None, :]
    return (joint_KCC * (joint_KCC.log() - independent_KCC.log())).sum((1, 2))


def encoder_information(log_p_KBC: Tensor, entropy_weight_K: Tensor) -> Tensor:
    """eta_m H(m) - E H(p), which is I_q(x;c) of the minibatch where eta_m is 1: [K]."""
    conditional_K = -(log_p_KBC.exp() * log_p_KBC).sum(-1).mean(-1)
    return entropy_weight_K * marginal_entropy(log_p_KBC) - conditional_K


def marginal_entropy(log_p_KBC: Tensor) -> Tensor:
    """H(m) by log m: of a category that no image of the minibatch has any of, the gradient is 0 and not infinite."""
    log_m_KC = log_p_KBC.logsumexp(1) - math.log(log_p_KBC.shape[1])
    return -(log_m_KC.exp() * log_m_KC).sum(-1)


def _informed(forward: Forward) -> Iterator[tuple[Tensor, Tensor]]:
    """log p and log v of every informed categorical block."""
    ours = _informed_log_probs(forward, forward.posterior)
    return zip(ours, _informed_log_probs(forward, forward.again), strict=True)


def _informed_log_probs(forward: Forward, per_block: tuple[object, ...]) -> list[Tensor]:
    return [q.log_probs_KBC for q in forward.informed(per_block) if isinstance(q, Categorical)]
