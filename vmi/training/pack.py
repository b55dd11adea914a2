"""A pack: K trials of one Architecture as one program with parameters [K, ...].

K = 1 is not special, and a member never depends on its pack-mates: it has its own initialisation, minibatch order and
noise from its own seed, the loss is summed over K, and nothing is clipped, scaled or checked across members. Its step
is its own too: a member may join a pack that is under way, and leave it, and is bitwise what it is in a pack of one.
Shapes: K member, B batch, Z all Normal dimensions, C all categories, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from vmi.data.augmentation import MORE_PARAMETERS, PARAMETERS, Ranges, drawn, view
from vmi.data.minibatches import Minibatches
from vmi.data.random_streams import Counted, by_counter, seeded
from vmi.nn import networks
from vmi.nn.layers import flat_buffers, flatten_parameters, lower_precision
from vmi.nn.optim import LearningRate, MemberAdam
from vmi.objective.annealing import geometric
from vmi.objective.codes import Noise, draw_noise, noise_of
from vmi.objective.term import Members
from vmi.objective.weighted_sum import term_names, terms_of
from vmi.spec.config import Architecture
from vmi.spec.datasets import spec_of
from vmi.spec.layout import Layout, parse
from vmi.spec.trial import Trial
from vmi.training.monitor import Broken, Window


class Pack:
    """Everything that training changes, for K members, and the trials that they are."""

    def __init__(
        self,
        trials: Sequence[Trial],
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        given: int = 0,
    ) -> None:
        """`given`: whoever makes the pack copies the state of so many first members into it; no network is drawn."""
        self.trials = tuple(trials)
        self.architecture = _one_architecture(trials)
        self.device, self.dtype = torch.device(device), dtype
        self.layout: Layout = parse(self.architecture.layout)
        # The same numbers twice: on the host they decide what is due, on the device they are computed with.
        self.steps = [0] * self.size
        self.step_K = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        self._build_networks(given)
        self._build_randomness()
        configs = [trial.config for trial in self.trials]
        members = Members(configs, self.layout, self.minibatches.count, self.device, dtype, self.counted)
        self.terms = terms_of(members)
        self.variance_K = members.column("likelihood_variance")
        self.temperatures = (members.column("temperature"), members.column("temperature_final"))
        self.view_strengths = (members.column("view_strength"), members.column("view_target_strength"))
        self.pair_strength_K = members.column("view_pair_strength")
        self.view_ranges = Ranges.of(configs, dtype, self.device)
        self.has_views = any(config.view_strength for config in configs)
        self.has_target_views = any(config.view_target_strength for config in configs)
        self.broken = Broken(self.size, self.device)
        self.window = Window(self.size, term_names(self.layout), dtype, self.device)
        if self.counted:
            self._ask(self.counted)

    @property
    def size(self) -> int:
        """K, the number of members still here."""
        return len(self.trials)

    def _build_networks(self, given: int) -> None:
        """Initialise on the CPU, so that a seed gives the same start on every device."""
        fresh = [seeded(trial.config.seed, "initialise") for trial in self.trials[given:]]
        initial = [*[None] * given, *fresh]
        self.encoder = networks.encoder(self.architecture, initial, self.dtype).to(self.device)
        self.decoder = networks.Decoder(self.architecture, initial, self.dtype).to(self.device)
        self.auxiliary = networks.auxiliary(self.architecture, initial, self.dtype).to(self.device)
        lower_precision([self.encoder, self.decoder, self.auxiliary], self.architecture.precision)
        rates = [LearningRate.of(trial.config) for trial in self.trials]
        # Two buffers: Q's update between the phases must not touch what the encoder's and decoder's backward needs.
        self.vae_adam = MemberAdam(flatten_parameters([self.encoder, self.decoder]), rates)
        self.q_adam = MemberAdam(flatten_parameters([self.auxiliary]), rates)
        self.vae_parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.q_parameters = [*self.auxiliary.parameters()]

    def _build_randomness(self) -> None:
        seeds = [trial.config.seed for trial in self.trials]
        count, batch = spec_of(self.architecture.dataset).train_count, self.architecture.batch_size
        self.minibatches = Minibatches(count, batch, [seeded(seed, "order") for seed in seeds])
        self.counted = Counted(seeds, self.step_K, batch, self.dtype) if by_counter(self.device) else None
        # Views are of what the encoder sees, what the decoder rebuilds, and what the code is compared with: its place,
        # its form.
        views = [f"{name}{part}" for name in ("view", "target", "pair") for part in ("", " form")]
        self._drawn_from: dict[str, list[Generator]] = {
            name: [] if self.counted else [seeded(seed, name, self.device) for seed in seeds]
            for name in ("noise", "prior", *views)
        }

    def _ask(self, counted: Counted) -> None:
        """Tell the counter what a step draws, beside what terms draw themselves."""
        normal, categories = (sum(b.size for b in blocks) for blocks in (self.layout.normal, self.layout.categorical))
        # VAE first: Q has a forward pass of its own.
        calls = 1 if self.architecture.phase_order == "q_first" else 2
        for name in ("noise", "prior") if self.needs_prior else ("noise",):
            counted.ask(name, normal, categories, calls)
        for name in self.views_drawn:
            counted.ask(name, uniform=MORE_PARAMETERS if name.endswith(" form") else PARAMETERS)
        counted.lay_out()

    @property
    def needs_prior(self) -> bool:
        """Whether a step draws codes from the prior."""
        return any(term.prior for term in self.terms)

    @property
    def needs_pair(self) -> bool:
        """Whether a step encodes another view of each image."""
        return any(term.paired for term in self.terms)

    @property
    def views_drawn(self) -> list[str]:
        """The streams of views that a step draws from."""
        drawn = {"view": self.has_views, "target": self.has_target_views, "pair": self.needs_pair}
        parts = ("", " form") if self.view_ranges.more[0] else ("",)
        return [f"{name}{part}" for name, is_drawn in drawn.items() if is_drawn for part in parts]

    @property
    def needs_generated(self) -> bool:
        """Whether a step decodes codes of the prior."""
        return any(term.generated for term in self.terms)

    def temperature_K(self, step_K: Tensor | None = None) -> Tensor:
        """tau of every member at a step of its own, by default the next one to be trained."""
        return geometric(self.step_K if step_K is None else step_K, self.architecture.steps, *self.temperatures)

    def advance(self) -> None:
        """Every member has been trained one step more."""
        self.steps[:] = [step + 1 for step in self.steps]
        self.step_K += 1
        if self.counted:
            self.counted.forget()

    def noise(self) -> Noise:
        """The next noise of every member's codes, each from its own stream."""
        return self._noise("noise")

    def prior_noise(self) -> Noise:
        """The next noise of every member's prior codes: a stream of its own, so that the other is as without it."""
        return self._noise("prior")

    def _noise(self, name: str) -> Noise:
        if self.counted:
            return noise_of(*self.counted.draw(name))
        return draw_noise(self.layout, self._drawn_from[name], self.architecture.batch_size, self.dtype, self.device)

    def seen(self, images_KBD: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoders see of a minibatch and what the decoders are to rebuild: views where a member has any."""
        strength_K, target_K = self.view_strengths
        inputs_KBD = self._view("view", images_KBD, strength_K) if self.has_views else images_KBD
        return inputs_KBD, self._view("target", images_KBD, target_K) if self.has_target_views else images_KBD

    def paired(self, images_KBD: Tensor) -> Tensor:
        """Another view of every image of a minibatch, [K, B, D], with which the code is compared."""
        return self._view("pair", images_KBD, self.pair_strength_K)

    def _view(self, name: str, images_KBD: Tensor, strength_K: Tensor) -> Tensor:
        shape = spec_of(self.architecture.dataset).shape
        numbers = self._uniform(name, PARAMETERS, images_KBD)
        more = self._uniform(f"{name} form", MORE_PARAMETERS, images_KBD) if self.view_ranges.more[0] else None
        return view(images_KBD, shape, strength_K, self.view_ranges, numbers, more)

    def _uniform(self, name: str, count: int, images_KBD: Tensor) -> Tensor:
        if self.counted:
            return self.counted.draw(name).uniform_KBU * 2 - 1
        return drawn(images_KBD, count, self._drawn_from[name])

    def standing(self) -> dict[str, int]:
        """How many steps each member has been trained, by trial."""
        return {trial.trial_id: step for trial, step in zip(self.trials, self.steps, strict=True)}

    def train_mode(self, training: bool) -> None:
        for module in (self.encoder, self.decoder, self.auxiliary):
            module.train(training)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that training changes, [K, ...] each, by name: what a checkpoint holds and `keep` selects."""
        state = {
            "step": self.step_K,
            "window": self.window.sum_KT,
            "order": self.minibatches.order_KN,
            "broken_step": self.broken.step_K,
            "broken_term": self.broken.term_K,
        }
        state |= self.vae_adam.tensors("vae") | self.q_adam.tensors("q")
        for term in self.terms:
            state |= term.tensors()
        buffers = flat_buffers([self.encoder, self.decoder, self.auxiliary])
        return state | {f"statistics_{i}": buffer for i, buffer in enumerate(buffers)}

    def generators(self) -> dict[str, list[Generator]]:
        """The generators that training advances, one per member; where steps draw from a counter, the order's alone."""
        own = {"order": self.minibatches.generators}
        if self.counted is None:
            own |= {name: self._drawn_from[name] for name in ("noise", "prior", "view", "target", *self.views_drawn)}
        for term in self.terms:
            own |= term.generators()
        return own

    def counters(self) -> dict[str, list[int]]:
        """The counts that training advances on the host, one per member."""
        return {"steps": self.steps, "positions": self.minibatches.positions, "reported": self.window.counts}

    def keep(self, members: Sequence[int]) -> Pack:
        """A pack of just these members (indices), at their steps and bitwise as they were."""
        return self.renewed(members)

    def admit(self, trials: Sequence[Trial]) -> Pack:
        """A pack of all members, bitwise as they were, and of these trials (of the same Architecture) at step 0."""
        return self.renewed(range(self.size), trials)

    def renewed(self, members: Sequence[int], trials: Sequence[Trial] = ()) -> Pack:
        """A pack of these members (indices), bitwise as they were, followed by these trials at step 0."""
        stay = [self.trials[k] for k in members]
        return self.copied_into(Pack([*stay, *trials], self.device, self.dtype, given=len(stay)), members)

    def copied_into(self, other: Pack, members: Sequence[int]) -> Pack:
        """Copy the state of `members` into `other`, whose first members they are; returns `other`."""
        index, count = torch.tensor(list(members), dtype=torch.int64), len(members)
        ours, own, counts = self.tensors(), self.generators(), self.counters()
        # What both have: the state of a term that only some members are weighted on comes and goes with them.
        for name, tensor in ((n, t) for n, t in other.tensors().items() if n in ours):
            tensor[:count].copy_(ours[name].index_select(0, index.to(ours[name].device)))
        for name, theirs in ((n, g) for n, g in other.generators().items() if n in own):
            for k, member in enumerate(members):
                theirs[k].set_state(own[name][member].get_state())
        for name, counter in other.counters().items():
            counter[:count] = [counts[name][member] for member in members]
        return other


def _one_architecture(trials: Sequence[Trial]) -> Architecture:
    architectures = {trial.config.architecture for trial in trials}
    if len(architectures) != 1:
        raise ValueError(f"a pack holds trials of one Architecture, got {len(architectures)}")
    return architectures.pop()
