"""Convolutional trunks for K members: 4 x 4 kernels, stride 2, so that each layer halves or doubles the image's side.

On CUDA the members are groups of one convolution; on a CPU they are walked one by one, because grouped convolution is
slower there (measured 0.54 to 0.73 times). Either way a member sees nothing of the others.
Shapes: K member, B batch, D pixels, C channels, H x W image plane, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from vmi.stacked import Product, StackedBatchNorm, StackedMLP

KERNEL, STRIDE, PADDING = 4, 2, 1


class StackedConvolution(Product):
    """Convolution, or with `transposed` its transpose, per member; initialised as torch.nn.Conv2d and its transpose."""

    def __init__(
        self, inputs: int, outputs: int, generators: Sequence[Generator], dtype: torch.dtype, transposed: bool = False
    ) -> None:
        super().__init__()
        self.transposed = transposed
        # torch's fan-in: weight.size(1) * kernel area, which for a transposed convolution counts the outputs.
        bound = ((outputs if transposed else inputs) * KERNEL**2) ** -0.5
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        weight = torch.empty(len(generators), *shape, KERNEL, KERNEL, dtype=dtype)
        bias = torch.empty(len(generators), outputs, dtype=dtype)
        for k, generator in enumerate(generators):
            weight[k].uniform_(-bound, bound, generator=generator)
            bias[k].uniform_(-bound, bound, generator=generator)
        self.weight_K, self.bias_KC = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x_KBCHW: Tensor) -> Tensor:
        if self.lower is None:
            return self._convolved(x_KBCHW, self.weight_K, self.bias_KC)
        lowered = (tensor.to(self.lower) for tensor in (x_KBCHW, self.weight_K, self.bias_KC))
        return self._convolved(*lowered).to(x_KBCHW.dtype)

    def _convolved(self, x_KBCHW: Tensor, weight_K: Tensor, bias_KC: Tensor) -> Tensor:
        convolve: Callable[..., Tensor] = conv_transpose2d if self.transposed else conv2d
        if not x_KBCHW.is_cuda:
            members = zip(x_KBCHW, weight_K, bias_KC, strict=True)
            return torch.stack([convolve(x, w, b, stride=STRIDE, padding=PADDING) for x, w, b in members])
        members_count, batch = x_KBCHW.shape[:2]
        grouped = x_KBCHW.transpose(0, 1).flatten(1, 2)
        y = convolve(
            grouped,
            weight_K.flatten(0, 1),
            bias_KC.flatten(),
            stride=STRIDE,
            padding=PADDING,
            groups=members_count,
        )
        return y.reshape(batch, members_count, -1, *y.shape[2:]).transpose(0, 1).contiguous()


class ConvolutionalEncoder(nn.Module):
    """Convolutions with batch norm and LeakyReLU(0.2), then one hidden and one linear layer: [K, B, D] -> [K, B, O].

    `hidden` is the channels of the convolutions and, last, the width of the fully connected layer.
    """

    def __init__(
        self,
        image_shape: tuple[int, int],
        hidden: Sequence[int],
        outputs: int,
        generators: Sequence[Generator],
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        pairs = list(pairwise([1, *hidden[:-1]]))
        members = len(generators)
        self.convolutions = nn.ModuleList([StackedConvolution(i, o, generators, dtype) for i, o in pairs])
        self.norms = nn.ModuleList([StackedBatchNorm(o, members, dtype, spatial=True) for _, o in pairs])
        height, width = _plane(image_shape, len(pairs))
        flat = pairs[-1][1] * height * width if pairs else height * width
        self.dense = StackedMLP(flat, hidden[-1:], outputs, generators, dtype)

    def forward(self, x_KBD: Tensor, track: bool = True) -> Tensor:
        x = x_KBD.reshape(*x_KBD.shape[:2], 1, *self.image_shape)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(convolution(x), track)
        output: Tensor = self.dense(x.flatten(2), track)
        return output


class ConvolutionalDecoder(nn.Module):
    """The encoder mirrored: two fully connected layers, then transposed convolutions: [K, B, L] -> [K, B, D].

    `hidden` is, first, the width of the fully connected layer, then the channels of the transposed convolutions.
    """

    def __init__(
        self,
        image_shape: tuple[int, int],
        code_width: int,
        hidden: Sequence[int],
        generators: Sequence[Generator],
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        channels = [*hidden[1:], 1]
        members, plane = len(generators), _plane(image_shape, len(hidden) - 1)
        self.first_plane = (channels[0], *plane)
        self.dense = StackedMLP(code_width, hidden[:1], channels[0] * plane[0] * plane[1], generators, dtype)
        self.norms = nn.ModuleList([StackedBatchNorm(c, members, dtype, spatial=True) for c in channels[:-1]])
        pairs = list(pairwise(channels))
        self.convolutions = nn.ModuleList([StackedConvolution(i, o, generators, dtype, True) for i, o in pairs])

    def forward(self, code_KBL: Tensor, track: bool = True) -> Tensor:
        x = self.dense(code_KBL, track).reshape(*code_KBL.shape[:2], *self.first_plane)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolution(norm(x, track))
        output: Tensor = x.flatten(2)
        return output


def _plane(image_shape: tuple[int, int], halvings: int) -> tuple[int, int]:
    """Side lengths of the smallest plane."""
    return image_shape[0] // 2**halvings, image_shape[1] // 2**halvings
