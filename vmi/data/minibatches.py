"""Each member's own minibatch order, drawn on the CPU, and the same images as they lie on the device.

Shapes: K member, B batch, N images, D pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


class Minibatches:
    """Index [K, B] of the next minibatch of every member; each member walks its own permutation, epoch by epoch.

    The remainder of an epoch that does not fill a batch is left out, as a new permutation follows. A member's place
    in its epoch is its own: members need not have started together.
    """

    def __init__(self, count: int, batch_size: int, generators: Sequence[Generator]) -> None:
        self.count, self.batch_size = count, batch_size
        self.generators = list(generators)
        self.order_KN = torch.zeros(len(self.generators), count, dtype=torch.int64)
        self.positions = [count] * len(self.generators)
        self.epochs = 0
        self._offsets_B = torch.arange(batch_size)

    def next(self) -> Tensor:
        self.renew()
        index_KB = self.order_KN.gather(1, torch.tensor(self.positions)[:, None] + self._offsets_B)
        self.positions[:] = [position + self.batch_size for position in self.positions]
        return index_KB

    def renew(self) -> list[int]:
        """A new permutation, and a new epoch, for members whose permutation does not fill another batch; which."""
        ended = [k for k, position in enumerate(self.positions) if position + self.batch_size > self.count]
        for k in ended:
            torch.randperm(self.count, generator=self.generators[k], out=self.order_KN[k])
            self.positions[k] = 0
        self.epochs += len(ended)
        return ended

    def resident(self, device: torch.device) -> Resident:
        """The same minibatches from tensors that lie on a device."""
        return Resident(self, device)


class Resident:
    """The minibatches of `Minibatches` with their order and places on a device, where `next` moves them on.

    `renew` first says how many steps may follow without the host; `taken` counts them there afterwards.
    """

    def __init__(self, minibatches: Minibatches, device: torch.device) -> None:
        self._host = minibatches
        self.order_KN = minibatches.order_KN.to(device, copy=True)
        self.position_K1 = torch.tensor(minibatches.positions, device=device)[:, None]
        self._offsets_B = torch.arange(minibatches.batch_size, device=device)
        self._seen = self._stand

    def next(self) -> Tensor:
        """Index [K, B] of the next minibatch; computed on the device alone."""
        index_KB = self.order_KN.gather(1, self.position_K1 + self._offsets_B)
        self.position_K1 += self._host.batch_size
        return index_KB

    def catch_up(self) -> None:
        """Stand where the host stands, which may have taken steps of its own meanwhile."""
        if self._seen != self._stand:
            self._copy(range(len(self._host.positions)))

    @property
    def _stand(self) -> tuple[int, ...]:
        """Where the host stands: a whole epoch later its places are the same again."""
        return self._host.epochs, *self._host.positions

    def renew(self) -> int:
        """Begin the epochs that are due; how many steps there are until the next one is."""
        host = self._host
        if ended := host.renew():
            self._copy(ended)
        return min((host.count - position) // host.batch_size for position in host.positions)

    def taken(self, steps: int) -> None:
        """Count on the host what `next` has moved on the device."""
        host = self._host
        host.positions[:] = [position + steps * host.batch_size for position in host.positions]
        self._seen = self._stand

    def _copy(self, members: Sequence[int]) -> None:
        """These members' order, and everyone's place, in the stream of the steps: after those before it."""
        order_KN, device = self._host.order_KN, self.order_KN.device
        positions_K1 = torch.tensor(self._host.positions)[:, None]
        whole = len(members) == len(order_KN)
        for own, given in [(self.order_KN, order_KN)] if whole else [(self.order_KN[k], order_KN[k]) for k in members]:
            own.copy_(_sendable(given, device), non_blocking=True)
        self.position_K1.copy_(_sendable(positions_K1, device), non_blocking=True)
        self._seen = self._stand


def _sendable(tensor: Tensor, device: torch.device) -> Tensor:
    """A pinned copy, for a GPU: torch takes its memory for nothing else until it was sent; the tensor may change."""
    return tensor.pin_memory() if device.type == "cuda" else tensor
