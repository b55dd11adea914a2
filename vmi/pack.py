"""A pack: K trials of one Architecture as one program with parameters [K, ...].

K = 1 is not special, and a member never depends on its pack-mates: it has its own initialisation, minibatch order and
noise from its own seed, the loss is summed over K, and nothing is clipped, scaled or checked across members.
Shapes: K member, B batch, Z all Normal dimensions, C all categories, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from vmi import networks
from vmi.anneal import geometric
from vmi.config import Architecture
from vmi.data import Minibatches, seeded
from vmi.datasets import spec_of
from vmi.distributions import gumbel_from_exponential
from vmi.factor import Factor
from vmi.latents import Layout, parse
from vmi.objective import Noise, Uses, Weights, uses_of, weights_of
from vmi.optim import MemberAdam
from vmi.penalties import importance_weights
from vmi.stacked import flat_buffers, flatten_parameters
from vmi.trial import Trial


class Pack:
    """Everything that training changes, for K members, and the trials that they are."""

    def __init__(
        self, trials: Sequence[Trial], device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.trials = tuple(trials)
        self.architecture = _one_architecture(trials)
        self.device, self.dtype = torch.device(device), dtype
        self.layout: Layout = parse(self.architecture.layout)
        self.step = 0
        self._build_networks()
        self._build_randomness()
        self.weights: Weights = weights_of(self._column)
        self.uses: Uses = uses_of([trial.config for trial in self.trials])
        self.tc_log_weights_KBB = self._tc_log_weights() if self.uses.tc else torch.empty(0)
        self.factor = self._factor() if self.uses.factor else None
        self.temperatures = (self._column("temperature"), self._column("temperature_final"))
        self.broken = Broken(self.size, self.device)

    @property
    def size(self) -> int:
        """K, the number of members still here."""
        return len(self.trials)

    def _build_networks(self) -> None:
        """Initialise on the CPU, so that a seed gives the same start on every device."""
        initial = [seeded(trial.config.seed, "initialise") for trial in self.trials]
        self.encoder = networks.encoder(self.architecture, initial, self.dtype).to(self.device)
        self.decoder = networks.Decoder(self.architecture, initial, self.dtype).to(self.device)
        self.auxiliary = networks.auxiliary(self.architecture, initial, self.dtype).to(self.device)
        rates = [trial.config.learning_rate for trial in self.trials]
        # Two buffers: Q's update between the phases must not touch what the encoder's and decoder's backward needs.
        self.vae_adam = MemberAdam(flatten_parameters([self.encoder, self.decoder]), rates)
        self.q_adam = MemberAdam(flatten_parameters([self.auxiliary]), rates)
        self.vae_parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.q_parameters = [*self.auxiliary.parameters()]

    def _build_randomness(self) -> None:
        seeds = [trial.config.seed for trial in self.trials]
        count, batch = spec_of(self.architecture.dataset).train_count, self.architecture.batch_size
        self.minibatches = Minibatches(count, batch, [seeded(seed, "order") for seed in seeds])
        self.noise_generators: list[Generator] = [seeded(seed, "noise", self.device) for seed in seeds]
        self.prior_generators: list[Generator] = [seeded(seed, "prior", self.device) for seed in seeds]

    def _column(self, field: str) -> Tensor:
        values = [getattr(trial.config, field) for trial in self.trials]
        return torch.tensor(values, dtype=self.dtype, device=self.device)

    def _tc_log_weights(self) -> Tensor:
        """log weights [K, B, B] of each member's estimator of the total correlation."""
        batch, count = self.architecture.batch_size, self.minibatches.count
        of_member = [importance_weights(batch, count, t.config.tc_estimator == "stratified") for t in self.trials]
        return torch.stack(of_member).to(self.device, self.dtype)

    def _factor(self) -> Factor:
        """Initialised from streams of their own, so that every other number is as without it."""
        dimensions = sum(block.size for block in self.layout.normal)
        return Factor([trial.config for trial in self.trials], dimensions, self.device, self.dtype)

    def temperature_K(self, step: int | None = None) -> Tensor:
        """tau of every member at a step, by default the next one to be trained."""
        return geometric(self.step if step is None else step, self.architecture.steps, *self.temperatures)

    def noise(self) -> Noise:
        """The next noise of every member's codes, each from its own generator."""
        return draw_noise(self.layout, self.noise_generators, self.architecture.batch_size, self.dtype, self.device)

    def prior_noise(self) -> Noise:
        """The next noise of every member's prior codes: a stream of its own, so that the other is as without it."""
        return draw_noise(self.layout, self.prior_generators, self.architecture.batch_size, self.dtype, self.device)

    def train_mode(self, training: bool) -> None:
        for module in (self.encoder, self.decoder, self.auxiliary):
            module.train(training)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that training changes, [K, ...] each, by name: what a checkpoint holds and `keep` selects."""
        state = {
            "order": self.minibatches.order_KN,
            "broken_step": self.broken.step_K,
            "broken_term": self.broken.term_K,
        }
        state |= self.vae_adam.tensors("vae") | self.q_adam.tensors("q")
        state |= self.factor.tensors() if self.factor else {}
        buffers = flat_buffers([self.encoder, self.decoder, self.auxiliary])
        return state | {f"statistics_{i}": buffer for i, buffer in enumerate(buffers)}

    def generators(self) -> dict[str, list[Generator]]:
        """The generators that training advances, one per member."""
        own = {"order": self.minibatches.generators, "noise": self.noise_generators, "prior": self.prior_generators}
        return own | (self.factor.generators() if self.factor else {})

    def keep(self, members: Sequence[int]) -> Pack:
        """A pack of just these members (indices), at the same step and bitwise as they were."""
        return self.copied_into(Pack([self.trials[k] for k in members], self.device, self.dtype), members)

    def copied_into(self, other: Pack, members: Sequence[int]) -> Pack:
        """Copy the state of `members` into `other`, whose members they are; returns `other`."""
        index = torch.tensor(list(members), dtype=torch.int64)
        # What the other has: without the last member that is weighted on a term, that term's state is gone.
        ours, generators = self.tensors(), self.generators()
        for name, tensor in other.tensors().items():
            tensor.copy_(ours[name].index_select(0, index.to(ours[name].device)))
        for name, theirs in other.generators().items():
            for generator, member in zip(theirs, members, strict=True):
                generator.set_state(generators[name][member].get_state())
        other.step, other.minibatches.position = self.step, self.minibatches.position
        return other


class Broken:
    """The first step, and the term, at which each member's loss stopped being finite; watched without a host copy."""

    def __init__(self, members: int, device: torch.device) -> None:
        self.step_K = torch.full((members,), -1, dtype=torch.int64, device=device)
        self.term_K = torch.zeros(members, dtype=torch.int64, device=device)

    def watch(self, terms_TK: Tensor, step: int) -> None:
        """Note members whose terms are not finite now and were until now."""
        bad_TK = ~torch.isfinite(terms_TK)
        newly_K = bad_TK.any(0) & (self.step_K < 0)
        # argmax over 0/1 finds the first term that broke: terms come in the order in which they are computed.
        self.term_K.copy_(torch.where(newly_K, bad_TK.to(torch.int8).argmax(0), self.term_K))
        self.step_K.masked_fill_(newly_K, step)


def draw_noise(
    layout: Layout, generators: Sequence[Generator], batch: int, dtype: torch.dtype, device: torch.device
) -> Noise:
    """Standard Normal and Gumbel noise for every block, filled member by member."""
    normal = torch.empty(len(generators), batch, sum(b.size for b in layout.normal), dtype=dtype, device=device)
    exponential = torch.empty(
        len(generators), batch, sum(b.size for b in layout.categorical), dtype=dtype, device=device
    )
    for k, generator in enumerate(generators):
        if normal.shape[-1]:
            normal[k].normal_(generator=generator)
        if exponential.shape[-1]:
            exponential[k].exponential_(generator=generator)
    return Noise(normal, gumbel_from_exponential(exponential))


def _one_architecture(trials: Sequence[Trial]) -> Architecture:
    architectures = {trial.config.architecture for trial in trials}
    if len(architectures) != 1:
        raise ValueError(f"a pack holds trials of one Architecture, got {len(architectures)}")
    return architectures.pop()
