"""What is allowed in a configuration: what its fields declare, and rules between them. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vmi.spec import layout as latents
from vmi.spec.datasets import find
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.spec.fields import Field

MAX_SEED = 2**63 - 1
# Total correlation and MMD compare every image of a minibatch with every other, in every Normal dimension; the entropy
# of an informed Normal block's code once for the whole block.
MAX_PAIRWISE_GB = 1.0
_WIDTH = re.compile(r"[1-9][0-9]{0,4}")


def parse_hidden(text: str) -> tuple[int, ...]:
    """ "256-128" -> (256, 128)."""
    return tuple(int(width) for width in text.split("-"))


def problems(fields: Mapping[str, Field], values: Mapping[str, Any], complete: bool) -> Iterator[Problem]:
    """What is wrong with the values that are there; rules that need every field only where they are `complete`."""
    given = {name: field for name, field in fields.items() if values.get(name) is not None}
    for name, field in given.items():
        if field.range and values[name] not in field.range:
            yield Problem(name, values[name], str(field.range))
    for name, field in given.items():
        own = name == "dataset" and find(values[name])
        if field.choices and values[name] not in field.choices and not own:
            more = ", or a file or folder of images" if name == "dataset" else ""
            yield Problem(name, values[name], one_of(field.choices) + more, did_you_mean(values[name], field.choices))
    yield from _layout_problems(fields, values, complete)
    yield from _network_problems(values, complete)
    spec, batch_size = find(values.get("dataset")), values.get("batch_size")
    if spec and isinstance(batch_size, int) and batch_size > spec.train_count:
        yield Problem("batch_size", batch_size, f"at most the {spec.train_count} training images of {spec.name}")


def _layout_problems(fields: Mapping[str, Field], values: Mapping[str, Any], complete: bool) -> Iterator[Problem]:
    if values.get("layout") is None:
        return
    try:
        layout = latents.parse(values["layout"])
    except InputError as error:
        yield from error.problems
        return
    if not complete:
        return
    weighted = {name: field for name, field in fields.items() if values[name]}
    none = f"0 for layout {values['layout']!r}"
    for name, field in weighted.items():
        # Of a field and one that follows it where it is not given, one is named, not both.
        if field.informed and not layout.informed and values[name] != values.get(field.follows):
            yield Problem(name, values[name], none, "no block is informed; mark one with '*'")
        if field.informed_categorical and not any(block.is_categorical for block in layout.informed):
            yield Problem(name, values[name], none, "no categorical block is informed; mark one with '*'")
    views = [name for name in weighted if name.startswith("view_") and fields[name].informed_categorical]
    if views and not values["view_pair_strength"]:
        yield Problem("view_pair_strength", 0.0, f"above 0 with {views[0]}", "a view of strength 0 is the image itself")
    cap = sum(block.max_entropy_nats for block in layout.categorical)
    if values["capacity_categorical_nats"] > cap:
        allowed = f"at most {cap:.4g}, the sum of ln k over the categorical blocks of {values['layout']!r}"
        yield Problem("capacity_categorical_nats", values["capacity_categorical_nats"], allowed)
    dimensions = sum(block.size for block in layout.normal)
    for name, field in weighted.items():
        if dimensions < field.normal:
            yield Problem(name, values[name], none, field.why)
    pairs = {name: dimensions for name, field in weighted.items() if field.memory and field.memory.pairs}
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
    elif complete and values["network"] == "conv" and (spec := find(values["dataset"])):
        (height, width), halvings = spec.image_shape, len(widths) - 1
        most = min(height, width).bit_length() - 1  # as often as the shorter side, rounded down, stays above 0
        if halvings > most:
            allowed = (
                f"channels and one last width; {height} x {width} pixels can't be halved {halvings} times, at most "
            )
            yield Problem("hidden", hidden, f"{allowed}{most}")
