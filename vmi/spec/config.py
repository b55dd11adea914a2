"""TrialConfig (all that decides a trial's numbers) and Architecture (what trials must share to be fused).

A configuration is flat: each field is one typed column of the `trials` table. Defaults come from the data set, the
network and the preset; what the user gives overrides them but may not contradict what a preset sets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from vmi.spec import rules
from vmi.spec.datasets import DATASETS, spec_of
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.spec.presets import NETWORK_DEFAULTS, PRESETS, Preset
from vmi.spec.rules import MAX_SEED as MAX_SEED
from vmi.spec.rules import RANGES as RANGES
from vmi.spec.rules import parse_hidden

# Raised when the same configuration would give other numbers, so that trials stored before are not reused.
SEMANTICS = 3

# Fields that are newer than the first stored trials, and the value with which trials are what they were before: at that
# value a field is no part of the hash, so that no stored trial changes its name.
ADDED: Mapping[str, float | str] = {
    "factor_weight": 0.0,
    "view_strength": 0.0,
    "view_target_strength": 0.0,
    "precision": "float32",
}


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

    Attributes:
        dataset: the images, with their fixed split
        layout: the blocks of the code; a `*` marks a block whose mutual information is maximised and bounded
        preset: a named row of weights; what it sets may not be contradicted
        network: fully connected, or convolutions of 4 x 4 with stride 2 and one linear layer
        hidden: widths of the encoder (`256-128`); the decoder mirrors them. With `conv`: channels, the last a width
        likelihood: of the pixels, which are in [0, 1]
        likelihood_variance: sigma^2 of the Gaussian likelihood; `bernoulli` has none
        phase_order: `q_first` as in the paper, or `vae_first` on a forward pass of its own, as in its authors' code
        mi_weight: lambda, the weight of the MI bound of informed blocks
        mi_weight_normal: lambda of informed Normal blocks; follows `mi_weight` where it is not given
        entropy_weight: eta, the weight of the code's estimated entropy in the MI bound; 0 is the paper's objective
        kl_weight: beta, the weight of the rate
        kl_anneal_steps: steps over which beta grows linearly from 0; 0: beta from the start
        capacity_weight: gamma, the weight of |rate - C|, for Normal and categorical blocks apart
        capacity_normal_nats: C of the Normal blocks
        capacity_categorical_nats: C of the categorical blocks, at most the sum of their ln k
        capacity_steps: steps over which C grows linearly from 0
        tc_weight: of the total correlation of the Normal dimensions, estimated from minibatches
        tc_estimator: how minibatches weigh in that estimate
        factor_weight: of the total correlation estimated by a discriminator (FactorVAE's gamma)
        mmd_weight: of the maximum mean discrepancy between aggregate posterior and prior, Normal dimensions
        generator_mi_weight: of E log Q(code|x) on images generated from prior codes (InfoGAN's term)
        view_strength: of the random affine views that the encoder sees; 0: the image itself
        view_target_strength: of the views that the decoder is to rebuild, drawn apart; 0: the image itself
        temperature: tau of the Gumbel-softmax at the first step
        temperature_final: tau at the last step, reached geometrically; follows `temperature` where it is not given
        learning_rate: of Adam, for encoder, decoder and Q
        batch_size: images of a step
        steps: training steps
        precision: of the networks' products; parameters and all else stay float32
        seed: of initial weights, minibatches and noise
    """

    dataset: str = "digits"
    layout: str = "n16+c10*"
    preset: str = "custom"
    network: str = "mlp"
    hidden: str = "128-64"
    likelihood: str = "gaussian"
    likelihood_variance: float = 0.04
    phase_order: str = "q_first"
    mi_weight: float = 4.0
    mi_weight_normal: float = 4.0
    entropy_weight: float = 1.0
    kl_weight: float = 1.0
    kl_anneal_steps: int = 0
    capacity_weight: float = 0.0
    capacity_normal_nats: float = 0.0
    capacity_categorical_nats: float = 0.0
    capacity_steps: int = 0
    tc_weight: float = 0.0
    tc_estimator: str = "weighted"
    factor_weight: float = 0.0
    mmd_weight: float = 0.0
    generator_mi_weight: float = 0.0
    view_strength: float = 0.0
    view_target_strength: float = 0.0
    temperature: float = 0.5
    temperature_final: float = 0.5
    learning_rate: float = 1e-3
    batch_size: int = 128
    steps: int = 1000
    precision: str = "float32"
    seed: int = 0

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


