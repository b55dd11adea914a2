"""What is wrong with an input: every bad field at once, with what is allowed (exit code 2); no secret is repeated."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vmi.spec.redaction import HIDDEN, is_secret_name, redacted


class _Absent:
    """The value of what was not given at all: its line has no "= value"."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()
# A choice of 100,000 bad values has as many problems; nobody reads more than these.
MAX_SHOWN = 100
# Names are compared up to here: the time that it takes grows with their product.
_LONGEST_NAME = 100
# What of a value is looked at to show its beginning.
_LOOKED_AT = 2_000


class Problem(NamedTuple):
    """One bad field of an input.

    Attributes:
        field: its name
        value: what was given
        allowed: what is allowed
        hint: often the nearest valid name
    """

    field: str
    value: object
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        field = _cut(self.field) if isinstance(self.field, str) else _short(self.field)
        return printable(redacted(f"{field}{self._shown()}: {self.allowed}{hint}"))

    def _shown(self) -> str:
        if self.value is ABSENT:
            return ""
        is_empty = self.value is None or (isinstance(self.value, str) and not self.value)
        return f" = {HIDDEN if is_secret_name(self.field) and not is_empty else _short(self.value)}"


class InputError(ValueError):
    """The input was wrong; nothing was started and nothing was written. Holds every problem found."""

    def __init__(self, problems: Iterable[Problem], where: str = "") -> None:
        self.problems = tuple(problems)
        self.where = where
        lines = [str(problem) for problem in self.problems[:MAX_SHOWN]]
        head = f"{printable(_cut(redacted(where[:_LOOKED_AT]), 1_000))}: " if where else ""
        total = len(self.problems)
        count = f"{total} problems" if total != 1 else "1 problem"
        lines += [f"and {total - MAX_SHOWN} more"] if total > MAX_SHOWN else []
        super().__init__(f"{head}{count}\n" + "\n".join(f"  {line}" for line in lines))


class StoreError(RuntimeError):
    """The result store is damaged; the message names the file, which is kept as it is (exit code 3)."""


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """A hint with the valid name nearest to `name`, or an empty string when none is near or `name` is no string."""
    text = name[:_LONGEST_NAME] if isinstance(name, str) else ""
    near = difflib.get_close_matches(text, [v for v in valid if isinstance(v, str)], n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def near(name: object, there: Sequence[str]) -> str:
    """A hint with the nearest of what is there, else with what is there (ten of it); empty where nothing is."""
    return did_you_mean(name, there) or (f"there: {', '.join(there[:10])}" if there else "")


def one_of(valid: Sequence[str]) -> str:
    """The allowed names as a phrase."""
    return "one of " + ", ".join(sorted(valid))


def printable(text: str) -> str:
    """The text with control characters shown as escapes, so that no value can drive a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # repr of an int of 5,000 digits raises, and so may that of a foreign object
        text = f"<{type(value).__name__} without a repr: {type(error).__name__}>"
    # A secret is taken out before the text is cut: half of one is still a secret.
    return _cut(redacted(text[:_LOOKED_AT]))


def _cut(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
