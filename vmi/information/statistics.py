"""The MI card of one block as statistics (`vmi.information.bootstrap`): the terms of each image, before any mean.

The formulas are those of `vmi.information.mi_card`, whose values these have at equal weights, with one difference:
codes are hard throughout, so `mi_paper` is what the paper plots as its temperature goes to 0.
Shapes: K member (seed of Q), N images, X width of the block, C categories.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vmi.information import bounds
from vmi.information.bootstrap import Statistic
from vmi.information.mi_card import SANDWICH_IMAGES, double
from vmi.nn.distributions import Categorical, DiagonalNormal, Distribution
from vmi.nn.ops import added
from vmi.spec.layout import Block


def encoder_terms(block: Block, posterior: Distribution, code_1NX: Tensor) -> dict[str, Statistic]:
    """What the encoder alone decides: rate, I_q and the entropy of the marginal, or the sandwich of a Normal block."""
    q = double(posterior)
    rate = Statistic(q.kl())
    if isinstance(q, Categorical):
        probabilities_NC, cap = q.log_probs_KBC[0].exp(), block.max_entropy_nats
        return {
            "rate": rate,
            "mi_encoder": Statistic(-bounds.entropy(q.log_probs_KBC.exp()), probabilities_NC, cap),
            "category_entropy": Statistic(torch.zeros_like(rate.terms_KN), probabilities_NC, cap),
        }
    part, code = _sandwiched(q, code_1NX)
    lower_1N, upper_1N = bounds.normal_sandwich_terms(part, code)
    cap = math.log(code.shape[1])
    return {"rate": rate, "mi_encoder_lower": Statistic(lower_1N, None, cap), "mi_encoder_upper": Statistic(upper_1N)}


def decoder_terms(block: Block, posterior: Distribution, code_1NX: Tensor, log_q_KN: Tensor) -> dict[str, Statistic]:
    """From log Q(hard code|x_hat): the bound on I(code; x_hat), and the paper's figure (with H(prior))."""
    q, log_q_KN = double(posterior), log_q_KN.double()
    paper = Statistic(block.prior_entropy_nats + log_q_KN)
    if isinstance(q, Categorical):
        bound = Statistic(log_q_KN, q.log_probs_KBC[0].exp(), block.max_entropy_nats)
        return {"mi_decoder_bound": bound, "mi_paper": paper}
    part, code = _sandwiched(q, code_1NX)
    lower_1N, _ = bounds.normal_sandwich_terms(part, code)
    # h(m), leave-in: at most the code's entropy, so the bound with Q stays a lower bound.
    entropy_1N = lower_1N - part.log_prob(code)
    return {"mi_decoder_bound": Statistic(entropy_1N + log_q_KN[:, : code.shape[1]]), "mi_paper": paper}


def real_terms(block: Block, posterior: Categorical, cross_KN: Tensor) -> dict[str, Statistic]:
    """From sum_c q(c|x) log Q(c|x) on the real images: the bound on I_q(x;c) that needs no decoder."""
    probabilities_NC = posterior.log_probs_KBC[0].double().softmax(-1)
    return {"mi_real_bound": Statistic(cross_KN.double(), probabilities_NC, block.max_entropy_nats)}


def view_terms(block: Block, posterior: Categorical, crossed_1N: Tensor) -> dict[str, Statistic]:
    """From sum_c q(c|x) log q(c|view of x), mean over views: the bound on what of I_q(x;c) survives a view."""
    probabilities_NC = double(posterior)[0][0].exp()
    return {"mi_view": Statistic(crossed_1N, probabilities_NC, block.max_entropy_nats)}


def total_rate(statistics: Mapping[str, Statistic]) -> Statistic:
    """The rate of all blocks, from the terms of each under its stored name."""
    return Statistic(added([s.terms_KN for name, s in statistics.items() if name.startswith("rate_")]))


def _sandwiched(q: DiagonalNormal, code_1NX: Tensor) -> tuple[DiagonalNormal, Tensor]:
    """The first images only: every code is compared with every image."""
    return DiagonalNormal(*(p[:, :SANDWICH_IMAGES] for p in q)), code_1NX[:, :SANDWICH_IMAGES].double()
