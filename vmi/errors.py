"""What is wrong with an input: every bad field at once, with what is allowed (exit code 2)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """One bad field: its name, the value got, what is allowed, and a hint (often the nearest valid name)."""

    field: str
    value: object
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return printable(f"{self.field} = {_short(self.value)}: {self.allowed}{hint}")


class InputError(ValueError):
    """The input was wrong; nothing was started and nothing was written. Holds every problem found."""

    def __init__(self, problems: Iterable[Problem], where: str = "") -> None:
        self.problems = tuple(problems)
        self.where = where
        lines = [str(problem) for problem in self.problems]
        head = f"{printable(where)}: " if where else ""
        count = f"{len(lines)} problems" if len(lines) != 1 else "1 problem"
        super().__init__(f"{head}{count}\n" + "\n".join(f"  {line}" for line in lines))


class StoreError(RuntimeError):
    """The result store is damaged; the message names the file, which is kept as it is (exit code 3)."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A hint with the valid name nearest to `name`, or an empty string when none is near."""
    near = difflib.get_close_matches(str(name), list(valid), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def one_of(valid: Sequence[str]) -> str:
    """The allowed names as a phrase."""
    return "one of " + ", ".join(sorted(valid))


def printable(text: str) -> str:
    """The text with control characters shown as escapes, so that no value can drive a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _short(value: object, limit: int = 200) -> str:
    try:
        text = repr(value)
    except Exception as error:  # repr of an int of 5,000 digits raises, and so may that of a foreign object
        text = f"<{type(value).__name__} without a repr: {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
