"""Functions of every element of K members that torch vectorises on a CPU: each member bitwise what it is alone.

Of most functions torch pads the last vector of a tensor. Of the sigmoid and of softplus it computes what is left over
by the C library instead, whose last bits are others; and what is left over depends on how many members there are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

# Nothing is left over of a multiple of two vectors of the widest kind, 16 floats each.
STRIDE = 32


def sigmoid(x_K: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), of any shape that begins with K."""
    return _by_member(torch.sigmoid, x_K)


def softplus(x_K: Tensor) -> Tensor:
    """ln (1 + exp x), of any shape that begins with K."""
    return _by_member(functional.softplus, x_K)


def _by_member(function: Callable[[Tensor], Tensor], x_K: Tensor) -> Tensor:
    if x_K.is_cuda or len(x_K) == 1 or x_K[0].numel() % STRIDE == 0:
        return function(x_K)
    return torch.stack([function(x) for x in x_K])
