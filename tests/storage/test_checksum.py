"""Sealed JSON: what was changed, by a bit or by hand, is damaged; what was not reads back as it was."""

from __future__ import annotations

import json
import math

import pytest

from vmi.storage.checksum import sealed, unsealed

CONTENT = {
    "name": "λ study", "planned": 3, "rate": 1e-300, "big": 2**70, "none": None, "yes": True,
    "space": {"b": [1, 2.5, -0.0], "a": {"deep": "\x1b\u2028"}},
}  # fmt: skip


def test_a_sealed_file_reads_back_as_it_was() -> None:
    assert unsealed(sealed(CONTENT)) == CONTENT
    assert unsealed(sealed({10: "x", 9: ("y",)})) == {"10": "x", "9": ["y"]}
    assert math.copysign(1, unsealed(sealed(CONTENT))["space"]["b"][2]) == -1


def test_every_single_bit_that_flips_is_found_or_changes_nothing() -> None:
    sound = sealed(CONTENT)
    found = 0
    for bit in range(8 * len(sound)):
        broken = bytearray(sound)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            assert unsealed(bytes(broken)) == CONTENT, bit
        except ValueError:
            found += 1
    assert found > 0.99 * 8 * len(sound)


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_sealed_file_that_was_cut_short_is_damaged(cut: int) -> None:
    whole = sealed(CONTENT)
    with pytest.raises(ValueError):
        unsealed(whole[: len(whole) * cut // 200])


@pytest.mark.parametrize("data", [b"", b"1", b"[]", b"{}", b'{"sha256": 1}', b'{"a": NaN, "sha256": ""}', b"[" * 99999])
def test_what_is_no_sealed_object_is_damaged(data: bytes) -> None:
    with pytest.raises(ValueError):
        unsealed(data)


def test_a_change_by_hand_and_a_missing_seal_are_told_apart() -> None:
    with pytest.raises(ValueError, match="does not match its checksum"):
        unsealed(sealed(CONTENT).replace(b'"planned": 3', b'"planned": 4'))
    with pytest.raises(ValueError, match="no checksum"):
        unsealed(json.dumps(CONTENT).encode())


def test_what_has_no_canonical_form_is_not_sealed() -> None:
    with pytest.raises(ValueError):
        sealed({"a": math.nan})
    with pytest.raises(ValueError, match="name of the checksum"):
        sealed({"sha256": "mine"})
