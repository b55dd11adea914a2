"""The MI card: every MI quantity of a pack's code from one held-out pass, always together, in float64 nats.

Shapes: K member, N images, C categories, Z Normal dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vmi.information import bounds
from vmi.nn.distributions import Categorical, DiagonalNormal, Distribution
from vmi.nn.ops import added
from vmi.spec.layout import Block, Layout

# The pairwise sandwich of a Normal block takes at most this many held-out images: its cap is ln 4096 = 8.3 nats.
SANDWICH_IMAGES = 4096


class Pass(NamedTuple):
    """What one held-out pass gives: distributions and codes per block [K, N, ...]; Q's for informed blocks only."""

    posterior: tuple[Distribution, ...]
    hard_codes: tuple[Tensor, ...]
    q_real: tuple[Distribution, ...]
    distortion_K: Tensor
    log_q_hard: tuple[Tensor, ...]
    log_q_soft: tuple[Tensor, ...]


def card(layout: Layout, passed: Pass, sandwich_images: int = SANDWICH_IMAGES) -> dict[str, Tensor]:
    """Each quantity [K] under its stored name, each block's own value under the block's name as well.

    A name without a block speaks of the primary block of the quantity's kind (`Layout.primary`); where a Normal and a
    categorical block both have it (mi_decoder_bound, mi_paper), of the categorical one.
    """
    own = {block: block_card(block, passed, i, q, sandwich_images) for i, (block, q) in enumerate(_with_q(layout))}
    rate_K = added([values["rate"] for values in own.values()])
    distortion_K = passed.distortion_K.double()
    result = {"distortion_nats": distortion_K, "rate_nats": rate_K, "elbo_nats": -(distortion_K + rate_K)}
    for primary in (layout.primary("n"), layout.primary("c")):
        if primary is not None:
            result |= {f"{name}_nats": value for name, value in own[primary].items() if name != "rate"}
    return result | {f"{name}_{b.name}_nats": value for b, values in own.items() for name, value in values.items()}


def block_card(block: Block, passed: Pass, i: int, q: int | None, sandwich_images: int) -> dict[str, Tensor]:
    """The quantities of block i of the layout, [K] each; q is its place among the informed blocks, if it is one."""
    posterior = double(passed.posterior[i])
    values = {"rate": posterior.kl().mean(-1)}
    if isinstance(posterior, Categorical):
        marginal_entropy_K = bounds.entropy(bounds.aggregate_posterior(posterior.log_probs_KBC))
        values["mi_encoder"] = bounds.mi_encoder_categorical(posterior.log_probs_KBC)
        values["category_entropy"] = marginal_entropy_K
    else:
        code_KNZ = passed.hard_codes[i][:, :sandwich_images].double()
        posterior = DiagonalNormal(*(parameter[:, :sandwich_images] for parameter in posterior))
        lower_K, upper_K = _sandwich(posterior, code_KNZ)
        values |= {"mi_encoder_lower": lower_K, "mi_encoder_upper": upper_K}
        # h(m), leave-in, from the same codes: at most the code's entropy, so the bound with Q stays a lower bound.
        marginal_entropy_K = lower_K - posterior.log_prob(code_KNZ).mean(-1)
    if q is None:
        return values
    log_q_hard_K = passed.log_q_hard[q].double().mean(-1)
    values["mi_decoder_bound"] = bounds.mi_variational_bound(marginal_entropy_K, log_q_hard_K)
    values["mi_paper"] = block.prior_entropy_nats + passed.log_q_soft[q].double().mean(-1)
    q_real = double(passed.q_real[q])
    if isinstance(posterior, Categorical) and isinstance(q_real, Categorical):
        values["mi_real_bound"] = bounds.mi_real_bound(posterior.log_probs_KBC, q_real.log_probs_KBC)
    return values


def _with_q(layout: Layout) -> Iterator[tuple[Block, int | None]]:
    informed = 0
    for block in layout.blocks:
        yield block, informed if block.informed else None
        informed += block.informed


def _sandwich(posterior: DiagonalNormal, code_KNZ: Tensor) -> tuple[Tensor, Tensor]:
    """Member by member, so that memory does not grow with K."""
    members = range(code_KNZ.shape[0])
    pairs = [
        bounds.mi_normal_sandwich(DiagonalNormal(*(p[k : k + 1] for p in posterior)), code_KNZ[k : k + 1])
        for k in members
    ]
    return torch.cat([lower for lower, _ in pairs]), torch.cat([upper for _, upper in pairs])


def double(distribution: Distribution) -> Distribution:
    """In float64 and, for a categorical, normalised again there: rounding would otherwise show as a violated bound."""
    if isinstance(distribution, Categorical):
        return Categorical.from_logits(distribution.log_probs_KBC.double())
    return DiagonalNormal(*(parameter.double() for parameter in distribution))
