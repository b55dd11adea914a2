"""What of a categorical code survives a view of the image: held-out, on views that are the same for every trial.

    mi_view = H(m) + mean over views t of E_x sum_c q(c|x) log q(c|t(x))
    view_agreement = mean over views t of P(argmax q(.|x) = argmax q(.|t(x)))

mi_view is a lower bound on I(c; t(x)), which is at most I_q(x;c), as a view depends on the image alone; it is below the
I_q(x;c) of these very images by Gibbs' inequality, so a value above it is a fault. No label is looked at.
Shapes: K member, N images, D pixels, C categories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vmi.data.augmentation import PARAMETERS, Ranges, drawn, view
from vmi.data.random_streams import seeded
from vmi.information import bounds
from vmi.information.mi_card import double
from vmi.nn.distributions import Categorical, Distribution
from vmi.nn.ops import added
from vmi.spec.config import TrialConfig
from vmi.spec.layout import Layout

VIEWS = 4


class Compared(NamedTuple):
    """A block on an image and on its views, mean over the views, [K, N] float64 each."""

    crossed_KN: Tensor
    agreed_KN: Tensor


def view_scores(
    encode: Callable[[Tensor], Sequence[Distribution]],
    layout: Layout,
    posterior: Sequence[Distribution],
    chunks: Iterable[Tensor],
    shape: tuple[int, int, int],
) -> dict[str, Tensor]:
    """mi_view of each categorical block and both figures of the primary one under their stored names, [K] float64.

    `posterior` is of all the images that come in `chunks`, [K, n, D] each, equal for all K; `encode` gives that of
    a view. Empty where no block is categorical.
    """
    found: dict[str, Tensor] = {}
    for i, compared in compared_with_views(encode, layout, posterior, chunks, shape).items():
        block = layout.blocks[i]
        marginal_entropy_K = bounds.entropy(bounds.aggregate_posterior(_log_probs(posterior[i])))
        value_K = marginal_entropy_K + compared.crossed_KN.mean(-1)
        found[f"mi_view_{block.name}_nats"] = value_K
        if block == layout.primary("c"):
            found |= {"mi_view_nats": value_K, "view_agreement": compared.agreed_KN.mean(-1)}
    return found


def compared_with_views(
    encode: Callable[[Tensor], Sequence[Distribution]],
    layout: Layout,
    posterior: Sequence[Distribution],
    chunks: Iterable[Tensor],
    shape: tuple[int, int, int],
) -> dict[int, Compared]:
    """Each categorical block, by its place in the layout, image by image: sum_c q(c|x) log q(c|t(x)), and agreement."""
    places = [i for i, block in enumerate(layout.blocks) if block.is_categorical]
    if not places:
        return {}
    of_chunks: dict[int, list[Compared]] = {i: [] for i in places}
    generator, done = None, 0
    for images_KND in chunks:
        generator = generator or seeded(0, "evaluation views", images_KND.device)
        # Every trial's, whatever it was trained on: those of the fields' own defaults, at strength 1.
        full_strength = images_KND.new_ones(1)
        ranges = Ranges.of([TrialConfig], images_KND.dtype, images_KND.device)
        count = images_KND.shape[1]
        own = {i: Categorical(_log_probs(posterior[i])[:, done : done + count]) for i in places}
        of_views: dict[int, list[Compared]] = {i: [] for i in places}
        for _ in range(VIEWS):
            uniform_1NP = drawn(images_KND[:1], PARAMETERS, [generator])
            seen_1ND = view(images_KND[:1], shape, full_strength, ranges, uniform_1NP)
            again = encode(seen_1ND.expand_as(images_KND))
            for i in places:
                of_views[i].append(_compared(own[i].log_probs_KBC, _log_probs(again[i])))
        for i, parts in of_views.items():
            of_chunks[i].append(Compared(*(added(terms) / VIEWS for terms in zip(*parts, strict=True))))
        done += count
    return {i: Compared(*(torch.cat(terms, 1) for terms in zip(*parts, strict=True))) for i, parts in of_chunks.items()}


def _compared(log_p_KNC: Tensor, log_v_KNC: Tensor) -> Compared:
    same_KN = log_p_KNC.argmax(-1) == log_v_KNC.argmax(-1)
    return Compared((log_p_KNC.exp() * log_v_KNC).sum(-1), same_KN.double())


def _log_probs(distribution: Distribution) -> Tensor:
    """In float64, and normalised there."""
    exact = double(distribution)
    assert isinstance(exact, Categorical)
    return exact.log_probs_KBC
