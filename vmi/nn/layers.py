"""Layers for K members at once: every parameter is [K, ...], every activation [K, B, ...].

A member's numbers never depend on how many members stand beside it: matrix products are batched over K, statistics
are per member, and each member is initialised from its own generator.
Shapes: K member, B batch, I inputs, O outputs, F features, P parameters of one member.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import leaky_relu_

from vmi.nn import dense

# One for each member; None for one whose parameters whoever makes the layer copies into it.
Generators = Sequence[Generator | None]


class Product(nn.Module):
    """A layer whose products may be computed in a lower precision than its parameters have (None: they are not)."""

    lower: torch.dtype | None = None


def draw_(weight: Tensor, bias: Tensor, bound: float, generators: Generators) -> None:
    """Weight and bias from U(-bound, bound) for each member that has a generator; the others stay as they are."""
    for k, generator in enumerate(generators):
        if generator is not None:
            weight[k].uniform_(-bound, bound, generator=generator)
            bias[k].uniform_(-bound, bound, generator=generator)


class StackedLinear(Product):
    """y = x W + b per member; W [K, I, O], b [K, 1, O]. Initialised as torch.nn.Linear: U(-1/sqrt I, 1/sqrt I)."""

    def __init__(
        self, inputs: int, outputs: int, generators: Generators, dtype: torch.dtype, rows: bool = False
    ) -> None:
        super().__init__()
        self.rows = rows
        bound = inputs**-0.5
        members = len(generators)
        weight, bias = torch.empty(members, inputs, outputs, dtype=dtype), torch.empty(members, 1, outputs, dtype=dtype)
        draw_(weight, bias, bound, generators)
        self.weight_KIO = nn.Parameter(weight)
        self.bias_K1O = nn.Parameter(bias)

    def forward(self, x_KBI: Tensor) -> Tensor:
        return dense.affine(x_KBI.mT, self.weight_KIO, self.bias_K1O, self.rows, self.lower)


class Norm(nn.Module):
    """What every batch normalisation here has (Ioffe & Szegedy 2015): scale, bias, and running averages.

    In training the minibatch's own mean and (biased) variance are used; in evaluation the running averages, which move
    as those of torch.nn.BatchNorm1d.
    """

    running_mean_K1F: Tensor
    running_var_K1F: Tensor
    momentum = 0.1

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().__init__()
        self.weight_K1F = nn.Parameter(torch.ones(shape, dtype=dtype))
        self.bias_K1F = nn.Parameter(torch.zeros(shape, dtype=dtype))
        self.register_buffer("running_mean_K1F", torch.zeros(shape, dtype=dtype))
        self.register_buffer("running_var_K1F", torch.ones(shape, dtype=dtype))


class StackedBatchNorm(Norm):
    """Batch normalisation per member and feature of a linear layer's output, and LeakyReLU(0.2) (`vmi.nn.dense`)."""

    def __init__(self, features: int, members: int, dtype: torch.dtype) -> None:
        super().__init__((members, 1, features), dtype)

    def forward(self, linear: StackedLinear, x_KIB: Tensor, track: bool = True) -> Tensor:
        """The linear layer and this one after it, images innermost: [K, I, B] -> [K, O, B].

        `track` moves the running averages (a second pass over the same minibatch must not).
        """
        if not self.training:
            return self._evaluated(linear(x_KIB.mT)).mT
        shift_K1O = linear.bias_K1O
        made = dense.hidden(x_KIB, linear.weight_KIO, shift_K1O, self.weight_K1F, self.bias_K1F, linear.lower)
        if track:
            self._track(made.mean_K1O + shift_K1O, made.variance_K1O(), x_KIB.shape[-1])
        return made.y_KOB

    def _evaluated(self, x_KBF: Tensor) -> Tensor:
        scale = self.weight_K1F * (self.running_var_K1F + dense.EPSILON).rsqrt()
        normalised = torch.addcmul(self.bias_K1F - self.running_mean_K1F * scale, x_KBF, scale)
        return leaky_relu_(normalised, dense.SLOPE)

    @torch.no_grad()
    def _track(self, mean_K1F: Tensor, variance_K1F: Tensor, count: int) -> None:
        """Move the running averages; `count` images went into each of the minibatch's."""
        self.running_mean_K1F.lerp_(mean_K1F, self.momentum)
        self.running_var_K1F.lerp_(variance_K1F * (count / (count - 1)), self.momentum)


class StackedMLP(nn.Module):
    """Linear, batch norm, LeakyReLU(0.2) for each hidden width, then one linear layer: [K, B, I] -> [K, B, O]."""

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        generators: Generators,
        dtype: torch.dtype,
        rows: bool = False,
    ) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        pairs = list(pairwise(widths))
        self.linears = nn.ModuleList([StackedLinear(i, o, generators, dtype) for i, o in pairs])
        self.norms = nn.ModuleList([StackedBatchNorm(o, len(generators), dtype) for _, o in pairs])
        self.head = StackedLinear(widths[-1], outputs, generators, dtype, rows)

    def forward(self, x_KBI: Tensor, track: bool = True) -> Tensor:
        x_KIB = x_KBI.mT
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x_KIB = norm(linear, x_KIB, track)
        output: Tensor = self.head(x_KIB.mT)
        return output


def flatten_parameters(modules: Sequence[nn.Module]) -> Tensor:
    """Move every parameter of the modules into one buffer [K, P] (they become views of it), and return the buffer.

    One row is one member: an optimiser walks it in a single pass, and a member is kept, saved or dropped as a row.
    """
    parameters = [p for module in modules for p in module.parameters()]
    flat_KP = torch.cat([p.detach().reshape(p.shape[0], -1) for p in parameters], dim=1)
    start = 0
    for parameter in parameters:
        width = parameter[0].numel()
        parameter.data = flat_KP[:, start : start + width].view(parameter.shape)
        start += width
    return flat_KP


def lower_precision(modules: Sequence[nn.Module], precision: str) -> None:
    """From now on the products of every linear layer and convolution are computed in `precision`.

    "bfloat16": factors are rounded to it, and sums are float32 inside a product, whose result is rounded again.
    Parameters, optimiser, statistics, distributions and losses stay as they are, and so do the activations of fully
    connected layers; those between convolutions are bfloat16. "float32" is no change.
    """
    lower = None if precision == "float32" else getattr(torch, precision)
    for layer in (layer for module in modules for layer in module.modules() if isinstance(layer, Product)):
        layer.lower = lower


def flat_buffers(modules: Sequence[nn.Module]) -> list[Tensor]:
    """The running statistics of the modules, each [K, ...], in a fixed order."""
    return [buffer for module in modules for buffer in module.buffers()]
