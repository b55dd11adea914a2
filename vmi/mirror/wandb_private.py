"""W&B's record format, read by hand: whether the file of a run says how the run ended.

The format is W&B's own, and so is its reader, which takes half a second to load (wandb 0.31) in commands that need
nothing else of its client. pyproject.toml bounds W&B's version by this file; tests/mirror/test_wandb_private.py says
what a new one has moved.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

# The field of a record that says how a run ended (wandb_internal.proto).
EXIT = 18
# A LevelDB log after a header of W&B's own.
_HEADER, _BLOCK, _HEAD = 7, 32768, 7


def has_ended(data: bytes) -> bool:
    """Whether the bytes of a run's file say how the run ended."""
    return any(EXIT in fields(record) for record in records(data))


def records(data: bytes) -> Iterator[bytes]:
    """The whole records of a run's file; what is torn ends it.

    A record may be cut into pieces (kinds 2, 3, 4; 1 is a whole one). No piece starts in the last 6 bytes of a block.
    """
    position, pieces = _HEADER, b""
    while position + _HEAD <= len(data):
        position += left if (left := -position % _BLOCK) < _HEAD else 0
        if position + _HEAD > len(data):
            return
        size, kind = struct.unpack_from("<HB", data, position + 4)
        piece = data[position + _HEAD : position + _HEAD + size]
        if kind not in (1, 2, 3, 4) or len(piece) < size:
            return
        pieces += piece
        position += _HEAD + size
        if kind in (1, 4):
            yield pieces
            pieces = b""


def fields(record: bytes) -> set[int]:
    """The numbers of a protocol buffer's fields, as far as it can be read."""
    found, position = set[int](), 0
    with contextlib.suppress(IndexError):
        while position < len(record):
            key, position = _varint(record, position)
            found.add(key >> 3)
            if key & 7 == 0:
                _, position = _varint(record, position)
            elif key & 7 == 2:
                size, position = _varint(record, position)
                position += size
            else:
                position += {1: 8, 5: 4}.get(key & 7, len(record))
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[position]
        value, shift, position = value | (byte & 127) << shift, shift + 7, position + 1
        if byte < 128:
            return value, position
