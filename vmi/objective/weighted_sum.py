"""The objective of every method here, as one weighted sum per member, in nats per image:

J = distortion + beta(step) rate + gamma sum_kind |rate_kind - C_kind(step)| + w_tc TC + w_factor TC + w_mmd MMD
    - sum_informed lambda (E log Q(code|x_hat) + eta H(code)) - w_gen E log Q(code|generated)

VAE: beta 1. beta-VAE: beta. Annealing (Bowman et al. 2016): beta(step). Controlled capacity (Burgess et al. 2018) and
JointVAE (Dupont 2018): beta 0, gamma, C(step). beta-TCVAE (Chen et al. 2018): w_tc = its beta - 1. FactorVAE (Kim &
Mnih 2018): w_factor = its gamma, TC by a discriminator (`vmi.objective.factor_vae`). InfoVAE (Zhao et al. 2019): w_mmd.
InfoGAN's term (Chen et al. 2016): w_gen. VMI (Serdega & Kim 2020): lambda, eta.
Shapes: K member, B batch, Z all Normal dimensions, C all categories, L width of the code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vmi.information import bounds
from vmi.nn.distributions import Categorical, Distribution
from vmi.objective.annealing import capacity, ramp
from vmi.spec.config import TrialConfig
from vmi.spec.layout import Block, Layout


class Weights(NamedTuple):
    """What may differ between the members of a pack, each [K]."""

    mi_K: Tensor
    mi_normal_K: Tensor
    entropy_K: Tensor
    kl_K: Tensor
    kl_anneal_K: Tensor
    capacity_K: Tensor
    capacity_normal_K: Tensor
    capacity_categorical_K: Tensor
    capacity_steps_K: Tensor
    tc_K: Tensor
    factor_K: Tensor
    mmd_K: Tensor
    generator_mi_K: Tensor
    variance_K: Tensor

    def of_block(self, block: Block) -> Tensor:
        """lambda of an informed block of this kind."""
        return self.mi_K if block.is_categorical else self.mi_normal_K


_FIELDS = (
    "mi_weight",
    "mi_weight_normal",
    "entropy_weight",
    "kl_weight",
    "kl_anneal_steps",
    "capacity_weight",
    "capacity_normal_nats",
    "capacity_categorical_nats",
    "capacity_steps",
    "tc_weight",
    "factor_weight",
    "mmd_weight",
    "generator_mi_weight",
    "likelihood_variance",
)


def weights_of(column: Callable[[str], Tensor]) -> Weights:
    """The weights from a function that gives a field of every member as a tensor [K]."""
    return Weights(*(column(field) for field in _FIELDS))


class Uses(NamedTuple):
    """Which costly terms some member of a pack has a weight on; the others' weight on them is 0, exactly."""

    tc: bool
    factor: bool
    mmd: bool
    generator: bool
    views: bool
    target_views: bool

    @property
    def prior(self) -> bool:
        """Codes drawn from the prior are needed."""
        return self.mmd or self.generator


def term_names(layout: Layout) -> tuple[str, ...]:
    """The terms of a step in the order in which they are computed: the first that is not finite is what broke."""
    rates = tuple(f"rate_{block.name}" for block in layout.blocks)
    of_q = tuple(f"{term}_{block.name}" for block in layout.informed for term in ("log_q", "code_entropy"))
    return (*rates, "distortion", *of_q, "loss")


def uses_of(configs: Sequence[TrialConfig]) -> Uses:
    return Uses(
        any(c.tc_weight for c in configs),
        any(c.factor_weight for c in configs),
        any(c.mmd_weight for c in configs),
        any(c.generator_mi_weight for c in configs),
        any(c.view_strength for c in configs),
        any(c.view_target_strength for c in configs),
    )


def expected_log_q(auxiliary: Sequence[Distribution], codes: Sequence[Tensor]) -> list[Tensor]:
    """E log Q(code|x_hat) for each informed block: [K] each."""
    return [q.log_prob(code).mean(-1) for q, code in zip(auxiliary, codes, strict=True)]


def code_entropy(posterior: Distribution, code: Tensor) -> Tensor:
    """H of the code's marginal on this minibatch: H(m) for a categorical, h(m) leave-in for a Normal block."""
    if isinstance(posterior, Categorical):
        return bounds.entropy(bounds.aggregate_posterior(posterior.log_probs_KBC))
    return bounds.aggregate_entropy_normal(posterior, code)


def rate_terms(weights: Weights, blocks: Sequence[Block], rates: Mapping[str, Tensor], step_K: Tensor) -> Tensor:
    """beta(step) rate + gamma sum_kind |rate_kind - C_kind(step)|: [K]."""
    zero_K = torch.zeros_like(weights.kl_K)
    total_K = weights.kl_K * ramp(step_K, weights.kl_anneal_K) * sum(rates.values(), zero_K)
    reached_K = ramp(step_K, weights.capacity_steps_K)
    kinds = ((False, weights.capacity_normal_K), (True, weights.capacity_categorical_K))
    for categorical, target_K in kinds:
        of_kind = [rates[block.name] for block in blocks if block.is_categorical == categorical]
        if of_kind:
            total_K = total_K + weights.capacity_K * capacity(sum(of_kind, zero_K), reached_K * target_K)
    return total_K


def mi_terms(
    weights: Weights, informed: Sequence[Block], log_qs: Sequence[Tensor], entropies: Sequence[Tensor]
) -> Tensor:
    """sum over informed blocks of lambda (E log Q + eta H): [K], to be ascended."""
    terms = (
        weights.of_block(block) * (log_q_K + weights.entropy_K * entropy_K)
        for block, log_q_K, entropy_K in zip(informed, log_qs, entropies, strict=True)
    )
    return sum(terms, torch.zeros_like(weights.mi_K))
