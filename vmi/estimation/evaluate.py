"""The MI account of a fixed model (eq. 5 of Serdega & Kim 2020): the whole MI card of every block, with intervals.

The model is frozen. For each block Q is fitted on the training split, on hard codes and their reconstructions, and for
a categorical block a second one on the real images, so that each bound is as tight as it can be; a fifth of the
training split says when to stop. Everything reported is measured on the held-out split, which no fit has seen.
Shapes: K member (seed of Q), N images, B batch, V validation images, D pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vmi.data.dataset import Dataset, as_dataset
from vmi.data.random_streams import seeded
from vmi.estimation.encoding import View, gathered, view
from vmi.estimation.model import FixedModel, frozen, name_of
from vmi.estimation.q_fit import FittedQ, Pairs, Settings, fit
from vmi.information.bootstrap import Estimate, Statistic, estimate
from vmi.information.statistics import decoder_terms, encoder_terms, real_terms, total_rate, view_terms
from vmi.nn.distributions import Categorical
from vmi.spec.datasets import DatasetSpec
from vmi.spec.errors import InputError, Problem
from vmi.spec.rules import MAX_SEED, parse_hidden
from vmi.training import accuracy, kmeans

VALIDATION_SHARE = 0.2
VALIDATION_IMAGES = 4096
MIN_TRAIN, MIN_HELD_OUT, MAX_SEEDS, MIN_RESAMPLES, MAX_RESAMPLES = 10, 2, 64, 100, 100_000


class Arrays(Protocol):
    """A `vmi.Dataset`: what it is, and pixels [N, D] and classes [N] of either split."""

    @property
    def spec(self) -> DatasetSpec: ...
    @property
    def train(self) -> tuple[NDArray[Any], NDArray[Any]]: ...
    @property
    def held_out(self) -> tuple[NDArray[Any], NDArray[Any]]: ...


class Account(NamedTuple):
    """What is known of the mutual information of one fixed model.

    Attributes:
        model: its name
        dataset: what it was measured on
        layout: its blocks
        estimates: the MI card by metric; a block's own value carries the block's name: `mi_encoder_c10_nats`
        accuracies: of the primary categorical block, with the k-means reference; without labels `categories_used`
            alone, empty where there is no such block
        q_steps: steps after which Q was best, the mean over its seeds, by what it was fitted on
        images: number of held-out images on which everything was measured
        seeds: number of Q that were fitted
    """

    model: str
    dataset: str
    layout: str
    estimates: Mapping[str, Estimate]
    accuracies: Mapping[str, float]
    q_steps: Mapping[str, float]
    images: int
    seeds: int


def evaluate(
    model: FixedModel,
    data: Dataset | Arrays | str,
    *,
    seeds: int = 3,
    seed: int = 0,
    resamples: int = 1000,
    settings: Settings | None = None,
) -> Account:
    """`vmi.evaluate` (`vmi.api.models`) of a data set that is named in this process, or given. Raises InputError."""
    dataset = as_dataset(data)
    seeds, seed, resamples = (int(n) if isinstance(n, np.integer) else n for n in (seeds, seed, resamples))
    _check_options(dataset, seeds, seed, resamples)
    with frozen(model):
        seen = view(model, dataset)
        statistics, q_steps = statistics_of(seen, range(seed, seed + seeds), settings or _settings(dataset))
    # The same resamples for every quantity, so that differences between them are those of the same images.
    found = {name: estimate(s, resamples, seeded(seed, "bootstrap")) for name, s in statistics.items()}
    return Account(
        name_of(model),
        dataset.spec.name,
        str(seen.layout),
        found | _of_primary_blocks(seen, found),
        _accuracies(seen),
        q_steps,
        len(dataset.held_out.labels_N),
        seeds,
    )


def statistics_of(
    seen: View, seeds: Sequence[int], settings: Settings
) -> tuple[dict[str, Statistic], dict[str, float]]:
    """Every quantity by its stored name, and the steps of each Q."""
    codes = seen.draw(seen.held_out, [seeded(seeds[0], "evaluate", seen.device)])
    across_views = seen.across_views()
    x_hat_ND, x_ND = seen.decode(codes)[0], seen.images(seen.data.held_out, slice(None))
    result: dict[str, Statistic] = {}
    steps: dict[str, float] = {}
    for place, block in enumerate(seen.layout.blocks):
        posterior, code_1NX = seen.held_out[place], codes[place]
        own = encoder_terms(block, posterior, code_1NX)
        q = fit_on_reconstructions(seen, place, seeds, settings)
        own |= decoder_terms(block, posterior, code_1NX, q.log_prob(x_hat_ND, code_1NX[0]))
        steps[f"{block.name} on reconstructions"] = float(q.steps_K.double().mean())
        if isinstance(posterior, Categorical):
            q = fit_on_images(seen, place, seeds, settings)
            own |= real_terms(block, posterior, q.log_prob(x_ND, posterior.log_probs_KBC[0].exp()))
            own |= view_terms(block, posterior, across_views[place].crossed_KN)
            steps[f"{block.name} on images"] = float(q.steps_K.double().mean())
        result |= {f"{name}_{block.name}_nats": statistic for name, statistic in own.items()}
    return {"rate_nats": total_rate(result), **result}, steps


def fit_on_reconstructions(seen: View, place: int, seeds: Sequence[int], settings: Settings) -> FittedQ:
    """Q(code of block `place`|x_hat), on fresh hard codes of every minibatch."""
    purpose = f"Q {seen.layout.blocks[place].name} on reconstructions"
    generators = [seeded(seed, f"{purpose} noise", seen.device) for seed in seeds]
    fit_N, validation_V = _parts(seen)

    def draw(index_KB: Tensor) -> tuple[Tensor, Tensor]:
        codes = seen.draw(gathered(seen.train, fit_N[index_KB]), generators)
        return seen.decode(codes), codes[place]

    held_generator = seeded(seeds[0], f"{purpose} validation", seen.device)
    held = seen.draw(gathered(seen.train, validation_V[None]), [held_generator])
    pairs = Pairs(len(fit_N), draw, seen.decode(held)[0], held[place][0])
    return fit(seen.layout.blocks[place], pairs, seeds, purpose, settings)


def fit_on_images(seen: View, place: int, seeds: Sequence[int], settings: Settings) -> FittedQ:
    """Q(c|x) of a categorical block on the real images, against q(c|x) itself instead of samples of it."""
    purpose = f"Q {seen.layout.blocks[place].name} on images"
    posterior = seen.train[place]
    assert isinstance(posterior, Categorical)
    probabilities_NC = posterior.log_probs_KBC[0].exp()
    fit_N, validation_V = _parts(seen)

    def draw(index_KB: Tensor) -> tuple[Tensor, Tensor]:
        index_KB = fit_N[index_KB]
        return seen.images(seen.data.train, index_KB), probabilities_NC[index_KB]

    held = seen.images(seen.data.train, validation_V)
    pairs = Pairs(len(fit_N), draw, held, probabilities_NC[validation_V])
    return fit(seen.layout.blocks[place], pairs, seeds, purpose, settings)


def _parts(seen: View) -> tuple[Tensor, Tensor]:
    """Indices of the training images that Q is fitted on, and of those that say when to stop."""
    count = len(seen.data.train.labels_N)
    order_N = torch.randperm(count, generator=seeded(0, "validation")).to(seen.device)
    held = min(int(VALIDATION_SHARE * count), VALIDATION_IMAGES)
    return order_N[held:], order_N[:held]


def _of_primary_blocks(seen: View, found: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """A name without a block speaks of the primary block; where two kinds have it, of the categorical one's."""
    result: dict[str, Estimate] = {}
    for block in (seen.layout.primary("n"), seen.layout.primary("c")):
        if block is not None:
            ending = f"_{block.name}_nats"
            own = {name.removesuffix(ending): value for name, value in found.items() if name.endswith(ending)}
            result |= {f"{name}_nats": value for name, value in own.items() if name != "rate"}
    return result


