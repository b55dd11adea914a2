"""The terminal: whatever happens while something is said there, what is being done goes on.

A write that fails (a full disk, a reader that has gone, a terminal that was closed) is dropped, and `lost` knows of it;
what the encoding cannot say stands there in ASCII ("+/-" for "±").
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import unicodedata
from typing import Any, TextIO

from rich.console import Console

from vmi.spec.errors import printable
from vmi.spec.redaction import redacted

# How streams call `_in_ascii`.
ASCII = "vmi.ascii"
# What Unicode knows no ASCII for, or another one (its name of λ is lamda).
_SAID = {
    "λ": "lambda", "Λ": "Lambda", "±": "+/-", "≤": "<=", "≥": ">=", "−": "-", "–": "-", "—": "-", "×": "x", "·": "*",
    "•": "-", "‖": "||", "√": "sqrt", "’": "'", "‘": "'", "“": '"', "”": '"', "µ": "u", "∞": "inf", "≈": "~", "→": "->",
}  # fmt: skip


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """For `codecs.register_error`: what stands in for the characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelled, error.object[error.start : error.end])), error.end


def _spelled(character: str) -> str:
    """ "lambda" for "λ", "e" for "é", "\\u4e2d" for what has no such name."""
    if character in _SAID:
        return _SAID[character]
    name = unicodedata.name(character, "").split()
    if name[:1] == ["GREEK"] and "LETTER" in name:
        return name[3].lower() if name[1] == "SMALL" else name[3].capitalize()
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or character.encode("ascii", "backslashreplace").decode()


codecs.register_error(ASCII, _in_ascii)


def sayable(text: str, encoding: str) -> str:
    """The text as a stream of this encoding shows it, for what is aligned or cut to a width."""
    return text.encode(encoding, ASCII).decode(encoding)


class _Dropping(io.RawIOBase):
    """A file descriptor to write to that takes everything: what cannot be written is dropped."""

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number, name
        self.lost: OSError | None = None

    def fileno(self) -> int:
        return self.number

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self.number)

    def write(self, data: Any) -> int:
        while True:
            try:
                return os.write(self.number, data)
            except BlockingIOError:  # whoever shares it has made it non-blocking
                select.select([], [self.number], [])
            except OSError as error:
                self.lost = error
                return len(data)


def protect() -> None:
    """Put streams that never raise in place of this process's standard output and error; again: nothing.

    A stream that was closed gives into nowhere: else the next file that is opened, one of the store maybe, would be
    standard output for whatever prints.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):  # else it is already, or belongs to whoever captures it
            setattr(sys, name, _stream(stream, number, name))


def _stream(before: TextIO | None, number: int, name: str) -> TextIO:
    if before is not None:
        try:
            before.flush()
        except OSError:  # what it still holds would be tried, and complained of, when Python ends
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), number)
    return io.TextIOWrapper(
        io.BufferedWriter(_Dropping(number, f"<{name}>")),
        encoding=before.encoding if before else "utf-8",
        errors=ASCII,
        line_buffering=number == 2 or bool(getattr(before, "line_buffering", False)),
        write_through=bool(getattr(before, "write_through", False)),
    )


def lost() -> OSError | None:
    """Why something that was said on standard output did not get there; None where all did, as far as is known."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    with contextlib.suppress(OSError, ValueError):  # of a stream that is not ours
        sys.stdout.flush()
    return raw.lost if isinstance(raw, _Dropping) else None


def has_reader() -> bool:
    """Whether anybody may still read standard output: a pipe's reader, or a terminal, may have gone."""
    error = lost()
    return error is None or error.errno not in (errno.EPIPE, errno.EIO)


def say(console: Console, *lines: str) -> None:
    """Lines as they are: not wrapped, no markup, control characters as escapes, without secrets."""
    for line in lines:
        console.print(printable(redacted(line)), highlight=False, markup=False, soft_wrap=True)
