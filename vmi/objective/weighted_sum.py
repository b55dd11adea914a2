"""The objective of every method here, as one weighted sum per member, in nats per image:

J = distortion + beta(step) rate + gamma sum_kind |rate_kind - C_kind(step)|
    - sum_informed lambda (E log Q(code|x_hat) + eta H(code))
    + w_tc TC + w_factor TC + w_mmd MMD - w_gen E log Q(code|generated)
    - w_view (cross-view MI) + w_kl E KL(q(c|x)' || q(c|view)) - w_pair (paired MI) - w_enc (eta_m H(m) - E H(q(c|x)))

Each term has a file of its own, with its formula and source: `rate`, `mutual_information`, `total_correlation` (Chen et
al. 2018, beta-TCVAE: w_tc = its beta - 1), `factor_vae` (Kim & Mnih 2018: w_factor = its gamma), `mmd`, `generator_mi`,
`cross_view`.
A term more is a file more, its class in TERMS, and the field of its weight in `vmi.spec.config.TrialConfig`.
Shapes: K member.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vmi.objective.cross_view import CrossViewMI, EncoderMI, PairedMI, ViewConsistency
from vmi.objective.factor_vae import FactorTotalCorrelation
from vmi.objective.generator_mi import GeneratorMI
from vmi.objective.mmd import MaximumMeanDiscrepancy
from vmi.objective.mutual_information import MutualInformation
from vmi.objective.rate import Rate
from vmi.objective.term import Members, Statistics, Term
from vmi.objective.total_correlation import TotalCorrelation
from vmi.spec.layout import Layout

# In the order in which they are added: a new one comes last.
TERMS: tuple[type[Term], ...] = (
    Rate,
    MutualInformation,
    TotalCorrelation,
    FactorTotalCorrelation,
    MaximumMeanDiscrepancy,
    GeneratorMI,
    CrossViewMI,
    ViewConsistency,
    PairedMI,
    EncoderMI,
)


def terms_of(members: Members) -> tuple[Term, ...]:
    """The terms that are always summed, and those that some member has a weight on; the others' is 0, exactly."""
    return tuple(
        term(members) for term in TERMS if term.always or any(getattr(c, term.weight) for c in members.configs)
    )


def objective(terms: Sequence[Term], seen: Statistics) -> Tensor:
    """J, to be descended: [K]."""
    always, extra = ([term for term in terms if term.always == kind] for kind in (True, False))
    loss_K = _summed(seen.distortion_K, always, seen)
    # By themselves first: the order of additions decides the last bits of every stored trial.
    return loss_K + _summed(torch.zeros_like(loss_K), extra, seen)


def _summed(start_K: Tensor, terms: Sequence[Term], seen: Statistics) -> Tensor:
    for term in terms:
        weighted_K = term.weighted(seen)
        start_K = start_K - weighted_K if term.ascended else start_K + weighted_K
    return start_K


def term_names(layout: Layout) -> tuple[str, ...]:
    """What a step reports, in the order in which it is computed: the first that is not finite is what broke."""
    rates = tuple(f"rate_{block.name}" for block in layout.blocks)
    of_q = tuple(f"{term}_{block.name}" for block in layout.informed for term in ("log_q", "code_entropy"))
    return (*rates, "distortion", *of_q, "loss")
