"""Search-space domains: constructors that hold anything, and the check of what they hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

from vmi.spec.config import FIELD_TYPES
from vmi.spec.errors import Problem, did_you_mean, one_of
from vmi.spec.goals import Bound as Bound  # for study files, which import from here alone
from vmi.spec.goals import at_least as at_least
from vmi.spec.goals import at_most as at_most
from vmi.spec.resolving import coerce, field_problems
from vmi.spec.trial import Value

MAX_CHOICES = 100_000


@dataclass(frozen=True)
class Choice:
    """One of the values, in the order given."""

    values: tuple[Any, ...]

    def spec(self) -> dict[str, Any]:
        return {"kind": "choice", "values": list(self.values)}


@dataclass(frozen=True)
class Float:
    """A real number from low to high, both included: density 1/x where `log`, low + i * step if given."""

    low: Any
    high: Any
    log: bool = False
    step: Any = None

    def spec(self) -> dict[str, Any]:
        return {"kind": "float", "low": self.low, "high": self.high, "log": self.log, "step": self.step}


@dataclass(frozen=True)
class Integer:
    """A whole number low, low + step, ... up to high; of density 1/x where `log`."""

    low: Any
    high: Any
    log: bool = False
    step: Any = 1

    def spec(self) -> dict[str, Any]:
        return {"kind": "int", "low": self.low, "high": self.high, "log": self.log, "step": self.step}


Domain = Choice | Float | Integer
CONSTRUCTORS = "choice(...), uniform(low, high), log_uniform(low, high) or integers(low, high)"


class Bounds(NamedTuple):
    """Both bounds of a range, as a message shows them."""

    low: Any
    high: Any
    step: Any = None

    def __repr__(self) -> str:
        step = "" if self.step is None else f", step={self.step!r}"
        return f"(low={self.low!r}, high={self.high!r}{step})"


def choice(*values: Any) -> Choice:
    """One of these values; for a grid, in this order."""
    return Choice(values)


def uniform(low: Any, high: Any, step: Any = None) -> Float:
    """A real number from low to high; with a step, one of low, low + step, ..."""
    return Float(low, high, step=step)


def log_uniform(low: Any, high: Any) -> Float:
    """A positive real number from low to high, uniform in its logarithm."""
    return Float(low, high, log=True)


def integers(low: Any, high: Any, step: Any = 1, log: Any = False) -> Integer:
    """A whole number low, low + step, ... up to high, both included; uniform in its logarithm where `log`."""
    return Integer(low, high, log=log, step=step)


def problems(name: str, domain: object) -> list[Problem]:
    """Everything that is wrong with searching the TrialConfig field `name` over `domain`."""
    where = f"space.{name}"
    if name == "seed":
        return [Problem(where, domain, "not searched: the replicates of every suggestion", "use seeds=")]
    if name not in FIELD_TYPES:
        hint = did_you_mean(name, FIELD_TYPES) or one_of(list(FIELD_TYPES))
        return [Problem(where, domain, "no such field", hint)]
    if isinstance(domain, Choice):
        return list(_choice_problems(name, where, domain))
    if isinstance(domain, Float | Integer):
        return list(_range_problems(name, where, domain))
    return [Problem(where, domain, CONSTRUCTORS)]


def size(domain: Domain) -> int | None:
    """How many values the (valid) domain has, by arithmetic; None for a continuous or logarithmic range."""
    if isinstance(domain, Choice):
        return len(domain.values)
    if domain.log or domain.step is None:
        return None
    return (_exact(domain.high) - _exact(domain.low)) // _exact(domain.step) + 1


def values(domain: Domain) -> Iterator[Value]:
    """The values of a (valid) domain of known size, in order; low + i * step is rounded once."""
    if isinstance(domain, Choice):
        yield from domain.values
        return
    for index in range(size(domain) or 0):
        yield _nth(domain, index)


def ends(domain: Domain) -> tuple[Value, Value]:
    """The first and the last value of a (valid) domain."""
    if isinstance(domain, Choice):
        return domain.values[0], domain.values[-1]
    count = size(domain)
    return domain.low, domain.high if count is None else _nth(domain, count - 1)


def nearest(domain: Domain, value: Value) -> Value:
    """The value itself, or the one of a (valid) stepped range that it misses by rounding only."""
    if not isinstance(domain, Float) or domain.step is None or isinstance(value, str):
        return value
    return _nth(domain, round((_exact(value) - _exact(domain.low)) / _exact(domain.step)))


def canonical_space(space: Mapping[str, Domain]) -> dict[str, Domain]:
    """The (valid) space with every value in its field's type: 4 becomes 4.0 for a float field."""
    return {name: _canonical(name, domain) for name, domain in space.items()}


