"""FactorVAE's term: the total correlation of the Normal dimensions by a discriminator's density ratio.

Kim & Mnih 2018 (arXiv 1802.05983). The discriminator D tells codes z ~ q(z) from codes whose dimensions were permuted
over the minibatch, each by itself, which are samples of prod_d q(z_d). It has two logits, and at its optimum
logit_1 - logit_2 = log D / (1 - D) = log q(z) / prod_d q(z_d), whose mean over q(z) is the total correlation:

    TC(z) ~ E_q(z) [logit_1(z) - logit_2(z)]                                              (their eq. 3), in nats
    D ascends 1/2 E log D(z) + 1/2 E log (1 - D(permuted z'))                             (their algorithm 2)

As theirs: the VAE descends through the discriminator as it stands, then the discriminator takes one step on the same
codes, by Adam with betas 0.5 and 0.9 and the VAE's own learning rate (1e-4 for both, there).
Unlike theirs: z' is z, the same minibatch (as in Google's disentanglement_lib, Locatello et al. 2019), which saves a
second pass through the encoder; the discriminator has three layers of 128 instead of six of 1000, which would cost more
than all else in a small trial. It has no batch normalisation, whose statistics would tell the two samples apart.
Shapes: K member, F member with a weight on the term, B batch, Z all Normal dimensions, 2 logits (a code, permuted).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import leaky_relu

from vmi.data.random_streams import Counted, seeded
from vmi.nn.layers import StackedLinear, flatten_parameters
from vmi.nn.ops import baddbmm, softplus
from vmi.nn.optim import LearningRate, MemberAdam
from vmi.objective.term import Forward, Members, Statistics, Term
from vmi.spec.config import DISCRIMINATOR, TrialConfig

BETAS = (0.5, 0.9)
NEGATIVE_SLOPE = 0.2


def density_ratio(logits_KB2: Tensor) -> Tensor:
    """E [logit_1 - logit_2] over codes, the estimate of the total correlation: [K]."""
    return (logits_KB2[..., 0] - logits_KB2[..., 1]).mean(-1)


def cross_entropy(of_codes_KB2: Tensor, of_permuted_KB2: Tensor) -> Tensor:
    """-1/2 E log D(z) - 1/2 E log (1 - D(permuted z)), D the softmax's first entry: [K]; ln 2 where D knows nothing."""
    codes_KB, permuted_KB = (x[..., 0] - x[..., 1] for x in (of_codes_KB2, of_permuted_KB2))
    return (softplus(-codes_KB).mean(-1) + softplus(permuted_KB).mean(-1)) / 2


def permuted(code_KBZ: Tensor, uniform_KBZ: Tensor) -> Tensor:
    """Every dimension of every member permuted over the minibatch by itself: by the ranks of its uniform noise."""
    return code_KBZ.gather(1, uniform_KBZ.argsort(dim=1))


class Discriminator(nn.Module):
    """Linear and LeakyReLU(0.2) for each hidden width, then one linear layer: [F, B, Z] -> [F, B, 2]."""

    def __init__(self, dimensions: int, generators: Sequence[Generator], dtype: torch.dtype) -> None:
        super().__init__()
        sizes = pairwise((dimensions, *DISCRIMINATOR))
        self.linears = nn.ModuleList([StackedLinear(i, o, generators, dtype) for i, o in sizes])

    def forward(self, code_FBZ: Tensor, members_F: Tensor) -> Tensor:
        """The logits of the codes of these members, each by its own discriminator."""
        x = code_FBZ
        for linear in self.linears:
            assert isinstance(linear, StackedLinear)
            x = x if linear is self.linears[0] else leaky_relu(x, NEGATIVE_SLOPE)
            x = baddbmm(linear.bias_K1O[members_F], x, linear.weight_KIO[members_F])
        return x


class FactorTotalCorrelation(Term):
    """Of all Normal blocks together, by a discriminator of each member's own."""

    weight = "factor_weight"

    def __init__(self, members: Members) -> None:
        super().__init__(members)
        dimensions = sum(block.size for block in members.layout.normal)
        self.factor = Factor(members.configs, dimensions, members.device, members.dtype, members.counted)

    def value(self, seen: Statistics) -> Tensor:
        _, code_KBZ = seen.forward.normal()
        return self.factor.total_correlation(code_KBZ)

    def learn(self, forward: Forward) -> None:
        self.factor.learn(forward.normal()[1])

    def tensors(self) -> dict[str, Tensor]:
        return self.factor.tensors()

    def generators(self) -> dict[str, list[Generator]]:
        return self.factor.generators()


class Factor:
    """A pack's discriminators with their optimiser and permutations.

    There is one for every member, so that members are kept and saved alike; those of members without a weight are
    never run and stay as they were initialised: from streams of their own, so that every other number is as without.
    """

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        dimensions: int,
        device: torch.device,
        dtype: torch.dtype,
        counted: Counted | None = None,
    ) -> None:
        weighted = [k for k, config in enumerate(configs) if config.factor_weight]
        self.members_F = torch.tensor(weighted, dtype=torch.int64, device=device)
        self._counted = counted
        self.permutation_generators: list[Generator] = []
        if counted is None:
            self.permutation_generators = [seeded(config.seed, "permutation", device) for config in configs]
        else:
            counted.ask("permutation", uniform=dimensions)
        self._weighted = weighted
        initial = [seeded(config.seed, "discriminator") for config in configs]
        self.discriminator = Discriminator(dimensions, initial, dtype).to(device)
        rates = [LearningRate.of(config) for config in configs]
        self.adam = MemberAdam(flatten_parameters([self.discriminator]), rates, BETAS)
        self.parameters = [*self.discriminator.parameters()]

    def total_correlation(self, code_KBZ: Tensor) -> Tensor:
        """The estimate for each member, 0 for those without a weight, as a function of the codes: [K]."""
        estimate_F = density_ratio(self.discriminator(code_KBZ[self.members_F], self.members_F))
        return estimate_F.new_zeros(len(code_KBZ)).index_copy(0, self.members_F, estimate_F)

    def learn(self, code_KBZ: Tensor) -> Tensor:
        """One step of every weighted member's discriminator on its codes, not into them; its cross-entropies [F]."""
        code_FBZ = code_KBZ.detach()[self.members_F]
        both_FBZ = torch.cat([code_FBZ, permuted(code_FBZ, self._uniform(code_FBZ))], dim=1)
        loss_F = cross_entropy(*self.discriminator(both_FBZ, self.members_F).chunk(2, dim=1))
        self.adam.step(torch.autograd.grad(loss_F.sum(), self.parameters))
        return loss_F.detach()

    def tensors(self) -> dict[str, Tensor]:
        """What training changes, [K, ...] each, by name."""
        return self.adam.tensors("discriminator")

    def generators(self) -> dict[str, list[Generator]]:
        return {} if self._counted else {"permutation": self.permutation_generators}

    def _uniform(self, code_FBZ: Tensor) -> Tensor:
        if self._counted:
            return self._counted.draw("permutation").uniform_KBU[self.members_F]
        noise_FBZ = torch.empty_like(code_FBZ)
        for noise_BZ, k in zip(noise_FBZ, self._weighted, strict=True):
            noise_BZ.uniform_(generator=self.permutation_generators[k])
        return noise_FBZ
