"""TrialConfig (all that decides a trial's numbers) and Architecture (what trials must share to be fused).

A configuration is flat: each field is one typed column of the `trials` table. Defaults come from the data set, the
network and the preset; what the user gives overrides them but may not contradict what a preset sets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

from vmi.spec.datasets import DATASETS, spec_of
from vmi.spec.fields import Field, Memory, Range, declared, records
from vmi.spec.presets import PRESETS
from vmi.spec.rules import MAX_SEED as MAX_SEED
from vmi.spec.rules import parse_hidden

# Raised when the same configuration would give other numbers, so that trials stored before are not reused.
SEMANTICS = 3

_WEIGHT = Range(0, 1e6)
_NATS = Range(0, 1e4)
_STEPS = Range(0, 1e9)
# Widths of FactorVAE's discriminator: three hidden layers and two logits.
DISCRIMINATOR = (128, 128, 128, 2)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What trials must share to be trained as one program: shapes, likelihood, order of phases, steps, precision."""

    dataset: str
    layout: str
    network: str
    hidden: str
    likelihood: str
    phase_order: str
    batch_size: int
    steps: int
    precision: str = "float32"

    @property
    def widths(self) -> tuple[int, ...]:
        return parse_hidden(self.hidden)


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One trial. The weights are rows of one objective (`vmi.objective`), so a pack can hold any of them side by side.

    Each field is declared here and nowhere else: type, default, and a record (`vmi.spec.fields.Field`) of its meaning,
    range, symbol and label, of what a weight needs of the layout and of what it costs in memory.
    """

    dataset: str = declared(
        "digits", "the images, with their fixed split", choices=tuple(DATASETS), symbol="data set", label="data set"
    )
    layout: str = declared(
        "n16+c10*",
        "the blocks of the code; a `*` marks a block whose mutual information is maximised and bounded",
        label="latent layout",
    )
    preset: str = declared(
        "custom", "a named row of weights; what it sets may not be contradicted", choices=tuple(PRESETS)
    )
    network: str = declared(
        "mlp", "fully connected, or convolutions of 4 x 4 with stride 2 and one linear layer", choices=("mlp", "conv")
    )
    hidden: str = declared(
        "128-64", "widths of the encoder (`256-128`); the decoder mirrors them. With `conv`: channels, the last a width"
    )
    likelihood: str = declared("gaussian", "of the pixels, which are in [0, 1]", choices=("gaussian", "bernoulli"))
    likelihood_variance: float = declared(
        0.04, "sigma^2 of the Gaussian likelihood, or 'auto': from the pixels; `bernoulli` has none",
        range=Range(0, 1e3, open_low=True), symbol="σ²", label="likelihood variance σ²",
    )  # fmt: skip
    phase_order: str = declared(
        "q_first", "`q_first` as in the paper, or `vae_first` on a forward pass of its own, as in its authors' code",
        choices=("q_first", "vae_first"),
    )  # fmt: skip
    mi_weight: float = declared(
        4.0, "lambda, the weight of the MI bound of informed blocks", range=_WEIGHT, symbol="λ",
        label="MI weight λ", informed=True, uses_code=True,
    )  # fmt: skip
    mi_weight_normal: float = declared(
        4.0,
        "lambda of informed Normal blocks; follows `mi_weight` where it is not given",
        range=_WEIGHT,
        follows="mi_weight",
        informed=True,
        uses_code=True,
    )
    entropy_weight: float = declared(
        1.0,
        "eta, the weight of the code's estimated entropy in the MI bound; 0 is the paper's objective",
        range=Range(0, 1e3),
        symbol="η",
        label="entropy weight η",
    )
    kl_weight: float = declared(1.0, "beta, the weight of the rate", range=_WEIGHT, symbol="β", label="KL weight β")
    kl_anneal_steps: int = declared(
        0, "steps over which beta grows linearly from 0; 0: beta from the start", range=_STEPS, uses_code=True
    )
    capacity_weight: float = declared(
        0.0, "gamma, the weight of |rate - C|, for Normal and categorical blocks apart", range=_WEIGHT, uses_code=True
    )
    capacity_normal_nats: float = declared(0.0, "C of the Normal blocks", range=_NATS, unit="nats/image")
    capacity_categorical_nats: float = declared(
        0.0, "C of the categorical blocks, at most the sum of their ln k", range=_NATS, unit="nats/image"
    )
    capacity_steps: int = declared(0, "steps over which C grows linearly from 0", range=_STEPS)
    tc_weight: float = declared(
        0.0, "of the total correlation of the Normal dimensions, estimated from minibatches", range=_WEIGHT, normal=1,
        memory=Memory(pairs=4), uses_code=True,
    )  # fmt: skip
    tc_estimator: str = declared(
        "weighted", "how minibatches weigh in that estimate", choices=("weighted", "stratified")
    )
    factor_weight: float = declared(
        0.0, "of the total correlation estimated by a discriminator (FactorVAE's gamma)", range=_WEIGHT, before=0.0,
        normal=2, why="one Normal dimension has no total correlation: it takes two",
        memory=Memory(network=DISCRIMINATOR), uses_code=True,
    )  # fmt: skip
    mmd_weight: float = declared(
        0.0, "of the maximum mean discrepancy between aggregate posterior and prior, Normal dimensions",
        range=_WEIGHT, normal=1, memory=Memory(pairs=9), uses_code=True,
    )  # fmt: skip
    generator_mi_weight: float = declared(
        0.0, "of E log Q(code|x) on images generated from prior codes (InfoGAN's term)", range=_WEIGHT,
        informed=True, memory=Memory(images=6, passes=1), uses_code=True,
    )  # fmt: skip
    view_strength: float = declared(
        0.0, "of the random affine views that the encoder sees; 0: the image itself",
        range=Range(0, 5), before=0.0, memory=Memory(images=8),
    )  # fmt: skip
    view_target_strength: float = declared(
        0.0, "of the views that the decoder is to rebuild, drawn apart; 0: the image itself",
        range=Range(0, 5), before=0.0, memory=Memory(images=8),
    )  # fmt: skip
    view_mi_weight: float = declared(
        0.0, "of the cross-view MI: what the code says of an image and of a view of it (`vmi.objective.cross_view`)",
        range=_WEIGHT, before=0.0, informed_categorical=True, memory=Memory(images=8, passes=1), uses_code=True,
    )  # fmt: skip
    view_kl_weight: float = declared(
        0.0, "of E KL(q(c|x) || q(c|view)), the first without a gradient (IMSAT's self-augmentation)",
        range=_WEIGHT, before=0.0, informed_categorical=True, memory=Memory(images=8, passes=1), uses_code=True,
    )  # fmt: skip
    view_pair_mi_weight: float = declared(
        0.0, "of the MI of the codes of image and view by their joint (IIC)",
        range=_WEIGHT, before=0.0, informed_categorical=True, memory=Memory(images=8, passes=1), uses_code=True,
    )  # fmt: skip
    view_pair_strength: float = declared(
        1.0, "of the random view that the code is compared with", range=Range(0, 5), before=1.0
    )
    view_angle: float = declared(
        15.0, "largest turn of a view at strength 1", range=Range(0, 180), unit="degrees", before=15.0
    )
    view_log_scale: float = declared(
        0.1, "largest log of how much larger or smaller a view is, at strength 1", range=Range(0, 1), before=0.1
    )
    view_shear: float = declared(0.2, "largest slant of a view at strength 1", range=Range(0, 1), before=0.2)
    view_shift: float = declared(
        1 / 7, "largest shift of a view at strength 1, of half the image's side", range=Range(0, 1), before=1 / 7
    )
    view_flip: float = declared(0.0, "how often a view is mirrored, left for right", range=Range(0, 1), before=0.0)
    view_crop: float = declared(
        0.0, "largest part of each side that a view cuts away at strength 1", range=Range(0, 0.9), before=0.0
    )
    view_elastic: float = declared(
        0.0, "how far a view bends at strength 1, of half the image's side", range=Range(0, 1), before=0.0
    )
    encoder_mi_weight: float = declared(
        0.0, "of eta_m H(m) - E H(q(c|x)), the encoder's own information", range=_WEIGHT, before=0.0,
        informed_categorical=True, memory=Memory(), uses_code=True,
    )  # fmt: skip
    encoder_entropy_weight: float = declared(1.0, "eta_m, of H(m) within it", range=Range(0, 1e3), before=1.0)
    temperature: float = declared(
        0.5, "tau of the Gumbel-softmax at the first step", range=Range(0, 1e3, open_low=True),
        symbol="τ", label="Gumbel-softmax temperature τ",
    )  # fmt: skip
    temperature_final: float = declared(
        0.5, "tau at the last step, reached geometrically; follows `temperature` where it is not given",
        range=Range(0, 1e3, open_low=True),
        follows="temperature", symbol="final τ", label="final Gumbel-softmax temperature τ",
    )  # fmt: skip
    learning_rate: float = declared(
        1e-3, "of Adam, for encoder, decoder and Q", range=Range(0, 10, open_low=True), symbol="learning rate"
    )
    learning_rate_decay: float = declared(
        1.0, "the learning rate at the last step as a share of the first, reached geometrically; 1: constant",
        range=Range(0, 1, open_low=True), before=1.0, label="learning rate, last over first",
    )  # fmt: skip
    batch_size: int = declared(
        128, "images of a step", range=Range(2, 1e6), symbol="batch size", label="batch size (images)"
    )
    steps: int = declared(1000, "training steps", range=Range(1, 1e9), label="training steps")
    precision: str = declared(
        "float32", "of the networks' products; parameters and all else stay float32", before="float32",
        choices=("float32", "bfloat16"),
    )  # fmt: skip
    seed: int = declared(0, "of initial weights, minibatches and noise", range=Range(0, MAX_SEED))

    @property
    def architecture(self) -> Architecture:
        return Architecture(**{f.name: getattr(self, f.name) for f in fields(Architecture)})

    @property
    def trial_id(self) -> str:
        """16 hexadecimal digits of SHA-256 over everything that decides the numbers (the preset's name does not)."""
        return self._hash(without={"preset"})

    @property
    def suggestion_id(self) -> str:
        """As `trial_id`, without the seed: replicates share it."""
        return self._hash(without={"preset", "seed"})

    def _hash(self, without: set[str]) -> str:
        content = {k: v for k, v in vars(self).items() if k not in without and ADDED.get(k) != v}
        content |= {"data_fingerprint": spec_of(self.dataset).fingerprint, "semantics": SEMANTICS}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


FIELDS: Mapping[str, Field] = records(TrialConfig)
# Fields that are newer than the first stored trials, and the value with which trials are what they were before: at that
# value a field is no part of the hash, so that no stored trial changes its name.
ADDED: Mapping[str, float | str] = {name: f.before for name, f in FIELDS.items() if f.before is not None}
# What of a trial's weights makes a step dearer without being part of its Architecture.
COSTLY = tuple(name for name, f in FIELDS.items() if f.memory)
FIELD_TYPES: Mapping[str, type] = {
    f.name: {"str": str, "int": int, "float": float}[str(f.type)] for f in fields(TrialConfig)
}
