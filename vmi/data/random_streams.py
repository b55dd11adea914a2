"""Streams of random numbers: one for each seed and purpose. On a CPU a generator each; on a card what a counter gives.

A generator is one launch a member and draw, and in a captured step two more for its state. So a card draws all that a
step takes at once, as a function of seed, purpose and step alone (`vmi.data.philox`): there is nothing to keep, and
neither the pack nor a member's place in it matters.
Shapes: K member, B batch, Z standard Normal numbers of an image, U uniform ones, J block of four words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vmi.data.philox import Keys, normal, philox, uniform

# What a card draws, each with a number of its own in the counter: new ones come last.
PURPOSES = ("noise", "prior", "view", "view form", "target", "target form", "pair", "pair form", "permutation")
# How often at most a step draws for one purpose.
CALLS = 2


def seeded(seed: int, purpose: str, device: str | torch.device = "cpu") -> Generator:
    """A generator for one purpose of one trial: streams of different purposes are independent."""
    # torch's meta device, on which tests run the steps of a card, has no numbers and no generators.
    kind = "cpu" if torch.device(device).type == "meta" else device
    return Generator(device=kind).manual_seed(hashed(seed, purpose) >> 1)


def hashed(seed: int, purpose: str) -> int:
    """64 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "little")


def by_counter(device: torch.device) -> bool:
    """Whether the steps of a pack draw from a counter there."""
    return device.type != "cpu"


class Drawn(NamedTuple):
    """One draw: standard Normal [K, B, Z] and uniform on [0, 1) [K, B, U], images innermost in memory."""

    normal_KBZ: Tensor
    uniform_KBU: Tensor


class Asked(NamedTuple):
    """What one draw takes, of an image each, and which one of its purpose in a step it is."""

    purpose: str
    normal: int
    uniform: int
    call: int


class Counted:
    """What K members draw in a step, from counters (block, purpose and call, step, 0) and a key of each one's seed.

    All of it is computed at a step's first draw. `step_K` is read there: the tensor that the steps themselves move.
    """

    def __init__(self, seeds: Sequence[int], step_K: Tensor, batch: int, dtype: torch.dtype) -> None:
        self._keys = Keys.of([hashed(seed, "steps") for seed in seeds], step_K.device)
        self._step_K, self._batch, self._dtype = step_K, batch, dtype
        self._asked: list[Asked] = []
        self._now: dict[tuple[str, int], Drawn] = {}
        self._calls: dict[str, int] = {}

    def ask(self, purpose: str, normal: int = 0, uniform: int = 0, calls: int = 1) -> None:
        """From now on a step draws so many numbers of an image, so many times at most."""
        self._asked += [Asked(purpose, normal, uniform, call) for call in range(calls)]

    def lay_out(self) -> None:
        """What no step changes, on the device before a step is captured: called once all is asked for."""
        blocks = [(asked, 0, self._blocks(asked.normal)) for asked in self._asked]
        # A draw's Normal and uniform numbers are of one sequence of blocks.
        blocks += [(asked, self._blocks(asked.normal), self._blocks(asked.uniform)) for asked in self._asked]
        word_0 = torch.cat([torch.arange(start, start + count) for _, start, count in blocks])
        places = [CALLS * PURPOSES.index(asked.purpose) + asked.call for asked, *_ in blocks]
        word_1 = torch.tensor(places).repeat_interleave(torch.tensor([count for *_, count in blocks]))
        odd_21J = torch.stack([word_1, torch.zeros_like(word_1)])[:, None]
        self._word_0_J, self._odd_21J = (words.to(self._step_K.device) for words in (word_0, odd_21J))

    def draw(self, purpose: str) -> Drawn:
        """The next draw for this purpose in this step."""
        call = self._calls[purpose] = self._calls.get(purpose, -1) + 1
        if not self._now:
            self._now = self._step()
        return self._now[purpose, call]

    def forget(self) -> None:
        """Another step follows, or this one again."""
        self._now, self._calls = {}, {}

    def _step(self) -> dict[tuple[str, int], Drawn]:
        """All draws of the step: first the blocks of Normal numbers, then those of uniform ones."""
        shape = (len(self._step_K), len(self._word_0_J))
        even = torch.stack([self._word_0_J.expand(shape), self._step_K[:, None].expand(shape)])
        even, odd = philox(even, self._odd_21J, self._keys)
        end = sum(self._blocks(asked.normal) for asked in self._asked)
        normal_KN = _in_blocks(*normal(even[..., :end], odd[..., :end], self._dtype))
        uniform_KN = uniform(_in_blocks(even[..., end:], odd[..., end:]), self._dtype)
        found, z, u = {}, 0, 0
        for asked in self._asked:
            drawn = Drawn(self._of_images(normal_KN, z, asked.normal), self._of_images(uniform_KN, u, asked.uniform))
            found[asked.purpose, asked.call] = drawn
            z, u = z + 4 * self._blocks(asked.normal), u + 4 * self._blocks(asked.uniform)
        return found

    def _of_images(self, numbers_KN: Tensor, start: int, count: int) -> Tensor:
        """[K, B, count] of what begins there."""
        own_KN = numbers_KN[:, start : start + count * self._batch]
        return own_KN.view(len(own_KN), count, self._batch).mT

    def _blocks(self, numbers: int) -> int:
        """How many blocks there are so many numbers of each image in."""
        return -(-numbers * self._batch // 4)


def _in_blocks(first_2KJ: Tensor, second_2KJ: Tensor) -> Tensor:
    """[K, 4 J], a block's four numbers side by side."""
    return torch.stack([*first_2KJ.unbind(), *second_2KJ.unbind()], -1).flatten(1)
