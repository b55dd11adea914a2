"""TrialConfig (all that decides a trial's numbers), Architecture (what trials must share to be fused), validation.

A configuration is flat: each field is one typed column of the `trials` table. Defaults come from the data set, then
from the preset; what the user gives overrides the data set's defaults but may not contradict the preset.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from vmi import latents
from vmi.datasets import DATASETS, spec_of
from vmi.errors import InputError, Problem, did_you_mean, one_of

# Raised when the same configuration would give other numbers, so that stored trials of before are not reused.
SEMANTICS = 1

NETWORKS = ("mlp",)
LIKELIHOODS = ("gaussian", "bernoulli")
# eta = 0 is the paper's objective (the entropy is taken for a constant), eta = 1 estimates it; DESIGN section 5.
PRESETS: Mapping[str, Mapping[str, float]] = {
    "custom": {},
    "paper": {"entropy_weight": 0.0},
    "corrected": {"entropy_weight": 1.0},
}


class Range(NamedTuple):
    """Allowed numbers: low <= x <= high, or low < x where `open_low`."""

    low: float
    high: float
    open_low: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float):
            return False
        # The bounds are finite, so NaN and infinities compare false; isfinite would overflow on an int of 400 digits.
        return (self.low < value if self.open_low else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        return f"{'above' if self.open_low else 'from'} {self.low:g} {'up to' if self.open_low else 'to'} {self.high:g}"


_WIDTH = re.compile(r"[1-9][0-9]{0,4}")
MAX_SEED = 2**63 - 1
RANGES: Mapping[str, Range] = {
    "likelihood_variance": Range(0, 1e3, open_low=True),
    "mi_weight": Range(0, 1e6),
    "entropy_weight": Range(0, 1e3),
    "kl_weight": Range(0, 1e6),
    "temperature": Range(0, 1e3, open_low=True),
    "temperature_final": Range(0, 1e3, open_low=True),
    "learning_rate": Range(0, 10, open_low=True),
    "batch_size": Range(2, 1e6),
    "steps": Range(1, 1e9),
    "seed": Range(0, MAX_SEED),
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What trials must share to be trained as one program: shapes and the number of steps."""

    dataset: str
    layout: str
    network: str
    hidden: str
    likelihood: str
    batch_size: int
    steps: int

    @property
    def widths(self) -> tuple[int, ...]:
        return parse_hidden(self.hidden)


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One trial. mi_weight is lambda, entropy_weight eta, kl_weight beta, temperature tau (at the start).

    `likelihood_variance` is sigma^2 of the Gaussian likelihood on pixels in [0, 1] (unused by "bernoulli").
    tau goes geometrically from `temperature` to `temperature_final` over `steps`; equal values hold it constant.
    """

    dataset: str = "digits"
    layout: str = "n16+c10*"
    preset: str = "custom"
    network: str = "mlp"
    hidden: str = "128-64"
    likelihood: str = "gaussian"
    likelihood_variance: float = 0.04
    mi_weight: float = 4.0
    entropy_weight: float = 1.0
    kl_weight: float = 1.0
    temperature: float = 0.5
    temperature_final: float = 0.5
    learning_rate: float = 1e-3
    batch_size: int = 128
    steps: int = 1000
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
        content = {k: v for k, v in dataclasses.asdict(self).items() if k not in without}
        content |= {"data_fingerprint": spec_of(self.dataset).fingerprint, "semantics": SEMANTICS}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


FIELD_TYPES: Mapping[str, type] = {
    f.name: {"str": str, "int": int, "float": float}[str(f.type)] for f in fields(TrialConfig)
}
_KINDS = {str: "a string", int: "a whole number", float: "a number"}


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
    dataset = typed.get("dataset", TrialConfig.dataset)
    defaults = DATASETS[dataset].defaults if dataset in DATASETS else {}
    preset = PRESETS.get(str(typed.get("preset", "custom")), {})
    merged = {**defaults, **preset, **typed}
    merged.setdefault("temperature_final", merged.get("temperature", TrialConfig.temperature))
    config = TrialConfig(**merged) if not problems else None
    problems += _problems(config if config else typed)
    if problems or config is None:
        raise InputError(problems, where)
    return config


def coerce(name: str, value: Any) -> tuple[Any, Problem | None]:
    """The value in the field's type: 4 becomes 4.0 for a float field; nothing else is converted."""
    wanted = FIELD_TYPES[name]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None, Problem(name, value, _KINDS[wanted])
    if wanted is float and isinstance(value, int):
        return (float(value), None) if abs(value) < 2**53 else (None, Problem(name, value, str(RANGES[name])))
    if not isinstance(value, wanted):
        return None, Problem(name, value, _KINDS[wanted])
    # -0.0 and 0.0 are one configuration and must have one hash.
    return (float(value) + 0.0 if wanted is float else value), None


def field_problems(name: str, value: Any) -> list[Problem]:
    """What is wrong with this value of the TrialConfig field `name`, whatever the other fields are."""
    typed, problem = coerce(name, value)
    return [problem] if problem else list(_problems({name: typed}))


def parse_hidden(text: str) -> tuple[int, ...]:
    """ "256-128" -> (256, 128): widths of the encoder's hidden layers; the decoder mirrors them."""
    return tuple(int(width) for width in text.split("-"))


def _contradictions(typed: Mapping[str, Any]) -> Iterator[Problem]:
    preset = typed.get("preset")
    for name, value in PRESETS.get(str(preset), {}).items():
        if typed.get(name, value) != value:
            yield Problem(name, typed[name], f"preset {preset!r} sets it to {value:g}", "drop one of the two")


def _problems(config: TrialConfig | Mapping[str, Any]) -> Iterator[Problem]:
    """Range and grammar problems of the fields that are there (all of them for a TrialConfig)."""
    values = dataclasses.asdict(config) if isinstance(config, TrialConfig) else dict(config)
    for name, allowed in RANGES.items():
        if values.get(name) is not None and values[name] not in allowed:
            yield Problem(name, values[name], str(allowed))
    choices = {"dataset": tuple(DATASETS), "network": NETWORKS, "likelihood": LIKELIHOODS, "preset": tuple(PRESETS)}
    for name, valid in choices.items():
        if values.get(name) is not None and values[name] not in valid:
            yield Problem(name, values[name], one_of(valid), did_you_mean(values[name], valid))
    yield from _layout_problems(values)
    hidden = values.get("hidden")
    if hidden is not None and not _hidden_ok(hidden):
        yield Problem("hidden", hidden, "one to eight widths from 1 to 65536 joined by '-', such as 256-128")
    spec, batch_size = DATASETS.get(values.get("dataset", "")), values.get("batch_size")
    if spec and isinstance(batch_size, int) and batch_size > spec.train_count:
        yield Problem("batch_size", batch_size, f"at most the {spec.train_count} training images of {spec.name}")


def _layout_problems(values: Mapping[str, Any]) -> Iterator[Problem]:
    if values.get("layout") is None:
        return
    try:
        layout = latents.parse(values["layout"])
    except InputError as error:
        yield from error.problems
        return
    weight = values.get("mi_weight")
    if not layout.informed and weight and "steps" in values:
        yield Problem(
            "mi_weight", weight, f"0 for layout {values['layout']!r}", "no block is informed; mark one with '*'"
        )


def _hidden_ok(text: str) -> bool:
    # One spelling per network, hence no leading zero and only ASCII digits: the text is hashed.
    widths = text.split("-")
    return 1 <= len(widths) <= 8 and all(_WIDTH.fullmatch(w) and int(w) <= 65536 for w in widths)
