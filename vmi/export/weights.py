"""One member of a pack as a plain model: its tensors without the member axis, layer by layer.

K is 1 in every shape here: the pack is of that member alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vmi.export.model import Model
from vmi.nn.convolution import ConvolutionalDecoder, ConvolutionalEncoder, StackedConvolution
from vmi.nn.layers import Norm, StackedLinear, StackedMLP
from vmi.training.pack import Pack


@torch.no_grad()
def plain_model(pack: Pack, config: Mapping[str, Any]) -> Model:
    """The only member of this pack as a `Model` in float32, in evaluation mode."""
    model = Model(config)
    for trunk, layers in ((pack.encoder.trunk, model.encoder), (pack.decoder.trunk, model.decoder)):
        plain = [layer for layer in layers.modules() if next(layer.parameters(recurse=False), None) is not None]
        for stacked, layer in zip(_in_order(trunk), plain, strict=True):
            for name, tensor in _tensors(stacked).items():
                getattr(layer, name).copy_(tensor)
    return model.eval()


def _in_order(trunk: nn.Module) -> Iterator[nn.Module]:
    """The layers of a trunk that have parameters, as images, or codes, go through them."""
    if isinstance(trunk, StackedMLP):
        yield from _by_turns(trunk.linears, trunk.norms)
        yield trunk.head
    elif isinstance(trunk, ConvolutionalEncoder):
        yield from _by_turns(trunk.convolutions, trunk.norms)
        yield from _in_order(trunk.dense)
    else:
        assert isinstance(trunk, ConvolutionalDecoder)
        yield from _in_order(trunk.dense)
        yield from _by_turns(trunk.norms, trunk.convolutions)


def _by_turns(first: Iterable[nn.Module], second: Iterable[nn.Module]) -> Iterator[nn.Module]:
    return chain.from_iterable(zip(first, second, strict=True))


def _tensors(stacked: nn.Module) -> dict[str, Tensor]:
    """What torch's own layer of the kind calls each tensor."""
    if isinstance(stacked, StackedLinear):
        return {"weight": stacked.weight_KIO[0].T, "bias": stacked.bias_K1O[0, 0]}
    if isinstance(stacked, StackedConvolution):
        return {"weight": stacked.weight_K[0], "bias": stacked.bias_KC[0]}
    assert isinstance(stacked, Norm)
    own: dict[str, Tensor] = {"weight": stacked.weight_K1F, "bias": stacked.bias_K1F}
    own |= {"running_mean": stacked.running_mean_K1F, "running_var": stacked.running_var_K1F}
    return {name: tensor.flatten() for name, tensor in own.items()}
