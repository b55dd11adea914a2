"""The distributions of the latent code: diagonal Normal and (relaxed) one-hot categorical.

Shapes: K member, B batch, Z dimensions of a Normal block, C categories. Every log probability, divergence and entropy
is in nats per image, shape [K, B]. Noise is passed in, never drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


class DiagonalNormal(NamedTuple):
    """N(mean, exp(log_variance)) per dimension; mean and log_variance are [K, B, Z]. Prior: N(0, I)."""

    mean_KBZ: Tensor
    log_variance_KBZ: Tensor

    def rsample(self, noise_KBZ: Tensor) -> Tensor:
        """z = mean + std * noise with noise ~ N(0, I), differentiable in the parameters: [K, B, Z]."""
        return torch.addcmul(self.mean_KBZ, (0.5 * self.log_variance_KBZ).exp(), noise_KBZ)

    def log_prob(self, code_KBZ: Tensor) -> Tensor:
        """log N(z; mean, variance) = -1/2 sum [(z - mean)^2 / variance + log variance + log 2 pi]."""
        squared = (code_KBZ - self.mean_KBZ).square() * (-self.log_variance_KBZ).exp()
        return -0.5 * (squared + self.log_variance_KBZ + LOG_2PI).sum(-1)

    def kl(self) -> Tensor:
        """KL(N(mean, variance) || N(0, I)) = 1/2 sum [mean^2 + variance - 1 - log variance]."""
        return 0.5 * (self.mean_KBZ.square() + self.log_variance_KBZ.exp() - 1 - self.log_variance_KBZ).sum(-1)

    def entropy(self) -> Tensor:
        """H = 1/2 sum [log variance + log 2 pi e]."""
        return 0.5 * (self.log_variance_KBZ + LOG_2PI + 1).sum(-1)


class Categorical(NamedTuple):
    """A one-hot categorical; `log_probs` [K, B, C] are normalised. Prior: uniform.

    `rsample` is the relaxed (Gumbel-softmax / Concrete) sample of Jang et al. 2017 (arXiv 1611.01144) and
    Maddison et al. 2017 (arXiv 1611.00712).
    """

    log_probs_KBC: Tensor

    @classmethod
    def from_logits(cls, logits_KBC: Tensor) -> Categorical:
        return cls(_over_categories(torch.log_softmax, logits_KBC))

    def rsample(self, gumbel_KBC: Tensor, temperature_K: Tensor) -> Tensor:
        """softmax((log p + gumbel) / temperature), differentiable in log p: [K, B, C], rows sum to 1."""
        return _over_categories(torch.softmax, (self.log_probs_KBC + gumbel_KBC) / temperature_K[:, None, None])

    def hard_sample(self, gumbel_KBC: Tensor) -> Tensor:
        """One-hot argmax(log p + gumbel): an exact sample (Gumbel-max), no gradient: [K, B, C]."""
        index = (self.log_probs_KBC + gumbel_KBC).argmax(-1)
        return torch.nn.functional.one_hot(index, self.log_probs_KBC.shape[-1]).to(self.log_probs_KBC.dtype)

    def log_prob(self, code_KBC: Tensor) -> Tensor:
        """sum_c code_c log p_c: the log probability of a hard code, the paper's expression for a soft one."""
        return (code_KBC * self.log_probs_KBC).sum(-1)

    def kl(self) -> Tensor:
        """KL(p || uniform) = ln C - H(p)."""
        return math.log(self.log_probs_KBC.shape[-1]) - self.entropy()

    def entropy(self) -> Tensor:
        """H(p) = -sum p log p."""
        return -(self.log_probs_KBC.exp() * self.log_probs_KBC).sum(-1)


Distribution = DiagonalNormal | Categorical


def _over_categories(function: Callable[..., Tensor], x_KBC: Tensor) -> Tensor:
    """torch.softmax or torch.log_softmax over the few categories, with the images side by side in memory.

    Over a last dimension of ten torch takes eight times as long on a CPU: it has nothing to vectorise over.
    """
    return function(x_KBC.mT.contiguous(), dim=-2).mT


def gumbel_from_uniform(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise from noise that is uniform on [0, 1): -log E with E = -log(1 - u) ~ Exp(1).

    The logarithms of a whole pack are vectorised; torch's own exponential noise takes three times as long.
    """
    exponential = torch.log1p(-uniform).neg_()
    # A draw of exactly 0 would be an infinite Gumbel and a NaN in the softmax.
    return exponential.clamp_min_(torch.finfo(uniform.dtype).tiny).log_().neg_()
