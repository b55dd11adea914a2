"""Fit the auxiliary distribution Q(code of one block|image) of a fixed model, from several seeds at once.

Q ascends E log Q, which needs no more than pairs of an image and a code; it stops where the validation images, which
are part of the training split and no others, say so. The seeds of Q are the members of one stacked network.
Shapes: K member (seed of Q), B batch, V validation images, N images, D pixels, X width of the block, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vmi.data.minibatches import Minibatches
from vmi.data.random_streams import seeded
from vmi.nn.distributions import Categorical, DiagonalNormal, Distribution
from vmi.nn.layers import StackedMLP, flat_buffers, flatten_parameters
from vmi.nn.networks import distribution_of
from vmi.nn.optim import LearningRate, MemberAdam
from vmi.spec.layout import Block

CHUNK = 1000


class Settings(NamedTuple):
    """How Q is fitted: it stops after `patience` checks in a row without a gain of `gain_nats` on the validation."""

    hidden: tuple[int, ...] = (128, 64)
    learning_rate: float = 3e-3
    batch_size: int = 256
    check_every: int = 25
    patience: int = 6
    gain_nats: float = 0.002
    max_steps: int = 4000


class Pairs(NamedTuple):
    """What Q learns from: so many training images, and images with codes for a minibatch index [K, B] of them.

    `draw` gives images [K, B, D] and codes [K, B, X]; a row of category probabilities may stand for a code, then
    log Q is its expectation. `images_VD` and `codes_VX` are the validation pairs.
    """

    images: int
    draw: Callable[[Tensor], tuple[Tensor, Tensor]]
    images_VD: Tensor
    codes_VX: Tensor


class FittedQ(NamedTuple):
    """Q of K seeds. A Normal code is standardised inside, as MI does not change under it: z = shift + scale z'."""

    block: Block
    network: StackedMLP
    shift_X: Tensor
    scale_X: Tensor
    steps_K: Tensor

    def __call__(self, images_KBD: Tensor) -> Distribution:
        q = distribution_of(self.block, self.network(images_KBD))
        if isinstance(q, Categorical):
            return q
        log_variance = q.log_variance_KBZ + 2 * self.scale_X.log()
        return DiagonalNormal(self.shift_X + self.scale_X * q.mean_KBZ, log_variance)

    @torch.no_grad()
    def log_prob(self, images_ND: Tensor, codes_NX: Tensor) -> Tensor:
        """log Q(code|image) of the same pairs by every seed: [K, N]."""
        members = len(self.steps_K)
        chunks = [slice(start, start + CHUNK) for start in range(0, len(images_ND), CHUNK)]
        pieces = [self(images_ND[c].expand(members, *images_ND[c].shape)).log_prob(codes_NX[c]) for c in chunks]
        return torch.cat(pieces, -1)


def fit(block: Block, pairs: Pairs, seeds: Sequence[int], purpose: str, settings: Settings) -> FittedQ:
    """Fit Q from each of the seeds, whose Q does not depend on the others; `purpose` names the random streams."""
    device = pairs.images_VD.device
    q = _untrained(block, pairs, [seeded(seed, f"{purpose} initialise") for seed in seeds], settings)
    adam = MemberAdam(flatten_parameters([q.network]), [LearningRate(settings.learning_rate)] * len(seeds))
    parameters, best = list(q.network.parameters()), Best([adam.flat_KP, *flat_buffers([q.network])])
    batch = min(settings.batch_size, pairs.images)
    minibatches = Minibatches(pairs.images, batch, [seeded(seed, f"{purpose} order") for seed in seeds])
    for step in range(1, settings.max_steps + 1):
        images_KBD, codes_KBX = pairs.draw(minibatches.next().to(device))
        loss = -q(images_KBD).log_prob(codes_KBX).mean(-1).sum()
        adam.step(torch.autograd.grad(loss, parameters))
        if step % settings.check_every == 0:
            q.network.train(False)
            best.note(q.log_prob(pairs.images_VD, pairs.codes_VX).mean(-1), step, settings)
            q.network.train(True)
            if best.closed:
                break
    best.put_back()
    q.network.train(False)
    return q._replace(steps_K=best.step_K)


class Best:
    """The best state [K, ...] of every member so far; a member closes, for good, once it has run out of patience."""

    def __init__(self, state: Sequence[Tensor]) -> None:
        members, device = state[0].shape[0], state[0].device
        self.state, self.kept = list(state), [tensor.clone() for tensor in state]
        self.score_K = torch.full((members,), -torch.inf, device=device)
        self.mark_K = self.score_K.clone()
        self.step_K = torch.zeros(members, dtype=torch.int64, device=device)
        self.stale_K = torch.zeros(members, dtype=torch.int64, device=device)
        self.open_K = torch.ones(members, dtype=torch.bool, device=device)

    @property
    def closed(self) -> bool:
        return not bool(self.open_K.any())

    @torch.no_grad()
    def note(self, score_K: Tensor, step: int, settings: Settings) -> None:
        """Keep the state of every open member whose score is its best; only a gain that counts gives it patience."""
        better_K = self.open_K & (score_K > self.score_K)
        for kept, tensor in zip(self.kept, self.state, strict=True):
            kept[better_K] = tensor[better_K]
        self.score_K = torch.where(better_K, score_K, self.score_K)
        self.step_K = torch.where(better_K, step, self.step_K)
        gained_K = score_K > self.mark_K + settings.gain_nats
        self.mark_K = torch.where(gained_K, score_K, self.mark_K)
        self.stale_K = torch.where(gained_K, 0, self.stale_K + 1)
        self.open_K = self.open_K & (self.stale_K < settings.patience)

    @torch.no_grad()
    def put_back(self) -> None:
        for kept, tensor in zip(self.kept, self.state, strict=True):
            tensor.copy_(kept)


def _untrained(block: Block, pairs: Pairs, generators: Sequence[torch.Generator], settings: Settings) -> FittedQ:
    """Initialised on the CPU, so that a seed gives the same start on every device."""
    pixels, device = pairs.images_VD.shape[-1], pairs.images_VD.device
    network = StackedMLP(pixels, settings.hidden, block.parameters, generators, pairs.images_VD.dtype).to(device)
    shift_X, scale_X = pairs.codes_VX.mean(0), pairs.codes_VX.std(0).clamp_min(1e-6)
    return FittedQ(block, network, shift_X, scale_X, torch.zeros(len(generators), dtype=torch.int64))
