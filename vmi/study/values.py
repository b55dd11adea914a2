"""What a study file may hand over, held so that every check can look at it: no object is trusted to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vmi.spec.datasets import DatasetSpec
from vmi.spec.goals import Bound
from vmi.study.space import Choice, Float, Integer

_DEPTH = 4
# How each of Python's own types is had of a value of a subclass, which may compare and print as it likes.
_EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__index__),
    (float, float.__float__),
    (bytes, bytes),
)


class Opaque:
    """A value that is nothing of what a study is made of. It prints itself, equals itself, and that is all."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        try:
            return str.__str__(repr(self.value))
        except Exception as error:  # a foreign object's own
            return f"<{type(self.value).__name__} without a repr: {type(error).__name__}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def plain(value: Any, depth: int = _DEPTH) -> Any:
    """The value in Python's own types, domains and bounds with such values; what has none of them is `Opaque`.

    A number of numpy's is the Python number, so that a choice may be made of an array.
    """
    try:
        return _plain(value, depth)
    except Exception:  # whatever a foreign object raises where it is looked into
        return Opaque(value)


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for kind, exact in _EXACT:
        if isinstance(value, kind):
            return exact(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and value.dtype.kind in "iuf":
        return value.item()
    if isinstance(spec := getattr(value, "spec", None), DatasetSpec):
        return spec.name  # a `vmi.Dataset`, which this process knows by its name
    if depth and isinstance(value, Mapping):
        return {plain(name, 0): plain(held, depth - 1) for name, held in dict(value).items()}
    if depth and type(value) in (list, tuple):
        return type(value)(plain(item, depth - 1) for item in value)
    if type(value) is Choice:
        return Choice(tuple(plain(item, 1) for item in tuple(value.values)))
    if type(value) in (Float, Integer):
        return replace(value, low=plain(value.low, 1), high=plain(value.high, 1), log=plain(value.log, 1),
                       step=plain(value.step, 1))  # fmt: skip
    if type(value) is Bound:
        return Bound(plain(value.low, 1), plain(value.high, 1))
    return value if isinstance(value, range) else Opaque(value)
