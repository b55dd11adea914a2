"""The MI between code and image, bounded by Q: sum over informed blocks of lambda (E log Q(code|x_hat) + eta H(code)).

VMI (Serdega & Kim 2020, arXiv 2005.13953): lambda, and eta = 0, which takes the code's entropy for the prior's.
Shapes: K member, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vmi.information import bounds
from vmi.nn.distributions import Categorical, Distribution
from vmi.objective.term import Members, Statistics, Term


class MutualInformation(Term):
    """lambda has a value for informed categorical blocks and one for informed Normal blocks."""

    weight = "mi_weight"
    always = True
    ascended = True

    def __init__(self, members: Members) -> None:
        super().__init__(members)
        self.normal_weight_K = members.column("mi_weight_normal")
        self.entropy_weight_K = members.column("entropy_weight")

    def weighted(self, seen: Statistics) -> Tensor:
        informed = seen.forward.informed(seen.forward.blocks)
        terms = (
            (self.weight_K if block.is_categorical else self.normal_weight_K)
            * (log_q_K + self.entropy_weight_K * entropy_K)
            for block, log_q_K, entropy_K in zip(informed, seen.log_qs, seen.entropies, strict=True)
        )
        return sum(terms, torch.zeros_like(self.weight_K))


def expected_log_q(auxiliary: Sequence[Distribution], codes: Sequence[Tensor]) -> list[Tensor]:
    """E log Q(code|x_hat) for each informed block: [K] each."""
    return [q.log_prob(code).mean(-1) for q, code in zip(auxiliary, codes, strict=True)]


def code_entropy(posterior: Distribution, code: Tensor) -> Tensor:
    """H of the code's marginal on this minibatch: H(m) for a categorical, h(m) leave-in for a Normal block."""
    if isinstance(posterior, Categorical):
        return bounds.entropy(bounds.aggregate_posterior(posterior.log_probs_KBC))
    return bounds.aggregate_entropy_normal(posterior, code)
