"""What people read of a number."""

from __future__ import annotations

import pytest

from vmi.spec.words import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (750, "12 min 30 s"), (3600, "1 h"), (11_100, "3 h 5 min"), (352_800, "4 d 2 h")],
)
def test_durations_are_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
