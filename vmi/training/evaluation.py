"""Held-out evaluation of a pack: the MI card, the accuracies of the categorical code, and the arrays of each member.

Networks run in evaluation mode (running statistics). Sampling uses a generator of the trial's own, so the card of a
member does not depend on its pack-mates.
Shapes: K member, N images, D pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vmi.data.dataset import Dataset, Split
from vmi.data.random_streams import seeded
from vmi.information.likelihood import Decoded, distortion
from vmi.information.mi_card import Pass, card
from vmi.nn.distributions import Categorical, Distribution
from vmi.nn.ops import added, sigmoid
from vmi.objective.codes import Noise, draw_noise, sample, side_by_side
from vmi.training import accuracy, kmeans
from vmi.training.pack import Pack
from vmi.training.traversals import member_arrays
from vmi.training.view_scores import view_scores

CHUNK = 1000
# What a member is measured on while it trains: so many images of either split, so many in the pairwise sandwich.
QUICK_IMAGES = 5000
QUICK_SANDWICH_IMAGES = 1000


class Evaluation(NamedTuple):
    """One member's held-out metrics (names of `vmi.spec.metrics`) and arrays (names of `vmi.spec.arrays`)."""

    metrics: Mapping[str, float]
    arrays: Mapping[str, Any]


@torch.no_grad()
def evaluate(pack: Pack, data: Dataset, look: Callable[[], None] = lambda: None) -> list[Evaluation]:
    """The card of every member, in the order of `pack.trials`; the pack is left as it was.

    `look` is called before each chunk of images; what it raises ends the evaluation.
    """
    pack.train_mode(False)
    passed = held_out_pass(pack, data, look)
    metrics = _metrics(pack, data, passed, card(pack.layout, passed), data, look)
    arrays = [member_arrays(pack, data, passed.posterior, k) for k in range(pack.size)]
    pack.train_mode(True)
    return [Evaluation(*of_member) for of_member in zip(metrics, arrays, strict=True)]


@torch.no_grad()
def measure(pack: Pack, data: Dataset) -> list[dict[str, float]]:
    """The metrics of `evaluate`, of every member, on the first QUICK_IMAGES of either split: cheap enough to repeat.

    The sandwich of a Normal block takes QUICK_SANDWICH_IMAGES: its lower bound is at most ln 1000 = 6.9 nats here. The
    k-means reference is that of all images. The pack is left as it was.
    """
    pack.train_mode(False)
    part = data.first(QUICK_IMAGES)
    passed = held_out_pass(pack, part)
    metrics = _metrics(pack, part, passed, card(pack.layout, passed, QUICK_SANDWICH_IMAGES), data, lambda: None)
    pack.train_mode(True)
    return metrics


def _metrics(
    pack: Pack,
    data: Dataset,
    passed: Pass,
    cards_K: Mapping[str, Tensor],
    whole: Dataset,
    look: Callable[[], None],
) -> list[dict[str, float]]:
    """Card and accuracies of every member, with the k-means reference of the whole data set where it has labels."""
    chunks = _looking(_chunks(pack, data, data.held_out), look)
    views_K = view_scores(pack.encoder, pack.layout, passed.posterior, chunks, data.spec.shape)
    cards = {name: value_K.tolist() for name, value_K in {**cards_K, **views_K}.items()}
    scores = code_scores(pack, data, passed.posterior, look)
    block = pack.layout.primary("c")
    reference = {}
    if block and data.spec.is_labelled:
        reference = {"accuracy_kmeans": kmeans.reference(whole, block.size)}
    return [{name: v[k] for name, v in cards.items()} | scores[k] | reference for k in range(pack.size)]


def held_out_pass(pack: Pack, data: Dataset, look: Callable[[], None] = lambda: None) -> Pass:
    """Encode, sample (hard for the model's own numbers, relaxed for the paper's), decode and score by Q."""
    generators = [seeded(trial.config.seed, "evaluate", pack.device) for trial in pack.trials]
    pieces = []
    for images_KND in _chunks(pack, data, data.held_out):
        look()
        noise = draw_noise(pack.layout, generators, images_KND.shape[1], pack.dtype, pack.device)
        pieces.append(_pass(pack, images_KND, noise))
    count = len(data.held_out.labels_N)
    distortion_K = added([piece.distortion_K for piece in pieces]) / count
    return Pass(
        posterior=_joined([piece.posterior for piece in pieces]),
        hard_codes=_joined([piece.hard_codes for piece in pieces]),
        q_real=_joined([piece.q_real for piece in pieces]),
        distortion_K=distortion_K,
        log_q_hard=_joined([piece.log_q_hard for piece in pieces]),
        log_q_soft=_joined([piece.log_q_soft for piece in pieces]),
    )


