"""Convolutional trunks for K members: 4 x 4 kernels, stride 2, so that each layer halves or doubles the image's sides.

An odd side is rounded down, and its transpose gives the odd row back (torch's output padding): kernels reach every
pixel, and each decoder layer has exactly the planes of the encoder layer that it mirrors.

Activations are parts [B, M C, H, W] of M members each. On a card there is one part, whose members are groups of one
convolution; on a CPU there is one for every member, with the channels innermost in memory, because grouped convolution
is slower there (measured 0.54 to 0.73 times) and normalisation four times as fast so. Either way a member sees nothing
of the others.
Shapes: K member, M members of a part, B batch, D pixels, C channels, H x W image plane, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, fold, leaky_relu_, unfold

from vmi.nn import ops
from vmi.nn.dense import EPSILON, SLOPE, in_precision
from vmi.nn.layers import Generators, Norm, Product, StackedMLP, draw_

KERNEL, STRIDE, PADDING = 4, 2, 1

Plane = tuple[int, int]


class StackedConvolution(Product):
    """Convolution, or with `transposed` its transpose, per member; initialised as torch.nn.Conv2d and its transpose."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generators: Generators,
        dtype: torch.dtype,
        transposed: bool = False,
        odd: Plane = (0, 0),
    ) -> None:
        """`odd`, of a transposed layer: 1 for each side of what it gives that is odd, as its input can't tell."""
        super().__init__()
        self.transposed, self.odd = transposed, odd
        # With one channel on the side of the larger plane.
        self.narrow = (outputs if transposed else inputs) == 1
        # torch's fan-in: weight.size(1) * kernel area, which for a transposed convolution counts the outputs.
        bound = ((outputs if transposed else inputs) * KERNEL**2) ** -0.5
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        weight = torch.empty(len(generators), *shape, KERNEL, KERNEL, dtype=dtype)
        bias = torch.empty(len(generators), outputs, dtype=dtype)
        draw_(weight, bias, bound, generators)
        self.weight_K, self.bias_KC = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """The layer of every part, in the lower precision where there is one."""
        members = len(self.weight_K) // len(parts)
        pairs = zip(_pieces(self.weight_K, members), _pieces(self.bias_KC, members), strict=True)
        layer = self._narrow if self.narrow and members == 1 and not ops.on_card(parts[0]) else self._convolved
        return [layer(x, w.flatten(0, 1), b.flatten()) for x, (w, b) in zip(parts, pairs, strict=True)]

    def _convolved(self, x_BCHW: Tensor, weight: Tensor, bias_C: Tensor) -> Tensor:
        convolve: Callable[..., Tensor] = conv2d
        if self.transposed:
            convolve = partial(conv_transpose2d, output_padding=self.odd)
        groups = x_BCHW.shape[1] // self.weight_K.shape[1 if self.transposed else 2]
        x, weight, bias = (in_precision(tensor, self.lower) for tensor in (x_BCHW, weight, bias_C))
        return convolve(x, weight, bias, stride=STRIDE, padding=PADDING, groups=groups)

    def _narrow(self, x_BCHW: Tensor, weight: Tensor, bias_C: Tensor) -> Tensor:
        """The same as a matrix product over the kernel's patches: a CPU's convolution takes four times as long."""
        batch, height, width = len(x_BCHW), *x_BCHW.shape[2:]
        weight_CP = in_precision(weight.flatten(1), self.lower)
        if self.transposed:
            flat_NC = in_precision(x_BCHW, self.lower).permute(0, 2, 3, 1).reshape(-1, len(weight_CP))
            patches_BNP = (flat_NC @ weight_CP).to(bias_C.dtype).view(batch, height * width, -1)
            plane = (STRIDE * height + self.odd[0], STRIDE * width + self.odd[1])
            return fold(patches_BNP.mT, plane, KERNEL, 1, PADDING, STRIDE) + bias_C
        patches_BPN = unfold(x_BCHW, KERNEL, 1, PADDING, STRIDE)
        patches_NP = in_precision(patches_BPN, self.lower).mT.reshape(-1, KERNEL**2)
        y_NC = torch.addmm(in_precision(bias_C, self.lower), patches_NP, weight_CP.mT)
        return y_NC.view(batch, height // STRIDE, width // STRIDE, -1).permute(0, 3, 1, 2)


class PlaneNorm(Norm):
    """Batch normalisation per member and channel over minibatch and plane, and LeakyReLU(0.2), of every part."""

    def __init__(self, channels: int, members: int, dtype: torch.dtype) -> None:
        super().__init__((members, 1, channels, 1, 1), dtype)

    def forward(self, parts: Sequence[Tensor], track: bool) -> list[Tensor]:
        """`track` moves the running averages."""
        size = len(self.weight_K1F) // len(parts)
        own = (self.weight_K1F, self.bias_K1F, self.running_mean_K1F, self.running_var_K1F)
        of_parts = zip(*(_pieces(tensor.flatten(1), size) for tensor in own), strict=True)
        return [self._part(x, track, *of_part) for x, of_part in zip(parts, of_parts, strict=True)]

    def _part(self, x: Tensor, track: bool, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        # In training without running averages, torch leaves them alone.
        moved = (mean.view(-1), variance.view(-1)) if track or not self.training else (None, None)
        y = batch_norm(x, moved[0], moved[1], scale.flatten(), bias.flatten(), self.training, self.momentum, EPSILON)
        return _Aligned.apply(leaky_relu_(y, SLOPE))  # type: ignore[no-any-return]


class _Aligned(Function):
    """Nothing, but that its gradient lies in memory as it does: normalisation takes four times as long otherwise."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        last = y.is_contiguous(memory_format=torch.channels_last)
        ctx.format = torch.channels_last if last else torch.contiguous_format
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous(memory_format=ctx.format)


class ConvolutionalEncoder(nn.Module):
    """Convolutions with batch norm and LeakyReLU(0.2), then one hidden and one linear layer: [K, B, D] -> [K, B, O].

    `shape` is (C, H, W) of an image; `hidden` the channels of the convolutions and, last, the width of the fully
    connected layer.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        hidden: Sequence[int],
        outputs: int,
        generators: Generators,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.shape = shape
        channels = [shape[0], *hidden[:-1]]
        pairs = list(pairwise(channels))
        members = len(generators)
        self.convolutions = nn.ModuleList([StackedConvolution(i, o, generators, dtype) for i, o in pairs])
        self.norms = nn.ModuleList([PlaneNorm(o, members, dtype) for _, o in pairs])
        height, width = _plane(shape, len(pairs))
        flat = channels[-1] * height * width
        self.dense = StackedMLP(flat, hidden[-1:], outputs, generators, dtype)

    def forward(self, x_KBD: Tensor, track: bool = True) -> Tensor:
        parts = parted(x_KBD.reshape(*x_KBD.shape[:2], *self.shape))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            parts = norm(convolution(parts), track)
        output: Tensor = self.dense(joined(parts, len(x_KBD), x_KBD.dtype), track)
        return output


class ConvolutionalDecoder(nn.Module):
    """The encoder mirrored: two fully connected layers, then transposed convolutions: [K, B, L] -> [K, B, D].

    `shape` is (C, H, W) of an image; `hidden`, first, the width of the fully connected layer, then the channels of the
    transposed convolutions.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        code_width: int,
        hidden: Sequence[int],
        generators: Generators,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        channels = [*hidden[1:], shape[0]]
        members, planes = len(generators), [_plane(shape, depth) for depth in reversed(range(len(hidden)))]
        self.first = (channels[0], *planes[0])
        self.dense = StackedMLP(code_width, hidden[:1], math.prod(self.first), generators, dtype, True)
        self.norms = nn.ModuleList([PlaneNorm(c, members, dtype) for c in channels[:-1]])
        layers = zip(channels[:-1], channels[1:], planes[1:], strict=True)
        self.convolutions = nn.ModuleList(
            [StackedConvolution(i, o, generators, dtype, True, (h % 2, w % 2)) for i, o, (h, w) in layers]
        )

    def forward(self, code_KBL: Tensor, track: bool = True) -> Tensor:
        parts = parted(self.dense(code_KBL, track).reshape(*code_KBL.shape[:2], *self.first))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            parts = convolution(norm(parts, track))
        return joined(parts, len(code_KBL), code_KBL.dtype)


def parted(x_KBCHW: Tensor) -> list[Tensor]:
    """The activations of all members as parts."""
    if ops.on_card(x_KBCHW):
        return [x_KBCHW.transpose(0, 1).flatten(1, 2)]
    return [x_BCHW.contiguous(memory_format=torch.channels_last) for x_BCHW in x_KBCHW.unbind()]


def _pieces(of_members: Tensor, size: int) -> Sequence[Tensor]:
    """Of so many members each; one piece is the tensor itself, as the gradient of a split is a copy."""
    return [of_members] if len(of_members) == size else torch.split(of_members, size)


def joined(parts: Sequence[Tensor], members: int, dtype: torch.dtype) -> Tensor:
    """The parts as the activations of all members, planes row by row: [K, B, C H W]."""
    size = members // len(parts)
    rows = [y.to(dtype).reshape(len(y), size, -1).transpose(0, 1) for y in parts]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _plane(shape: tuple[int, int, int], halvings: int) -> Plane:
    """Sides of an image's planes after so many convolutions."""
    return shape[1] >> halvings, shape[2] >> halvings
