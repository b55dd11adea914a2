"""The squared error of images as one autograd function: composed, it passes over memory twice as often.

Shapes: K member, B batch, D pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def squared_error(x_KBD: Tensor, image_KBD: Tensor) -> Tensor:
    """E |x - image|^2 over the minibatch: [K]. It has a gradient in the image alone."""
    error_K: Tensor = _SquaredError.apply(x_KBD, image_KBD)
    return error_K


class _SquaredError(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, image: Tensor) -> Tensor:
        difference = image - x
        ctx.save_for_backward(difference)
        norm_K: Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1)
        return norm_K.square_().div_(x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient_K: Tensor) -> tuple[None, Tensor]:
        (difference,) = ctx.saved_tensors
        return None, difference * (gradient_K * (2 / difference.shape[1]))[:, None, None]