FIELD_TYPES: Mapping[str, type] = {
    f.name: {"str": str, "int": int, "float": float}[str(f.type)] for f in fields(TrialConfig)
}
_KINDS = {str: "a string", int: "a whole number", float: "a number"}
# A field that is not given follows another one.
_FOLLOWS = {"temperature_final": "temperature", "mi_weight_normal": "mi_weight"}


def resolve(given: Mapping[str, Any], where: str = "") -> TrialConfig:
    """A full, validated configuration from the fields given. Raises InputError with every bad field."""
    problems = [
        Problem(name, given[name], "no such field", did_you_mean(name, FIELD_TYPES) or one_of(list(FIELD_TYPES)))
        for name in given
        if name not in FIELD_TYPES
    ]
    typed: dict[str, Any] = {}
    for name in (n for n in given if n in FIELD_TYPES):
        value, problem = coerce(name, given[name])
        typed[name] = value
        problems += [problem] if problem else []
    problems += _contradictions(typed)
    if problems:
        raise InputError([*problems, *rules.problems(typed, tuple(PRESETS), complete=False)], where)
    config = TrialConfig(**_with_defaults(typed))
    problems += rules.problems(vars(config), tuple(PRESETS), complete=True)
    if problems:
        raise InputError(problems, where)
    return config


def coerce(name: str, value: Any) -> tuple[Any, Problem | None]:
    """The value in the field's type: 4 becomes 4.0 for a float field; nothing else is converted."""
    wanted = FIELD_TYPES[name]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None, Problem(name, value, _kind(name))
    if wanted is float and isinstance(value, int):
        return (float(value), None) if abs(value) < 2**53 else (None, Problem(name, value, str(RANGES[name])))
    if not isinstance(value, wanted):
        return None, Problem(name, value, _kind(name))
    # -0.0 and 0.0 are one configuration and must have one hash.
    return (float(value) + 0.0 if wanted is float else value), None


def _kind(name: str) -> str:
    """What a value of the field has to be: "a whole number from 1 to 1e+09"."""
    kind = _KINDS[FIELD_TYPES[name]]
    return f"{kind} {RANGES[name]}" if name in RANGES else kind


def field_problems(name: str, value: Any) -> list[Problem]:
    """What is wrong with this value of the TrialConfig field `name`, whatever the other fields are."""
    typed, problem = coerce(name, value)
    return [problem] if problem else list(rules.problems({name: typed}, tuple(PRESETS), complete=False))


def _with_defaults(typed: Mapping[str, Any]) -> dict[str, Any]:
    """The fields given over the preset's, the network's and the data set's defaults."""
    dataset = typed.get("dataset", TrialConfig.dataset)
    defaults = DATASETS[dataset].defaults if dataset in DATASETS else {}
    preset = PRESETS.get(typed.get("preset", "custom"), Preset({}))
    network = typed.get("network", preset.sets.get("network"))
    merged = {**defaults, **NETWORK_DEFAULTS.get(str(network), {}), **preset.suggests, **preset.sets, **typed}
    return merged | {
        follower: merged.get(follower, merged.get(name, getattr(TrialConfig, name)))
        for follower, name in _FOLLOWS.items()
    }


def _contradictions(typed: Mapping[str, Any]) -> Iterator[Problem]:
    preset = typed.get("preset")
    for name, value in PRESETS.get(str(preset), Preset({})).sets.items():
        if typed.get(name, value) != value:
            yield Problem(name, typed[name], f"preset {preset!r} sets it to {value}", "drop one of the two")
