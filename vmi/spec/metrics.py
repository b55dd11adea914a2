"""The metrics of a trial: one record each, which store, tables, figures, W&B and checks read. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from vmi.spec.layout import Layout


class Shown(IntEnum):
    """The places that show metrics, from the briefest on: each shows what those before it do, and more."""

    FIGURES = 1  # with intervals, in the report on W&B
    TERMINAL = 2  # settings in a terminal
    TRIALS = 3  # trials on the page
    COMPARISON = 4  # of two studies
    PRESETS = 5  # of the presets of a study
    PAGE = 6  # settings on the page and on W&B
    STORE = 7  # stored, and looked up


def _always(layout: Layout) -> bool:
    return True


def _categorical(layout: Layout) -> bool:
    return bool(layout.categorical)


def _normal(layout: Layout) -> bool:
    return bool(layout.normal)


def _informed(layout: Layout) -> bool:
    """Q(.|x) is fitted for informed blocks alone."""
    return bool(layout.informed)


def _informed_categorical(layout: Layout) -> bool:
    return any(block.is_categorical for block in layout.informed)


class Metric(NamedTuple):
    """One metric, which is one column of the store.

    unit, meaning  as the store keeps them
    short, title   its name in a table's head, and on an axis (with its unit)
    decimals       shown of a mean; `integer`: of a single trial it is a whole number
    direction      which way is better, "maximize" or "minimize"; empty where neither is
    labels         how it looks at labels; empty where it looks at none
    given          whether a layout has it
    shown          the briefest place that shows it
    place          where it stands among those that are shown (the store keeps them in the order of METRICS)
    """

    unit: str
    meaning: str
    short: str = ""
    title: str = ""
    decimals: int = 2
    integer: bool = False
    direction: str = ""
    labels: str = ""
    given: Callable[[Layout], bool] = _always
    shown: Shown = Shown.STORE
    place: int = 0


_MAPPED = "its map of categories to classes is fitted on training labels"
_COMPARED = "compares with held-out labels"
_COUNTED = "looks at labels alone, at no image"

# The final metrics of a trial, held-out unless said otherwise; None where the layout cannot give it, and where it looks
# at labels and there are none. The order is the store's, so a new one comes last.
METRICS: Mapping[str, Metric] = {
    "accuracy_majority": Metric(
        "1", "categorical code as a classifier; each category takes its majority class on the training split",
        "accuracy", "held-out accuracy (majority vote)", 3,
        direction="maximize", labels=_MAPPED, given=_categorical, shown=Shown.FIGURES, place=10,
    ),
    "accuracy_hungarian": Metric(
        "1", "the same with a one-to-one map of categories to classes",
        "one-to-one", "held-out accuracy (one-to-one map)", 3,
        direction="maximize", labels=_MAPPED, given=_categorical, shown=Shown.PAGE, place=20,
    ),
    "accuracy_train": Metric(
        "1", "accuracy_majority measured on the training split, as the paper does",
        "train acc.", "training accuracy (majority vote)", 3,
        direction="maximize", labels=_MAPPED, given=_categorical, shown=Shown.PRESETS, place=30,
    ),
    "nmi": Metric(
        "1", "normalised mutual information between assigned category and class",
        "NMI", "normalised mutual information with the class", 3,
        direction="maximize", labels=_COMPARED, given=_categorical, shown=Shown.COMPARISON, place=40,
    ),
    "ari": Metric(
        "1", "adjusted Rand index between assigned category and class",
        "ARI", "adjusted Rand index", 3,
        direction="maximize", labels=_COMPARED, given=_categorical, shown=Shown.PAGE, place=50,
    ),
    "accuracy_kmeans": Metric(
        "1", "reference: k-means with as many clusters on the pixels, mapped by majority",
        "k-means", "accuracy of k-means on the pixels", 3,
        labels=_MAPPED, given=_categorical, place=60,
    ),
    "distortion_nats": Metric(
        "nats/image", "-E log p(x|z,c), hard categorical samples",
        "distortion", "distortion −E log p(x|z,c) (nats per image)",
        direction="minimize", shown=Shown.FIGURES, place=160,
    ),
    "rate_nats": Metric(
        "nats/image", "E KL(q(z,c|x) || p(z,c)), all blocks",
        "rate", "rate E KL(q‖p), all blocks (nats per image)",
        shown=Shown.FIGURES, place=150,
    ),
    "elbo_nats": Metric(
        "nats/image", "-(distortion + rate)",
        "ELBO", "ELBO (nats per image)",
        direction="maximize", shown=Shown.COMPARISON, place=170,
    ),
    "mi_encoder_nats": Metric(
        "nats", "I_q(x;c) = H(m) - E H(q(c|x)), exact on the split; m = E q(c|x)",
        "I_q(x;c)", "I_q(x;c) (nats)",
        direction="maximize", given=_categorical, shown=Shown.FIGURES, place=70,
    ),
    "mi_encoder_lower_nats": Metric(
        "nats", "lower bound on I_q(x;z) of a Normal block (leave-in, at most ln N)",
        "I_q(x;z) ≥", "lower bound on I_q(x;z) (nats)",
        direction="maximize", given=_normal, shown=Shown.TRIALS, place=130,
    ),
    "mi_encoder_upper_nats": Metric(
        "nats", "upper bound on I_q(x;z) of a Normal block (leave-one-out)",
        "I_q(x;z) ≤", "upper bound on I_q(x;z) (nats)",
        direction="maximize", given=_normal, shown=Shown.PRESETS, place=140,
    ),
    "mi_decoder_bound_nats": Metric(
        "nats", "H(marginal) + E log Q(code|x_hat), hard codes: lower bound on I(code; x_hat), another MI",
        "decoder bound", "lower bound on I(code; x̂) (nats)",
        direction="maximize", given=_informed, shown=Shown.PRESETS, place=90,
    ),
    "mi_real_bound_nats": Metric(
        "nats", "H(m) + E sum_c q(c|x) log Q(c|x) on the real x: lower bound on I_q(x;c)",
        "real-image bound", "lower bound on I_q(x;c) from real images (nats)",
        direction="maximize", given=_informed_categorical, shown=Shown.PAGE, place=80,
    ),
    "mi_paper_nats": Metric(
        "nats", "H(prior) + E log Q(soft code|x_hat): what the paper plots; does not fall when the code collapses",
        "paper bound", "the paper's bound (nats)",
        direction="maximize", given=_informed, shown=Shown.FIGURES, place=100,
    ),
    "category_entropy_nats": Metric(
        "nats", "H(m), entropy of the aggregate posterior of a categorical block",
        "H(m)", "entropy of the aggregate posterior (nats)",
        direction="maximize", given=_categorical, shown=Shown.PAGE, place=110,
    ),
    "categories_used": Metric(
        "1", "categories to which at least one held-out image in a hundred is assigned",
        "used", "categories used", 1, integer=True,
        direction="maximize", given=_categorical, shown=Shown.TERMINAL, place=120,
    ),
    "mi_view_nats": Metric(
        "nats", "H(m) + E sum_c q(c|x) log q(c|view of x): lower bound on what of I_q(x;c) survives a view",
        "view bound", "lower bound on I(c; view) (nats)",
        direction="maximize", given=_categorical, shown=Shown.PAGE, place=72,
    ),
    "view_agreement": Metric(
        "1", "held-out images whose likeliest category is that of a view of them, mean over views",
        "view agr.", "agreement of an image's category with its view's", 3,
        direction="maximize", given=_categorical, shown=Shown.PAGE, place=74,
    ),
    "majority_class_share": Metric(
        "1", "reference: always the majority class of the training split",
        "maj. class", "accuracy of always saying the majority class", 3,
        labels=_COUNTED, given=_categorical, place=65,
    ),
}  # fmt: skip

# The column of `curves` with what a judge was told: the metric that it judges by, on a part of the held-out images.
JUDGED = "judged"

# Means over the training minibatches since the last report.
CURVE_METRICS: Mapping[str, Metric] = {
    "loss_nats": Metric("nats/image", "the objective J"),
    "distortion_nats": Metric("nats/image", "-E log p(x|z,c), relaxed categorical samples"),
    "rate_nats": Metric("nats/image", "E KL(q || p), all blocks"),
    "elbo_nats": Metric("nats/image", "-(distortion + rate)"),
    JUDGED: Metric(
        "of the metric", "the metric by which a pruner judges, as it was told it: held-out, on part of the images"
    ),
    "temperature": Metric("1", "Gumbel-softmax temperature tau at this step"),
}


def available(layout: Layout, labelled: bool = True) -> tuple[str, ...]:
    """The METRICS that this layout can give, on images with labels or without."""
    return tuple(name for name, m in METRICS.items() if m.given(layout) and (labelled or not m.labels))


def default_metric(layouts: Sequence[Layout], labelled: bool) -> str:
    """What suggestions are compared by where nobody says: the accuracy; without labels, what every layout can give."""
    wanted = ("mi_encoder_nats", "mi_encoder_lower_nats", "elbo_nats")
    able = (name for name in wanted if all(name in available(layout) for layout in layouts))
    return "accuracy_majority" if labelled else next(able)


def unsupervised() -> tuple[str, ...]:
    """The METRICS that look at no label, and of which one way is better."""
    return tuple(name for name, metric in METRICS.items() if metric.direction and not metric.labels)


def shown(at: Shown) -> tuple[str, ...]:
    """The METRICS that this place shows, in the order in which they are read."""
    return tuple(sorted((n for n, m in METRICS.items() if m.shown <= at), key=lambda name: METRICS[name].place))
