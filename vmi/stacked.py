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


class StackedLinear(nn.Module):
    """y = x W + b per member; W [K, I, O], b [K, 1, O]. Initialised as torch.nn.Linear: U(-1/sqrt I, 1/sqrt I)."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[Generator], dtype: torch.dtype) -> None:
        super().__init__()
        bound = inputs**-0.5
        members = len(generators)
        weight, bias = torch.empty(members, inputs, outputs, dtype=dtype), torch.empty(members, 1, outputs, dtype=dtype)
        for k, generator in enumerate(generators):
            weight[k].uniform_(-bound, bound, generator=generator)
            bias[k].uniform_(-bound, bound, generator=generator)
        self.weight_KIO = nn.Parameter(weight)
        self.bias_K1O = nn.Parameter(bias)

    def forward(self, x_KBI: Tensor) -> Tensor:
        return torch.baddbmm(self.bias_K1O, x_KBI, self.weight_KIO)


class StackedBatchNorm(nn.Module):
    """Batch normalisation per member and feature (Ioffe & Szegedy 2015); running averages as torch.nn.BatchNorm1d.

    For activations [K, B, F], or [K, B, F, H, W] with `spatial`. In training the minibatch's own mean and (biased)
    variance are used; in evaluation the running averages.
    """

    running_mean_K1F: Tensor
    running_var_K1F: Tensor
    momentum = 0.1
    epsilon = 1e-5

    def __init__(self, features: int, members: int, dtype: torch.dtype, spatial: bool = False) -> None:
        super().__init__()
        shape = (members, 1, features, 1, 1) if spatial else (members, 1, features)
        self.axes = (1, 3, 4) if spatial else (1,)
        self.weight_K1F = nn.Parameter(torch.ones(shape, dtype=dtype))
        self.bias_K1F = nn.Parameter(torch.zeros(shape, dtype=dtype))
        self.register_buffer("running_mean_K1F", torch.zeros(shape, dtype=dtype))
        self.register_buffer("running_var_K1F", torch.ones(shape, dtype=dtype))

    def forward(self, x_KBF: Tensor, track: bool = True) -> Tensor:
        """Normalise; `track` moves the running averages (a second pass over the same batch must not)."""
        if not self.training:
            scale = self.weight_K1F * (self.running_var_K1F + self.epsilon).rsqrt()
            return torch.addcmul(self.bias_K1F - self.running_mean_K1F * scale, x_KBF, scale)
        mean, variance, y_KBF = _batch_norm(x_KBF, self.weight_K1F, self.bias_K1F, self.epsilon, self.axes)
        if track:
            count = x_KBF.numel() // mean.numel()
            self.running_mean_K1F.lerp_(mean, self.momentum)
            self.running_var_K1F.lerp_(variance * (count / (count - 1)), self.momentum)
        return y_KBF


class _BatchNormFunction(torch.autograd.Function):
    """Normalisation with its closed-form gradient: a third of the kernels of the composed expression.

    dL/dx = w / std * (g - mean g - x_norm * mean(g * x_norm)), dL/dw = sum g x_norm, dL/db = sum g, with means and
    sums over `axes` (the batch, and the image plane where there is one).
    """

    @staticmethod
    def forward(ctx, x, weight, bias, epsilon, axes):  # type: ignore[no-untyped-def]
        # Two passes over the minibatch: torch.var_mean over an inner axis takes ten times as long on a CPU.
        mean = x.mean(axes, keepdim=True)
        centred = x - mean
        variance = centred.square().mean(axes, keepdim=True)
        inverse_std = (variance + epsilon).rsqrt()
        normalised = centred.mul_(inverse_std)
        ctx.save_for_backward(normalised, weight, inverse_std)
        ctx.axes = axes
        ctx.mark_non_differentiable(mean, variance)
        return mean, variance, torch.addcmul(bias, normalised, weight)

    @staticmethod
    def backward(ctx, _mean, _variance, gradient):  # type: ignore[no-untyped-def]
        normalised, weight, inverse_std = ctx.saved_tensors
        count = gradient.numel() // weight.numel()
        bias_gradient = gradient.sum(ctx.axes, keepdim=True)
        weight_gradient = (gradient * normalised).sum(ctx.axes, keepdim=True)
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = torch.addcmul(gradient - bias_gradient / count, normalised, weight_gradient, value=-1 / count)
            x_gradient.mul_(weight * inverse_std)
        return x_gradient, weight_gradient, bias_gradient, None, None


def _batch_norm(
    x_KBF: Tensor, weight: Tensor, bias: Tensor, epsilon: float, axes: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    mean, variance, y_KBF = _BatchNormFunction.apply(x_KBF, weight, bias, epsilon, axes)
    return mean, variance, y_KBF


class StackedMLP(nn.Module):
    """Linear, batch norm, LeakyReLU(0.2) for each hidden width, then one linear layer: [K, B, I] -> [K, B, O]."""

    negative_slope = 0.2

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, generators: Sequence[Generator], dtype: torch.dtype
    ) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        pairs = list(pairwise(widths))
        self.linears = nn.ModuleList([StackedLinear(i, o, generators, dtype) for i, o in pairs])
        self.norms = nn.ModuleList([StackedBatchNorm(o, len(generators), dtype) for _, o in pairs])
        self.head = StackedLinear(widths[-1], outputs, generators, dtype)

    def forward(self, x_KBI: Tensor, track: bool = True) -> Tensor:
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x_KBI = torch.nn.functional.leaky_relu(norm(linear(x_KBI), track), self.negative_slope)
        output: Tensor = self.head(x_KBI)
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


def flat_buffers(modules: Sequence[nn.Module]) -> list[Tensor]:
    """The running statistics of the modules, each [K, ...], in a fixed order."""
    return [buffer for module in modules for buffer in module.buffers()]
