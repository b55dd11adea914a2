"""Matrix products of K members, each bitwise what it is in a pack of any other size, and in any place of it.

Two habits of MKL, which multiplies on a CPU in float32, would break that. It takes another path for another alignment
of memory, and a member's weights lie wherever its row begins: `MKL_CBWR=AUTO,STRICT`, set when `vmi` is imported, has
it add in one order whatever the alignment (oneMKL's "Conditional Numerical Reproducibility"). And a product with a side
of 1 is taken for one with a vector when it is alone, and by strides that mean nothing: here it is laid out anew, and
never alone.

Functions of every element are bitwise the same too: of most torch pads the last vector of a tensor, but of the sigmoid
and of softplus it computes what is left over by the C library, whose last bits are others; and what is left over
depends on how many members there are. Sums over parts are made one after the other, as torch's reductions add five and
more in an order that depends on it too. The squared error of images is one autograd function, as composed it passes
over memory twice as often. Shapes: K member, B batch, D pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional


def on_card(x: Tensor) -> bool:
    """Whether all members go together, as on a card; so too on torch's meta device, where tests run a card's steps."""
    return not x.is_cpu


def bmm(a_KMI: Tensor, b_KIN: Tensor) -> Tensor:
    """a b: [K, M, N]."""
    return _thin(a_KMI, b_KIN) if _has_one(a_KMI, b_KIN) else torch.bmm(a_KMI, b_KIN)


def baddbmm(c_K1N: Tensor, a_KMI: Tensor, b_KIN: Tensor) -> Tensor:
    """c + a b: [K, M, N]."""
    return c_K1N + _thin(a_KMI, b_KIN) if _has_one(a_KMI, b_KIN) else torch.baddbmm(c_K1N, a_KMI, b_KIN)


def added(parts: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape, at least one, in their order."""
    return reduce(torch.add, parts)


def _has_one(a_KMI: Tensor, b_KIN: Tensor) -> bool:
    """Of MKL alone."""
    return not on_card(a_KMI) and 1 in (*a_KMI.shape[1:], b_KIN.shape[2])


def _thin(a_KMI: Tensor, b_KIN: Tensor) -> Tensor:
    product: Tensor = _Thin.apply(a_KMI, b_KIN)
    return product


class _Thin(Function):
    """The backward products have a side of 1 as well."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _never_alone(a, b)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        of_a = _never_alone(gradient, b.mT) if ctx.needs_input_grad[0] else None
        return of_a, _never_alone(a.mT, gradient) if ctx.needs_input_grad[1] else None


def _never_alone(a: Tensor, b: Tensor) -> Tensor:
    members = len(a)
    a, b = (_laid_out(x if members > 1 else torch.cat([x, x])) for x in (a, b))
    return torch.bmm(a, b)[:members]


def _laid_out(x: Tensor) -> Tensor:
    """Row by row, dimensions of 1 as well, whose strides torch leaves as they come."""
    return x.flatten().view(x.shape)


# Nothing is left over of a multiple of two vectors of the widest kind, 16 floats each.
STRIDE = 32


def sigmoid(x_K: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), of any shape that begins with K."""
    return _by_member(torch.sigmoid, x_K)


def softplus(x_K: Tensor) -> Tensor:
    """ln (1 + exp x), of any shape that begins with K."""
    return _by_member(functional.softplus, x_K)


def _by_member(function: Callable[[Tensor], Tensor], x_K: Tensor) -> Tensor:
    if on_card(x_K) or len(x_K) == 1 or x_K[0].numel() % STRIDE == 0:
        return function(x_K)
    return torch.stack([function(x) for x in x_K])


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
