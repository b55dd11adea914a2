"""What is allowed in a configuration: ranges, choices, and rules between fields. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from vmi.spec import layout as latents
from vmi.spec.datasets import DATASETS
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of

NETWORKS = ("mlp", "conv")
LIKELIHOODS = ("gaussian", "bernoulli")
PHASE_ORDERS = ("q_first", "vae_first")
TC_ESTIMATORS = ("weighted", "stratified")
PRECISIONS = ("float32", "bfloat16")


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


MAX_SEED = 2**63 - 1
_WEIGHT = Range(0, 1e6)
_NATS = Range(0, 1e4)
RANGES: Mapping[str, Range] = {
    "likelihood_variance": Range(0, 1e3, open_low=True),
    "mi_weight": _WEIGHT,
    "mi_weight_normal": _WEIGHT,
    "entropy_weight": Range(0, 1e3),
    "kl_weight": _WEIGHT,
    "kl_anneal_steps": Range(0, 1e9),
    "capacity_weight": _WEIGHT,
    "capacity_normal_nats": _NATS,
    "capacity_categorical_nats": _NATS,
    "capacity_steps": Range(0, 1e9),
    "tc_weight": _WEIGHT,
    "factor_weight": _WEIGHT,
    "mmd_weight": _WEIGHT,
    "generator_mi_weight": _WEIGHT,
    "view_strength": Range(0, 5),
    "view_target_strength": Range(0, 5),
    "temperature": Range(0, 1e3, open_low=True),
    "temperature_final": Range(0, 1e3, open_low=True),
    "learning_rate": Range(0, 10, open_low=True),
    "batch_size": Range(2, 1e6),
    "steps": Range(1, 1e9),
    "seed": Range(0, MAX_SEED),
}
# Total correlation and MMD compare every image of a minibatch with every other, in every Normal dimension; the entropy
# of an informed Normal block's code once for the whole block.
MAX_PAIRWISE_GB = 1.0
_TOO_FEW = "one Normal dimension has no total correlation: it takes two"
_WIDTH = re.compile(r"[1-9][0-9]{0,4}")


def parse_hidden(text: str) -> tuple[int, ...]:
    """ "256-128" -> (256, 128)."""
    return tuple(int(width) for width in text.split("-"))


def problems(values: Mapping[str, Any], presets: tuple[str, ...], complete: bool) -> Iterator[Problem]:
    """What is wrong with the fields that are there; rules that need every field only where they are `complete`."""
    for name, allowed in RANGES.items():
        if values.get(name) is not None and values[name] not in allowed:
            yield Problem(name, values[name], str(allowed))
    choices = {
        "dataset": tuple(DATASETS),
        "network": NETWORKS,
        "likelihood": LIKELIHOODS,
        "phase_order": PHASE_ORDERS,
        "tc_estimator": TC_ESTIMATORS,
        "precision": PRECISIONS,
        "preset": presets,
    }
    for name, valid in choices.items():
        if values.get(name) is not None and values[name] not in valid:
            yield Problem(name, values[name], one_of(valid), did_you_mean(values[name], valid))
    yield from _layout_problems(values, complete)
    yield from _network_problems(values, complete)
    spec, batch_size = DATASETS.get(values.get("dataset", "")), values.get("batch_size")
    if spec and isinstance(batch_size, int) and batch_size > spec.train_count:
        yield Problem("batch_size", batch_size, f"at most the {spec.train_count} training images of {spec.name}")


def _layout_problems(values: Mapping[str, Any], complete: bool) -> Iterator[Problem]:
    if values.get("layout") is None:
        return
    try:
        layout = latents.parse(values["layout"])
    except InputError as error:
        yield from error.problems
        return
    if not complete:
        return
    # mi_weight_normal follows mi_weight where it is not given: one of the two is named, not both.
    own_normal = ("mi_weight_normal",) if values["mi_weight_normal"] != values["mi_weight"] else ()
    for name in ("mi_weight", *own_normal, "generator_mi_weight"):
        if not layout.informed and values[name]:
            allowed = f"0 for layout {values['layout']!r}"
            yield Problem(name, values[name], allowed, "no block is informed; mark one with '*'")
    cap = sum(block.max_entropy_nats for block in layout.categorical)
    if values["capacity_categorical_nats"] > cap:
        allowed = f"at most {cap:.4g}, the sum of ln k over the categorical blocks of {values['layout']!r}"
        yield Problem("capacity_categorical_nats", values["capacity_categorical_nats"], allowed)
    dimensions = sum(block.size for block in layout.normal)
    if values["factor_weight"] and dimensions < 2:
        yield Problem("factor_weight", values["factor_weight"], f"0 for layout {values['layout']!r}", _TOO_FEW)
    pairs = {name: dimensions for name in ("tc_weight", "mmd_weight") if values[name]}
    for name in pairs:
        if not layout.normal:
            yield Problem(name, values[name], f"0 for layout {values['layout']!r}", "it has no Normal block")
    if informed := sum(not block.is_categorical for block in layout.informed):
        pairs[f"the informed Normal block{'s' if informed > 1 else ''} of {values['layout']!r}"] = informed
    for what, count in pairs.items():
        gigabytes = values["batch_size"] ** 2 * count * 4 / 1e9
        if gigabytes > MAX_PAIRWISE_GB:
            allowed = f"a batch whose pairs need at most {MAX_PAIRWISE_GB:g} GB per trial with {what}; these need "
            yield Problem("batch_size", values["batch_size"], f"{allowed}{gigabytes:.3g} GB")


def _network_problems(values: Mapping[str, Any], complete: bool) -> Iterator[Problem]:
    hidden = values.get("hidden")
    if hidden is None:
        return
    widths = hidden.split("-")
    # One spelling per network, hence no leading zero and only ASCII digits: the text is hashed.
    if not (1 <= len(widths) <= 8 and all(_WIDTH.fullmatch(w) and int(w) <= 65536 for w in widths)):
        yield Problem("hidden", hidden, "one to eight widths from 1 to 65536 joined by '-', such as 256-128")
    elif complete and values["network"] == "conv" and values["dataset"] in DATASETS:
        side = math.gcd(*DATASETS[values["dataset"]].image_shape)
        halvings = len(widths) - 1
        if side % 2**halvings:
            allowed = f"channels and one last width; {side} x {side} pixels can't be halved {halvings} times"
            yield Problem("hidden", hidden, allowed)
