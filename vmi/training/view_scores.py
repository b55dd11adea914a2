"""What of a categorical code survives a view of the image: held-out, on views that are the same for every trial.

    mi_view = H(m) + mean over views t of E_x sum_c q(c|x) log q(c|t(x))
    view_agreement = mean over views t of P(argmax q(.|x) = argmax q(.|t(x)))

mi_view is a lower bound on I(c; t(x)), which is at most I_q(x;c), as a view depends on the image alone; it is below the
I_q(x;c) of these very images by Gibbs' inequality, so a value above it is a fault. No label is looked at.
Shapes: K member, N images, D pixels, C categories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from vmi.data.augmentation import view
from vmi.data.random_streams import seeded
from vmi.information import bounds
from vmi.information.mi_card import double
from vmi.nn.distributions import Categorical, Distribution
from vmi.spec.layout import Layout

VIEWS = 4


def view_scores(
    encode: Callable[[Tensor], Sequence[Distribution]],
    layout: Layout,
    posterior: Sequence[Distribution],
    chunks: Iterable[Tensor],
    shape: tuple[int, int],
) -> dict[str, Tensor]:
    """mi_view of each categorical block and both figures of the primary one under their stored names, [K] float64.

    `posterior` is of all the images that come in `chunks`, [K, n, D] each, equal for all K; `encode` gives that of
    a view. Empty where no block is categorical.
    """
    places = {i: block for i, block in enumerate(layout.blocks) if block.is_categorical}
    if not places:
        return {}
    crossed: dict[int, list[Tensor]] = {i: [] for i in places}
    agreed: dict[int, list[Tensor]] = {i: [] for i in places}
    generator, done = None, 0
    for images_KND in chunks:
        generator = generator or seeded(0, "evaluation views", images_KND.device)
        count = images_KND.shape[1]
        for _ in range(VIEWS):
            full_strength = images_KND.new_ones(1)
            seen_1ND = view(images_KND[:1], shape, full_strength, [generator])
            for i, again in enumerate(encode(seen_1ND.expand_as(images_KND))):
                if i in places:
                    own = posterior[i]
                    assert isinstance(own, Categorical) and isinstance(again, Categorical)
                    crossed_K, agreed_K = _compared(own.log_probs_KBC[:, done : done + count], again.log_probs_KBC)
                    crossed[i].append(crossed_K)
                    agreed[i].append(agreed_K)
        done += count
    found: dict[str, Tensor] = {}
    for i, block in places.items():
        marginal_entropy_K = bounds.entropy(bounds.aggregate_posterior(_log_probs(posterior[i])))
        value_K = marginal_entropy_K + torch.stack(crossed[i]).sum(0) / (VIEWS * done)
        found[f"mi_view_{block.name}_nats"] = value_K
        if block == layout.primary("c"):
            found |= {"mi_view_nats": value_K, "view_agreement": torch.stack(agreed[i]).sum(0) / (VIEWS * done)}
    return found


def _compared(log_p_KNC: Tensor, log_v_KNC: Tensor) -> tuple[Tensor, Tensor]:
    """Summed over images: sum_c p log v, and how often the likeliest category is the same: [K] each."""
    p_KNC, v_KNC = (_log_probs(Categorical(t)) for t in (log_p_KNC, log_v_KNC))
    same_KN = p_KNC.argmax(-1) == v_KNC.argmax(-1)
    return (p_KNC.exp() * v_KNC).sum((1, 2)), same_KN.double().sum(1)


def _log_probs(distribution: Distribution) -> Tensor:
    """In float64, and normalised there."""
    exact = double(distribution)
    assert isinstance(exact, Categorical)
    return exact.log_probs_KBC
