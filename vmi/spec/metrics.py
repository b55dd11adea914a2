"""The metrics of a trial: name, unit, meaning, and which of them a layout can give. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vmi.spec.layout import Layout


class Column(NamedTuple):
    """One metric column: its unit and what it is."""

    unit: str
    meaning: str


# The final metrics of a trial, held-out unless said otherwise; None where the layout cannot give it.
METRICS: Mapping[str, Column] = {
    "accuracy_majority": Column(
        "1",
        "categorical code as a classifier; each category takes its majority class on the training split",
    ),
    "accuracy_hungarian": Column("1", "the same with a one-to-one map of categories to classes"),
    "accuracy_train": Column("1", "accuracy_majority measured on the training split, as the paper does"),
    "nmi": Column("1", "normalised mutual information between assigned category and class"),
    "ari": Column("1", "adjusted Rand index between assigned category and class"),
    "accuracy_kmeans": Column("1", "reference: k-means with as many clusters on the pixels, mapped by majority"),
    "distortion_nats": Column("nats/image", "-E log p(x|z,c), hard categorical samples"),
    "rate_nats": Column("nats/image", "E KL(q(z,c|x) || p(z,c)), all blocks"),
    "elbo_nats": Column("nats/image", "-(distortion + rate)"),
    "mi_encoder_nats": Column("nats", "I_q(x;c) = H(m) - E H(q(c|x)), exact on the split; m = E q(c|x)"),
    "mi_encoder_lower_nats": Column("nats", "lower bound on I_q(x;z) of a Normal block (leave-in, at most ln N)"),
    "mi_encoder_upper_nats": Column("nats", "upper bound on I_q(x;z) of a Normal block (leave-one-out)"),
    "mi_decoder_bound_nats": Column(
        "nats",
        "H(marginal) + E log Q(code|x_hat), hard codes: lower bound on I(code; x_hat), another MI",
    ),
    "mi_real_bound_nats": Column("nats", "H(m) + E sum_c q(c|x) log Q(c|x) on the real x: lower bound on I_q(x;c)"),
    "mi_paper_nats": Column(
        "nats",
        "H(prior) + E log Q(soft code|x_hat): what the paper plots; does not fall when the code collapses",
    ),
    "category_entropy_nats": Column("nats", "H(m), entropy of the aggregate posterior of a categorical block"),
    "categories_used": Column("1", "categories to which at least one held-out image in a hundred is assigned"),
}
INTEGER_METRICS = frozenset({"categories_used"})

# Means over the training minibatches since the last report.
CURVE_METRICS: Mapping[str, Column] = {
    "loss_nats": Column("nats/image", "the objective J"),
    "distortion_nats": Column("nats/image", "-E log p(x|z,c), relaxed categorical samples"),
    "rate_nats": Column("nats/image", "E KL(q || p), all blocks"),
    "elbo_nats": Column("nats/image", "-(distortion + rate)"),
    "judged": Column("of the metric", "the study's metric as a pruner was told it: held-out, on part of the images"),
    "temperature": Column("1", "Gumbel-softmax temperature tau at this step"),
}

_NORMAL = frozenset({"mi_encoder_lower_nats", "mi_encoder_upper_nats"})
_ALL_BLOCKS = frozenset({"distortion_nats", "rate_nats", "elbo_nats"})
# Q(.|x) is fitted for informed blocks alone.
_AUXILIARY = frozenset({"mi_decoder_bound_nats", "mi_paper_nats"})


def available(layout: Layout) -> tuple[str, ...]:
    """The METRICS that this layout can give."""
    return tuple(name for name in METRICS if _given_by(name, layout))


def _given_by(name: str, layout: Layout) -> bool:
    if name in _ALL_BLOCKS:
        return True
    if name in _AUXILIARY:
        return bool(layout.informed)
    if name == "mi_real_bound_nats":
        return any(block.is_categorical for block in layout.informed)
    return bool(layout.normal if name in _NORMAL else layout.categorical)
