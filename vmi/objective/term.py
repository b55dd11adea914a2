"""What a term of the objective is made of, reads and gives. Each has a file of its own; `weighted_sum` lists them all.

What is told of a weight before anything is trained (range, label, what it needs of the layout, memory) stands on its
field in `vmi.spec.config.TrialConfig`.
Shapes: K member, B batch, D pixels, Z all Normal dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Generator, Tensor

from vmi.data.random_streams import Counted
from vmi.information.likelihood import Decoded
from vmi.nn.distributions import DiagonalNormal, Distribution
from vmi.spec.config import TrialConfig
from vmi.spec.layout import Block, Layout

T = TypeVar("T")


class Members(NamedTuple):
    """For whom a term is made: K trials of one Architecture, with `train_count` images to train on.

    `counted`: what their steps draw from, where that is a counter; else a term has generators of its own.
    """

    configs: Sequence[TrialConfig]
    layout: Layout
    train_count: int
    device: torch.device
    dtype: torch.dtype
    counted: Counted | None = None

    def column(self, field: str) -> Tensor:
        """A field of every member: [K]."""
        values = [getattr(config, field) for config in self.configs]
        return torch.tensor(values, dtype=self.dtype, device=self.device)


class Forward(NamedTuple):
    """A pass through encoder and decoder, and where a term asks for it, one through the decoder from prior codes.

    Posterior and codes: one for each of `blocks`; `again` is the posterior of another view of each image, where a term
    asks for it. `score` gives Q's distributions of the informed blocks' codes, of images [K, B, D], and leaves Q's
    running statistics as they are.
    """

    blocks: tuple[Block, ...]
    posterior: tuple[Distribution, ...]
    codes: tuple[Tensor, ...]
    decoded: Decoded
    score: Callable[[Tensor], Sequence[Distribution]]
    prior_codes: tuple[Tensor, ...] = ()
    generated_KBD: Tensor | None = None
    again: tuple[Distribution, ...] = ()

    def informed(self, per_block: Sequence[T]) -> list[T]:
        """What belongs to the informed blocks, from one item per block of the layout."""
        return [item for block, item in zip(self.blocks, per_block, strict=True) if block.informed]

    def normal(self) -> tuple[DiagonalNormal, Tensor]:
        """All Normal blocks as one, and their code [K, B, Z]."""
        pairs = [(q, code) for q, code in zip(self.posterior, self.codes, strict=True) if isinstance(q, DiagonalNormal)]
        parameters = [torch.cat(list(parts), -1) for parts in zip(*(q for q, _ in pairs), strict=True)]
        return DiagonalNormal(*parameters), torch.cat([code for _, code in pairs], -1)


class Statistics(NamedTuple):
    """What every step computes of a minibatch, [K] each: of all blocks `rates` by name, of informed ones the rest."""

    forward: Forward
    step_K: Tensor
    distortion_K: Tensor
    rates: Mapping[str, Tensor]
    log_qs: Sequence[Tensor]
    entropies: Sequence[Tensor]


class Term:
    """One term of the objective, for all members of a pack.

    A subclass gives `value`, or `weighted` where it has several weights; the rest is for terms that draw, learn or ask
    Q for something.

    weight     the field of TrialConfig that weighs it
    always     summed whether or not some member has a weight on it; else only where one has
    ascended   subtracted from what is descended
    prior      needs codes drawn from the prior; `generated`: and images decoded from them
    paired     needs the posterior of another view of each image
    """

    weight: ClassVar[str]
    always: ClassVar[bool] = False
    ascended: ClassVar[bool] = False
    prior: ClassVar[bool] = False
    generated: ClassVar[bool] = False
    paired: ClassVar[bool] = False

    def __init__(self, members: Members) -> None:
        self.weight_K = members.column(self.weight)

    def value(self, seen: Statistics) -> Tensor:
        """The term itself: [K]."""
        raise NotImplementedError

    def weighted(self, seen: Statistics) -> Tensor:
        """weight * term, and exactly 0 where the weight is 0, even if the term is not finite there: [K]."""
        value_K = self.value(seen)
        return torch.where(self.weight_K > 0, self.weight_K * value_K, torch.zeros_like(value_K))

    def of_q(self, forward: Forward) -> Tensor | None:
        """What Q ascends for this term, beside E log Q(code|x_hat): [K]; None where it asks nothing of Q."""
        return None

    def learn(self, forward: Forward) -> None:
        """Take a step of parameters that are the term's own, after the VAE's; most have none."""

    def tensors(self) -> dict[str, Tensor]:
        """What training changes of the term's own, [K, ...] each, by name."""
        return {}

    def generators(self) -> dict[str, list[Generator]]:
        """The generators that its steps draw from, one per member, by name."""
        return {}
