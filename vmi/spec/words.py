"""What people read of a number, said alike everywhere."""

from __future__ import annotations

_UNITS = (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def duration(seconds: float) -> str:
    """ "48 s", "12 min 30 s", "3 h 5 min", "4 d 2 h": to the second, and in the two largest units.

    >>> duration(750)
    '12 min 30 s'
    """
    whole = round(seconds)
    for unit, size, below, small in _UNITS:
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size:,} {unit} {rest} {below}" if rest else f"{whole // size:,} {unit}"
    return f"{whole} s"


def counted(count: int, noun: str) -> str:
    """ "1 trial", "12 trials"."""
    return f"{count} {noun}{'s' if count != 1 else ''}"
