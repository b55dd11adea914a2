"""Philox4x32-10 in torch's operators: random words as a function of a key and a counter, for all members at once.

A block of four words becomes, ten times, and the key (k0, k1) moves by a constant each time,

    (x0, x1, x2, x3) -> (hi(M1 x2) ^ x1 ^ k0, lo(M1 x2), hi(M0 x0) ^ x3 ^ k1, lo(M0 x0))

It is what torch itself draws from on CUDA, with a generator and a
launch for every tensor; here a launch is every operator, whatever the number of members.
Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123).
Shapes: K member, J block, 2: words 0 and 2 of a block (even), or 1 and 3 (odd). Words are int64, from 0 to 2^32 - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

ROUNDS = 10
WORD = (1 << 32) - 1
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_STEPS = (0x9E3779B9, 0xBB67AE85)


class Keys(NamedTuple):
    """The keys of K members in every round, [rounds, 2, K, 1], and the multipliers, [2, 1, 1], words 2 and 0 first."""

    rounds_R2K1: Tensor
    multipliers_211: Tensor

    @classmethod
    def of(cls, keys: Sequence[int], device: torch.device) -> Keys:
        """Of 64 bits each: k0 is the lower word."""
        words = [(key & WORD, key >> 32 & WORD) for key in keys]
        rounds = [
            [[(pair[i] + r * _STEPS[i]) & WORD for pair in words] for i in range(2)] for r in range(ROUNDS)
        ]  # fmt: skip
        multipliers = torch.tensor(_MULTIPLIERS[::-1], device=device)[:, None, None]
        return cls(torch.tensor(rounds, device=device)[..., None], multipliers)


def philox(even_2KJ: Tensor, odd_2KJ: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
    """The words of the blocks whose counters have these even and odd words."""
    even, odd = even_2KJ, odd_2KJ
    for key_2K1 in keys.rounds_R2K1.unbind():
        # Of 64 bits, whose upper half the shift fills with the sign: what is too much is masked once.
        product = even.flip(0) * keys.multipliers_211
        even, odd = ((product >> 32) ^ odd ^ key_2K1) & WORD, product
    return even, odd & WORD


def uniform(words: Tensor, dtype: torch.dtype) -> Tensor:
    """Uniform on [0, 1): the upper 24 bits of a word, in float64 all 32."""
    bits = 32 if dtype == torch.float64 else 24
    return (words >> 32 - bits).to(dtype) * 2.0**-bits


def normal(first: Tensor, second: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two independent standard Normal numbers from two words (Box & Muller 1958): sqrt(-2 ln u) (cos, sin)(2 pi v).

    u = (first + 1/2) / 2^32, so it is not 0, and no number is beyond 6.8.
    """
    radius = ((first.to(dtype) + 0.5) * 2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = second.to(dtype) * (2 * math.pi * 2.0**-32)
    return radius * angle.cos(), radius * angle.sin()
