"""Encoder q(z,c|x), Decoder p(x|z,c) and Auxiliary Q(.|x), stacked over K members.

Shapes: K member, B batch, D pixels, L width of the code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vmi.nn.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from vmi.nn.distributions import Categorical, DiagonalNormal, Distribution
from vmi.nn.layers import Generators, StackedMLP
from vmi.spec.config import Architecture
from vmi.spec.datasets import spec_of
from vmi.spec.layout import Block, parse


class Inference(nn.Module):
    """From images to one distribution per block: the encoder q(z,c|x) (all blocks), or Q(.|x) (informed blocks)."""

    def __init__(
        self, architecture: Architecture, blocks: Sequence[Block], generators: Generators, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        spec, outputs = spec_of(architecture.dataset), sum(block.parameters for block in blocks)
        self.trunk: nn.Module
        if architecture.network == "conv":
            self.trunk = ConvolutionalEncoder(spec.shape, architecture.widths, outputs, generators, dtype)
        else:
            self.trunk = StackedMLP(spec.pixels, architecture.widths, outputs, generators, dtype)

    def forward(self, x_KBD: Tensor, track: bool = True) -> tuple[Distribution, ...]:
        """One distribution per block, in the order of `blocks`; `track` moves the running statistics."""
        pieces = self.trunk(x_KBD, track).split([block.parameters for block in self.blocks], dim=-1)
        return tuple(distribution_of(block, piece) for block, piece in zip(self.blocks, pieces, strict=True))


class Decoder(nn.Module):
    """From the code, blocks side by side [K, B, L], to pixel logits [K, B, D]; the mean image is their sigmoid."""

    def __init__(self, architecture: Architecture, generators: Generators, dtype: torch.dtype) -> None:
        super().__init__()
        spec, width, mirrored = (
            spec_of(architecture.dataset),
            parse(architecture.layout).width,
            architecture.widths[::-1],
        )
        self.trunk: nn.Module
        if architecture.network == "conv":
            self.trunk = ConvolutionalDecoder(spec.shape, width, mirrored, generators, dtype)
        else:
            self.trunk = StackedMLP(width, mirrored, spec.pixels, generators, dtype, rows=True)

    def forward(self, code_KBL: Tensor, track: bool = True) -> Tensor:
        """`track` moves the running statistics."""
        logits_KBD: Tensor = self.trunk(code_KBL, track)
        return logits_KBD


def encoder(architecture: Architecture, generators: Generators, dtype: torch.dtype) -> Inference:
    """q(z,c|x): one distribution for every block of the layout."""
    return Inference(architecture, parse(architecture.layout).blocks, generators, dtype)


def auxiliary(architecture: Architecture, generators: Generators, dtype: torch.dtype) -> Inference:
    """Q(.|x): one distribution for every informed block of the layout (none: it has no output and is not trained)."""
    return Inference(architecture, parse(architecture.layout).informed, generators, dtype)


def distribution_of(block: Block, parameters_KBO: Tensor) -> Distribution:
    """From what a head emits, [K, B, C] logits or [K, B, 2 Z] means and log variances, to the block's distribution."""
    if block.is_categorical:
        return Categorical.from_logits(parameters_KBO)
    mean, log_variance = parameters_KBO.chunk(2, dim=-1)
    return DiagonalNormal(mean, log_variance)
