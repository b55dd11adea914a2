"""What the code costs: beta(step) rate + gamma sum_kind |rate_kind - C_kind(step)|, in nats per image.

rate = E KL(q(z,c|x) || p(z,c)). VAE: beta 1. beta-VAE: beta. Annealing (Bowman et al. 2016): beta(step). Controlled
capacity (Burgess et al. 2018) and JointVAE (Dupont 2018): beta 0, gamma, C(step), one C for each kind of block.
Shapes: K member.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vmi.objective.annealing import capacity, ramp
from vmi.objective.term import Members, Statistics, Term


class Rate(Term):
    """The rate and the capacities, which are penalties of the same sums."""

    weight = "kl_weight"
    always = True

    def __init__(self, members: Members) -> None:
        super().__init__(members)
        self.anneal_steps_K = members.column("kl_anneal_steps")
        self.capacity_weight_K = members.column("capacity_weight")
        self.capacity_steps_K = members.column("capacity_steps")
        self.targets = (
            (False, members.column("capacity_normal_nats")),
            (True, members.column("capacity_categorical_nats")),
        )

    def weighted(self, seen: Statistics) -> Tensor:
        zero_K = torch.zeros_like(self.weight_K)
        total_K = self.weight_K * ramp(seen.step_K, self.anneal_steps_K) * sum(seen.rates.values(), zero_K)
        reached_K = ramp(seen.step_K, self.capacity_steps_K)
        for categorical, target_K in self.targets:
            of_kind = [seen.rates[b.name] for b in seen.forward.blocks if b.is_categorical == categorical]
            if of_kind:
                distance_K = capacity(sum(of_kind, zero_K), reached_K * target_K)
                total_K = total_K + self.capacity_weight_K * distance_K
        return total_K