def _accuracies(seen: View) -> dict[str, float]:
    block, data = seen.layout.primary("c"), seen.data
    if block is None:
        return {}
    place = seen.layout.blocks.index(block)
    train_N, held_out_N = (split[place][0][0].argmax(-1).cpu().numpy() for split in (seen.train, seen.held_out))
    train_labels, labels = (split.labels_N.cpu().numpy() for split in (data.train, data.held_out))
    found = accuracy.scores(train_N, train_labels, held_out_N, labels, block.size, data.spec.classes)
    if not data.spec.is_labelled:
        return found
    return found | {"accuracy_kmeans": kmeans.kept(data, block.size)}


def _settings(data: Dataset) -> Settings:
    hidden = data.spec.defaults.get("hidden")
    return Settings(hidden=parse_hidden(str(hidden))) if hidden else Settings()


def _check_options(data: Dataset, seeds: int, seed: int, resamples: int) -> None:
    train, held_out = len(data.train.labels_N), len(data.held_out.labels_N)
    limits = {
        "seeds": (seeds, 1, MAX_SEEDS),
        "seed": (seed, 0, MAX_SEED - MAX_SEEDS),
        "resamples": (resamples, MIN_RESAMPLES, MAX_RESAMPLES),
        "training images": (train, MIN_TRAIN, None),
        "held-out images": (held_out, MIN_HELD_OUT, None),
    }
    problems = [
        Problem(name, value, f"a whole number from {low}" + (f" to {high}" if high is not None else ""))
        for name, (value, low, high) in limits.items()
        if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high)
    ]
    if problems:
        raise InputError(problems, where=f"evaluate on {data.spec.name}")