def code_scores(
    pack: Pack, data: Dataset, posterior: Sequence[Distribution], look: Callable[[], None] = lambda: None
) -> list[dict[str, float]]:
    """Accuracies of each member's primary categorical block (none: empty)."""
    block = pack.layout.primary("c")
    if block is None:
        return [{} for _ in pack.trials]
    place = pack.layout.blocks.index(block)
    train_KN = training_categories(pack, data, place, look)
    held_out_KN = _categories(posterior[place]).cpu().numpy()
    train_labels, labels = (split.labels_N.cpu().numpy() for split in (data.train, data.held_out))
    return [
        accuracy.scores(train_KN[k], train_labels, held_out_KN[k], labels, block.size, data.spec.classes)
        for k in range(pack.size)
    ]


def training_categories(
    pack: Pack, data: Dataset, place: int, look: Callable[[], None] = lambda: None
) -> accuracy.Ints:
    """The likeliest category of every training image, [K, N], in the categorical block at this place of the layout."""
    of_chunks = []
    for images_KND in _chunks(pack, data, data.train):
        look()
        of_chunks.append(_categories(pack.encoder(images_KND)[place]))
    found: accuracy.Ints = torch.cat(of_chunks, 1).cpu().numpy()
    return found


def _pass(pack: Pack, images_KND: Tensor, noise: Noise) -> Pass:
    """One chunk; distortion is summed over its images, log Q is kept per image."""
    posterior = pack.encoder(images_KND)
    hard = sample(pack.layout.blocks, posterior, noise, None)
    soft = sample(pack.layout.blocks, posterior, noise, pack.temperatures[1])
    decoded = Decoded.of(pack.decoder(side_by_side(hard)))
    distortion_K = distortion(pack.architecture.likelihood, images_KND, decoded, pack.variance_K)
    distortion_K = distortion_K * images_KND.shape[1]
    if not pack.layout.informed:
        return Pass(posterior, hard, (), distortion_K, (), ())
    log_q_hard = _log_q(pack, decoded.image_KBD, hard)
    log_q_soft = _log_q(pack, sigmoid(pack.decoder(side_by_side(soft))), soft)
    return Pass(posterior, hard, pack.auxiliary(images_KND), distortion_K, log_q_hard, log_q_soft)


def _log_q(pack: Pack, images_KND: Tensor, codes: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """log Q(code|x_hat) per image and informed block: [K, N] each."""
    scored = pack.auxiliary(images_KND)
    informed = [code for block, code in zip(pack.layout.blocks, codes, strict=True) if block.informed]
    return tuple(q.log_prob(code) for q, code in zip(scored, informed, strict=True))


def _chunks(pack: Pack, data: Dataset, split: Split) -> Iterator[Tensor]:
    """The images of a split, the same for every member: [K, n, D] at a time."""
    for start in range(0, len(split.labels_N), CHUNK):
        images_ND = data.images(split, slice(start, start + CHUNK), pack.dtype)
        yield images_ND.expand(pack.size, *images_ND.shape)


def _looking(chunks: Iterator[Tensor], look: Callable[[], None]) -> Iterator[Tensor]:
    """The chunks, with a look before each."""
    for chunk in chunks:
        look()
        yield chunk


def _categories(distribution: Distribution) -> Tensor:
    assert isinstance(distribution, Categorical)
    return distribution.log_probs_KBC.argmax(-1)


def _joined(pieces: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """Per block, the chunks side by side along N; distributions parameter by parameter."""
    return tuple(_join(chunks) for chunks in zip(*pieces, strict=True))


def _join(chunks: Sequence[Any]) -> Any:
    if isinstance(chunks[0], Tensor):
        return torch.cat(list(chunks), dim=1)
    return type(chunks[0])(*(torch.cat(list(parameters), dim=1) for parameters in zip(*chunks, strict=True)))
