"""Batch norm and LeakyReLU as one autograd function.

y = LeakyReLU(weight * (z - mean) / sqrt(variance + epsilon) + bias), mean and (biased) variance over `axes` of the
minibatch (Ioffe & Szegedy 2015). Written out by hand it passes over memory half as often as the composed expression.
Shapes: K member, B batch, F features; scale, bias and statistics are [K, 1, F], or [K, 1, F, 1, 1] of planes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import leaky_relu_

EPSILON, SLOPE = 1e-5, 0.2


class Activated(NamedTuple):
    """What a normalised, activated layer gives: its minibatch's statistics, and the activations."""

    mean_K1F: Tensor
    variance_K1F: Tensor
    y: Tensor


def norm(z: Tensor, scale_K1F: Tensor, bias_K1F: Tensor, axes: tuple[int, ...]) -> Activated:
    """The layer y of z."""
    return Activated(*_Norm.apply(z, scale_K1F, bias_K1F, axes, None))


def norm_shifted(z_KBF: Tensor, shift_K1F: Tensor, scale_K1F: Tensor, bias_K1F: Tensor) -> Activated:
    """The layer y of z + shift, whose statistics are given of z alone.

    A shift before batch normalisation changes nothing after it: it is not added, and its gradient is 0, exactly.
    """
    return Activated(*_Norm.apply(z_KBF, scale_K1F, bias_K1F, (1,), shift_K1F))


class _Norm(Function):
    @staticmethod
    def forward(
        ctx: Any, z: Tensor, scale: Tensor, bias: Tensor, axes: tuple[int, ...], shift: Tensor | None
    ) -> tuple[Tensor, ...]:
        mean = z.mean(axes, keepdim=True)
        centred = z - mean
        # The variance in a pass of its own: torch.var_mean over an inner axis takes ten times as long on a CPU.
        y = centred.square()
        variance = y.mean(axes, keepdim=True)
        inverse_std = (variance + EPSILON).rsqrt_()
        normalised = centred.mul_(inverse_std)
        leaky_relu_(torch.addcmul(bias, normalised, scale, out=y), SLOPE)
        ctx.save_for_backward(normalised, y, scale, inverse_std)
        ctx.axes, ctx.shifted = axes, shift is not None
        # Only y has a gradient, and none is made up for the others.
        ctx.mark_non_differentiable(mean, variance)
        ctx.set_materialize_grads(False)
        return mean, variance, y

    @staticmethod
    def backward(ctx: Any, _mean: None, _variance: None, gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        """With g the gradient before the activation, and means and sums over `axes`:

        dbias = sum g,  dscale = sum g z_norm,  dz = scale / std * (g - mean g - z_norm mean (g z_norm))
        """
        if gradient is None:
            return (None,) * 5
        normalised, y, scale, inverse_std = ctx.saved_tensors
        # The activation keeps the sign, so y says on which side of the bend z was.
        gradient = torch.ops.aten.leaky_relu_backward(gradient, y, SLOPE, True)
        of_bias = gradient.sum(ctx.axes, keepdim=True)
        of_z = gradient * normalised
        of_scale = of_z.sum(ctx.axes, keepdim=True)
        factor = scale * inverse_std
        share = factor * (-of_bias.numel() / gradient.numel())
        torch.addcmul(share * of_bias, gradient, factor, out=of_z)
        of_z.addcmul_(normalised, share * of_scale)
        return of_z, of_scale, of_bias, None, torch.zeros_like(of_bias) if ctx.shifted else None
