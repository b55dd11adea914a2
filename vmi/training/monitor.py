"""What is noted of every member at every step without a copy to the host: where it broke, and the means it reports.

Shapes: K member, T terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Broken:
    """The first step, and the term, at which each member's loss stopped being finite."""

    def __init__(self, members: int, device: torch.device) -> None:
        self.step_K = torch.full((members,), -1, dtype=torch.int64, device=device)
        self.term_K = torch.zeros(members, dtype=torch.int64, device=device)

    def watch(self, terms_TK: Tensor, step_K: Tensor) -> None:
        """Note members whose terms are not finite now, at their own step, and were until now."""
        bad_TK = ~torch.isfinite(terms_TK)
        newly_K = bad_TK.any(0) & (self.step_K < 0)
        # argmax over 0/1 finds the first term that broke: terms come in the order in which they are computed.
        self.term_K.copy_(torch.where(newly_K, bad_TK.to(torch.int8).argmax(0), self.term_K))
        self.step_K.copy_(torch.where(newly_K, step_K, self.step_K))


class Window:
    """Sums of each member's terms since its own last report, and over how many steps."""

    def __init__(self, members: int, names: Sequence[str], dtype: torch.dtype, device: torch.device) -> None:
        self.names = tuple(names)
        # -0.0 and not 0.0: adding a number to it gives that number in all its bits, -0.0 too.
        self.sum_KT = torch.full((members, len(self.names)), -0.0, dtype=dtype, device=device)
        self.counts = [0] * members

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add one step's terms, [K] each, which come under `names` and in their order."""
        self.sum_KT += torch.stack(list(terms.values()), dim=1)
        self.counts[:] = [count + 1 for count in self.counts]

    def close(self, members: Sequence[int]) -> list[dict[str, float]]:
        """The means of these members by name, in one copy to the host; their windows start anew."""
        index = torch.tensor(list(members), dtype=torch.int64, device=self.sum_KT.device)
        count_K1 = torch.tensor([[self.counts[k]] for k in members], dtype=self.sum_KT.dtype)
        means_KT = self.sum_KT[index].cpu() / count_K1
        self.sum_KT.index_fill_(0, index, -0.0)
        for k in members:
            self.counts[k] = 0
        return [dict(zip(self.names, means, strict=True)) for means in means_KT.tolist()]