def _canonical(name: str, domain: Domain) -> Domain:
    if isinstance(domain, Choice):
        return Choice(tuple(coerce(name, value)[0] for value in domain.values))
    if isinstance(domain, Integer):
        return domain
    step = None if domain.step is None else float(domain.step)
    return replace(domain, low=float(domain.low), high=float(domain.high), step=step)


def _choice_problems(name: str, where: str, domain: Choice) -> Iterator[Problem]:
    if not 1 <= len(domain.values) <= MAX_CHOICES:
        yield Problem(where, f"{len(domain.values)} values", f"1 to {MAX_CHOICES} values")
        return
    first: dict[Any, int] = {}
    for index, value in enumerate(domain.values):
        for problem in field_problems(name, value):
            yield Problem(f"{where}[{index}]", value, problem.allowed, problem.hint)
        if not isinstance(value, str | int | float):
            continue
        if first.setdefault(value, index) != index:
            yield Problem(f"{where}[{index}]", value, f"different values; index {first[value]} is the same")
        elif isinstance(value, str) != isinstance(domain.values[0], str):
            yield Problem(f"{where}[{index}]", value, "strings or numbers, not both; index 0 is the other kind")


def _range_problems(name: str, where: str, domain: Float | Integer) -> Iterator[Problem]:
    bounds = Bounds(domain.low, domain.high)
    wanted = FIELD_TYPES[name]
    if wanted is str or (wanted is int and isinstance(domain, Float)):
        use = "integers(low, high) or choice(...)" if wanted is int else "choice(...)"
        yield Problem(where, bounds, f"{use} for this field")
        return
    if not all(_is_number(bound, domain) for bound in bounds[:2]):
        kind = "whole numbers" if isinstance(domain, Integer) else "finite numbers"
        yield Problem(where, bounds, f"{kind} for low and high")
        return
    beyond = {p.allowed: p for bound in bounds[:2] for p in field_problems(name, bound)}
    for problem in beyond.values():
        yield Problem(where, bounds, f"low and high {problem.allowed}", problem.hint)
    if not isinstance(domain.log, bool):
        yield Problem(where, domain.log, "log is True or False")
    if domain.low > domain.high:
        yield Problem(where, bounds, "low must be at most high")
    if domain.log and domain.low <= 0:
        yield Problem(where, bounds, "low must be above 0 in a logarithmic range")
    if not beyond:
        yield from _step_problems(where, domain)


def _step_problems(where: str, domain: Float | Integer) -> Iterator[Problem]:
    step, unit = domain.step, 1 if isinstance(domain, Integer) else None
    bounds = Bounds(domain.low, domain.high, step)
    if step == unit and not isinstance(step, bool):
        return
    if not _is_number(step, domain):
        yield Problem(where, bounds, f"step must be a {'whole' if unit else 'finite'} number")
    elif domain.log:
        yield Problem(where, bounds, "a logarithmic range takes no step")
    elif step <= 0 or step > max(domain.high - domain.low, 0):
        yield Problem(where, bounds, "step must be above 0 and at most high - low")


def _is_number(value: object, domain: Float | Integer) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) if isinstance(domain, Integer) else _is_finite(value)


def _is_finite(value: float) -> bool:
    # isfinite converts to float, which an int of 400 digits overflows.
    return isinstance(value, int) or math.isfinite(value)


def _nth(domain: Float | Integer, index: int) -> Value:
    value = _exact(domain.low) + index * _exact(domain.step)
    return float(value) if isinstance(domain, Float) else int(value)


def _exact(value: float) -> Fraction:
    """The number as it is written, 0.1 as 1/10."""
    return Fraction(str(value))
