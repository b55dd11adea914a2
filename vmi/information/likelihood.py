"""The decoder's likelihoods: the distortion -log p(x|z) of an image, in nats.

Shapes: K member, B batch, D pixels.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from vmi.nn.distributions import LOG_2PI
from vmi.nn.ops import sigmoid, softplus, squared_error


class Decoded(NamedTuple):
    """What the decoder gives of a code: pixel logits, and the mean image x_hat = sigmoid(logits), [K, B, D] each."""

    logits_KBD: Tensor
    image_KBD: Tensor

    @classmethod
    def of(cls, logits_KBD: Tensor) -> Decoded:
        return cls(logits_KBD, sigmoid(logits_KBD))


def distortion(likelihood: str, x_KBD: Tensor, decoded: Decoded, variance_K: Tensor) -> Tensor:
    """-E log p(x|z,c) under the likelihood of that name, of what the decoder gave."""
    if likelihood == "gaussian":
        return distortion_gaussian(x_KBD, decoded.image_KBD, variance_K)
    return distortion_bernoulli(x_KBD, decoded.logits_KBD)


def distortion_gaussian(x_KBD: Tensor, image_KBD: Tensor, variance_K: Tensor) -> Tensor:
    """-E log N(x; x_hat, variance I) = |x - x_hat|^2 / (2 variance) + D/2 log(2 pi variance)."""
    squared_K = squared_error(x_KBD, image_KBD)
    return 0.5 * (squared_K / variance_K + x_KBD.shape[-1] * (LOG_2PI + variance_K.log()))


def distortion_bernoulli(x_KBD: Tensor, logits_KBD: Tensor) -> Tensor:
    """-E [x log x_hat + (1 - x) log(1 - x_hat)] with x_hat = sigmoid(logits)."""
    return (softplus(logits_KBD) - x_KBD * logits_KBD).sum(-1).mean(-1)
