"""Fully connected layers of K members as autograd functions, on activations [K, F, B] with the images innermost.

hidden: y = LeakyReLU(scale (z - mean) / sqrt(variance + epsilon) + bias),  z = W^T x,  statistics of the minibatch
affine: y = W^T x + bias

Why the images are innermost: a feature's minibatch is then one row, which torch's group normalisation takes as a group
of its own in one pass, and a product with few outputs still has the images to vectorise over.
Written out by hand, the backward pass computes what is asked for and nothing else: of frozen weights (`frozen`) there
is no gradient, and none of an input that needs none.
Source of the normalisation: Ioffe & Szegedy 2015 (arXiv 1502.03167).
Shapes: K member, B batch, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import leaky_relu_

from vmi.nn.ops import bmm

EPSILON, SLOPE = 1e-5, 0.2
MAX_GROUPS = 65_535

# What the factors of matrix products are rounded to; None: they stay as they are.
Precision = torch.dtype | None
Gradients = tuple[Tensor | None, ...]


class Activated(NamedTuple):
    """What a normalised, activated layer gives: the statistics of z over the minibatch, and the activations."""

    mean_K1O: Tensor
    inverse_std_K1O: Tensor
    y_KOB: Tensor

    def variance_K1O(self) -> Tensor:
        """1 / inverse_std^2 - epsilon; rounding may have left a variance of 0 a little below it."""
        return self.inverse_std_K1O.square().reciprocal_().sub_(EPSILON).clamp_min_(0.0)


def hidden(
    x_KIB: Tensor, weight_KIO: Tensor, shift_K1O: Tensor, scale_K1O: Tensor, bias_K1O: Tensor, lower: Precision
) -> Activated:
    """One hidden layer; `lower` is the precision of its matrix products' factors.

    `shift` is the bias of the linear layer before the normalisation, which takes it away again: it is not added, and
    its gradient is 0, exactly.
    """
    mean, inverse_std, y_KOB = _Hidden.apply(x_KIB, weight_KIO, shift_K1O, scale_K1O, bias_K1O, lower)
    return Activated(mean.view_as(shift_K1O), inverse_std.view_as(shift_K1O), y_KOB)


def affine(x_KIB: Tensor, weight_KIO: Tensor, bias_K1O: Tensor, rows: bool, lower: Precision) -> Tensor:
    """The layer as [K, B, O]: so in memory, too, with `rows`; else it is the view of one with the images innermost."""
    y: Tensor = _Affine.apply(x_KIB, weight_KIO, bias_K1O, rows, lower)
    return y if rows else y.mT


def in_precision(x: Tensor, lower: Precision) -> Tensor:
    """x in that precision; a call of `to` that changes nothing costs a small pack more than asking."""
    return x if lower is None or x.dtype == lower else x.to(lower)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, gradients pass through the module and none of its own parameters is computed."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def _norm_backward(
    gradient: Tensor, z: Tensor, mean: Tensor, inverse_std: Tensor, scale: Tensor, needs_weight: bool
) -> tuple[Any, Any, Any]:
    """Gradients of z, scale and bias of a group norm of [1, G, B], a group each of G; none depends on another's.

    CUDA's kernel has a block for each group, along an axis of its grid that takes MAX_GROUPS.
    """
    _, groups, batch = z.shape
    if groups > MAX_GROUPS:
        pieces = [slice(start, start + MAX_GROUPS) for start in range(0, groups, MAX_GROUPS)]
        planes = ([each[:, own] for each in (gradient, z, mean, inverse_std)] for own in pieces)
        given = zip(planes, pieces, strict=True)
        of_z, of_scale, of_bias = zip(
            *(_norm_backward(g, p, m, d, scale[own], needs_weight) for (g, p, m, d), own in given), strict=True
        )
        joined = torch.cat if needs_weight else lambda _: None
        return torch.cat(of_z, 1), joined(of_scale), joined(of_bias)
    of: tuple[Any, Any, Any] = torch.ops.aten.native_group_norm_backward(
        gradient, z, mean, inverse_std, scale, 1, groups, batch, groups, [True, needs_weight, needs_weight]
    )
    return of


class _Hidden(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, shift: Tensor, scale: Tensor, bias: Tensor, lower: Precision
    ) -> tuple[Tensor, ...]:
        x, weight = in_precision(x, lower), in_precision(weight, lower)
        z = in_precision(bmm(weight.mT, x), scale.dtype)
        groups, batch = scale.numel(), z.shape[-1]
        y, mean, inverse_std = torch.native_group_norm(
            z.view(1, groups, batch), scale.flatten(), bias.flatten(), 1, groups, batch, groups, EPSILON
        )
        y = leaky_relu_(y.view_as(z), SLOPE)
        ctx.save_for_backward(x, weight, z, y, scale, mean, inverse_std)
        # Only y has a gradient, and none is made up for the others.
        ctx.mark_non_differentiable(mean, inverse_std)
        ctx.set_materialize_grads(False)
        return mean, inverse_std, y

    @staticmethod
    def backward(ctx: Any, _mean: None, _inverse_std: None, gradient: Tensor | None) -> Gradients:
        if gradient is None:
            return (None,) * 6
        x, weight, z, y, scale, mean, inverse_std = ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        groups, batch = scale.numel(), z.shape[-1]
        # The activation keeps the sign, so y says on which side of the bend its argument was.
        gradient = torch.ops.aten.leaky_relu_backward(gradient.contiguous(), y, SLOPE, True)
        of_z, of_scale, of_bias = _norm_backward(
            gradient.view(1, groups, batch), z.view(1, groups, batch), mean, inverse_std, scale.flatten(), needs_weight
        )
        of_z = in_precision(of_z.view_as(z), weight.dtype)
        of_x = in_precision(bmm(weight, of_z), z.dtype) if needs_x else None
        if not needs_weight:
            return of_x, None, None, None, None, None
        of_weight, of_shift = in_precision(bmm(x, of_z.mT), z.dtype), torch.zeros_like(scale)
        return of_x, of_weight, of_shift, of_scale.view_as(scale), of_bias.view_as(scale), None


class _Affine(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rows: bool, lower: Precision) -> Tensor:
        x, weight = in_precision(x, lower), in_precision(weight, lower)
        ctx.save_for_backward(x, weight)
        ctx.rows, ctx.dtype = rows, bias.dtype
        if rows:
            return in_precision(bmm(x.mT, weight), bias.dtype).add_(bias)
        return in_precision(bmm(weight.mT, x), bias.dtype).add_(bias.mT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        gradient = gradient.contiguous()
        g_KOB = in_precision(gradient, weight.dtype)
        g_KOB = g_KOB.mT if ctx.rows else g_KOB
        of_x = in_precision(bmm(weight, g_KOB), ctx.dtype) if needs_x else None
        if not needs_weight:
            return of_x, None, None, None, None
        # Rows of the wider side: outputs are many with `rows`, and few without.
        of_weight = bmm(x, g_KOB.mT) if ctx.rows else bmm(g_KOB, x.mT).mT
        of_bias = gradient.sum(1, keepdim=True) if ctx.rows else gradient.sum(2, keepdim=True).mT
        return of_x, in_precision(of_weight, ctx.dtype), of_bias, None, None
