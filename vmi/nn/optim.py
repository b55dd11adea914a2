"""Adam with a learning rate per member, constant or falling, over one flat buffer of parameters [K, P].

torch's fused kernel walks the members one by one (measured: five times faster on a CPU than the vectorised eager form),
so a member's update cannot depend on the others. The gradients of a large network are read where the backward pass left
them, parameter by parameter: gathering them took a third of the optimiser's time. Those of a small one are gathered
first: a call for each of its many small parameters took half of it. Source: Kingma & Ba 2015 (arXiv 1412.6980),
epsilon 1e-8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from vmi.nn import ops
from vmi.nn.torch_private import fused_adam_
from vmi.spec.config import TrialConfig

Views = list[tuple[Tensor, ...]]

# Parameters of a member up to which its gradients are gathered.
SMALL = 1 << 17


class LearningRate(NamedTuple):
    """A member's: first * decay^(t / (steps - 1)) at its update t = 0, 1, ..., and no less after the last of them."""

    first: float
    decay: float = 1.0
    steps: int = 1

    @classmethod
    def of(cls, config: TrialConfig) -> LearningRate:
        return cls(config.learning_rate, config.learning_rate_decay, config.steps)

    def after(self, updates: float) -> float:
        return self.first * math.pow(self.decay, min(updates / max(self.steps - 1, 1), 1.0))


class MemberAdam:
    """Optimiser state of K members: first and second moments [K, P] and step counts [K]."""

    def __init__(
        self, flat_KP: Tensor, rates: Sequence[LearningRate], betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        self.flat_KP = flat_KP
        self.beta1, self.beta2 = betas
        self.first_KP = torch.zeros_like(flat_KP)
        self.second_KP = torch.zeros_like(flat_KP)
        self.steps_K = torch.zeros(len(rates), dtype=torch.float32, device=flat_KP.device)
        # Members of one learning rate are one call of the kernel.
        self._constant = _grouped({k: rate.first for k, rate in enumerate(rates) if rate.decay == 1})
        self._falling = {k: rate for k, rate in enumerate(rates) if rate.decay != 1}
        self._schedule = self._scheduled() if self._falling and ops.on_card(flat_KP) else None
        self._gathered_KP = torch.zeros_like(flat_KP) if flat_KP.shape[1] <= SMALL else None
        self._views: tuple[Views, Views, Views] | None = None

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Everything that a step changes, [K, ...] each, its keys starting with `name`."""
        state = {"parameters": self.flat_KP, "first": self.first_KP, "second": self.second_KP, "steps": self.steps_K}
        return {f"{name}_{key}": tensor for key, tensor in state.items()}

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One update from the gradients of the parameters, in the order in which they lie in the flat buffer."""
        # The kernel reads memory as it lies, whatever the strides.
        pieces = [gradient.reshape(len(gradient), -1).contiguous() for gradient in gradients]
        if self._gathered_KP is not None:
            pieces = [torch.cat(pieces, dim=1, out=self._gathered_KP)]
        if self._views is None:
            widths = [piece.shape[1] for piece in pieces]
            parameters, first, second = (
                _by_member(torch.split(t, widths, dim=1)) for t in (self.flat_KP, self.first_KP, self.second_KP)
            )
            self._views = parameters, first, second
        parameters, first, second = self._views
        of_member = _by_member(pieces)
        groups = [*self._groups()]
        counts = self.steps_K.add_(1).unbind()
        for rate, members in groups:
            fused_adam_(
                _joined(parameters, members),
                _joined(of_member, members),
                _joined(first, members),
                _joined(second, members),
                [counts[k] for k in members for _ in pieces],
                rate,
                (self.beta1, self.beta2),
            )

    def _groups(self) -> Iterator[tuple[float | Tensor, list[int]]]:
        """The learning rates of the next update, and whose each is."""
        yield from self._constant
        if self._schedule:
            # A captured step takes no number from the host: the rate is computed there, and each member's is its own.
            index_F, first_F, decay_F, last_F = self._schedule
            share_F = (self.steps_K.index_select(0, index_F) / last_F).clamp_max(1.0)
            rates_F = (first_F * decay_F**share_F).float()  # as the kernel reads it
            yield from zip(rates_F.unbind(), ([k] for k in self._falling), strict=True)
        elif self._falling:
            counts = self.steps_K.tolist()
            yield from _grouped({k: rate.after(counts[k]) for k, rate in self._falling.items()})

    def _scheduled(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of the F members whose rate falls: place, first rate, decay, number of the last update."""
        device, rates = self.flat_KP.device, self._falling.values()
        columns = [r.first for r in rates], [r.decay for r in rates], [max(r.steps - 1, 1) for r in rates]
        first_F, decay_F, last_F = (torch.tensor(c, dtype=torch.float64, device=device) for c in columns)
        return torch.tensor([*self._falling], device=device), first_F, decay_F, last_F


def _grouped(rates: Mapping[int, float]) -> list[tuple[float, list[int]]]:
    """Each learning rate with its members."""
    return [(rate, [k for k, other in rates.items() if other == rate]) for rate in dict.fromkeys(rates.values())]


def _by_member(tensors: Sequence[Tensor]) -> Views:
    """From tensors [K, ...] to the tensors of each of the K members."""
    return list(zip(*(tensor.unbind() for tensor in tensors), strict=True))


def _joined(of_member: Views, members: Sequence[int]) -> list[Tensor]:
    """The tensors of these members, one after the other."""
    return list(chain.from_iterable(of_member[k] for k in members))
