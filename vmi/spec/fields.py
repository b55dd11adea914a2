"""What is declared of a field of a configuration, beside its type and default: one record per field.

The record stands on the field itself (`vmi.spec.config.TrialConfig`). Checks, hashes, the memory that packs are planned
with, the stored schema, and the names in tables and on axes read it there.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
_KEY = "field"


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


class Memory(NamedTuple):
    """What a step takes of a member that has a weight on the field, in tensors of numbers.

    pairs    tensors [B, B, Z]: every image of a minibatch with every other, in each Normal dimension
    images   tensors [B, D]
    passes   more passes through decoder and Q
    network  widths of a network of its own on the Z Normal dimensions, outputs included
    """

    pairs: int = 0
    images: int = 0
    passes: int = 0
    network: tuple[int, ...] = ()


class Field(NamedTuple):
    """One field of a configuration.

    meaning    what it is, for the documentation
    range      of a number; `choices` of a text, where they are few
    symbol     its name in a table's head, and `label` on an axis; absent: the field's own name
    unit       as the store keeps it
    before     the value with which trials are what they were before the field was added; None: they all have it
    follows    the field whose value it takes where it is not given
    informed   a value other than 0 needs an informed block; `informed_categorical`: a categorical one
    normal     a value other than 0 needs so many Normal dimensions; `why`, where it is more than one
    memory     what a value other than 0 takes; None: nothing to speak of
    uses_code  a value other than 0 may make a code used
    """

    meaning: str
    range: Range | None = None
    choices: tuple[str, ...] = ()
    symbol: str = ""
    label: str = ""
    unit: str = ""
    before: float | str | None = None
    follows: str = ""
    informed: bool = False
    informed_categorical: bool = False
    normal: int = 0
    why: str = "it has no Normal block"
    memory: Memory | None = None
    uses_code: bool = False


def declared(default: T, meaning: str, **more: Any) -> T:
    """A dataclass field with this default and the record `Field(meaning, **more)`."""
    made: T = dataclasses.field(default=default, metadata={_KEY: Field(meaning, **more)})
    return made


def records(cls: type[Any]) -> dict[str, Field]:
    """The record of every field of a dataclass, by name, in the order of the fields."""
    return {field.name: field.metadata[_KEY] for field in dataclasses.fields(cls)}
