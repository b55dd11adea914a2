"""The latent layout: "n16+c10*" is a 16-dimensional Normal block and an informed 10-way categorical block.

Grammar (DESIGN: `+`-joined blocks)::

    layout = block { "+" block }
    block  = ( "n" size | "c" size ) [ "*" ]        n: size >= 1, c: size >= 2

`n<d>` is a diagonal Normal with d dimensions, `c<k>` a categorical with k values; `*` marks an informed block,
one whose mutual information with the image is maximised and bounded.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import NamedTuple

from vmi.spec.errors import InputError, Problem

GRAMMAR = (
    "blocks joined by '+': n<size> (Normal, size >= 1) or c<size> (categorical, size >= 2), '*' after an informed one"
)
MAX_SIZE = 4096
MAX_BLOCKS = 64
_BLOCK = re.compile(r"([nc])([1-9][0-9]*)(\*?)")


class Block(NamedTuple):
    """One latent block. `name` is unique within its layout ("c10", then "c10_2")."""

    kind: str
    size: int
    informed: bool
    name: str

    @property
    def is_categorical(self) -> bool:
        return self.kind == "c"

    @property
    def parameters(self) -> int:
        """Numbers an encoder head emits per image: mean and log variance per Normal dimension, a logit per category."""
        return self.size if self.is_categorical else 2 * self.size

    @property
    def max_entropy_nats(self) -> float:
        """ln k for a categorical block; a Normal block has no cap."""
        return math.log(self.size) if self.is_categorical else math.inf

    @property
    def prior_entropy_nats(self) -> float:
        """Entropy of the prior: ln k (uniform), or d/2 ln 2 pi e (standard Normal)."""
        return math.log(self.size) if self.is_categorical else 0.5 * self.size * (math.log(2 * math.pi) + 1)


class Layout(NamedTuple):
    """The blocks of one latent code, in the order in which they were written."""

    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return "+".join(f"{b.kind}{b.size}{'*' if b.informed else ''}" for b in self.blocks)

    @property
    def width(self) -> int:
        """Length of the code vector that the decoder reads."""
        return sum(block.size for block in self.blocks)

    @property
    def categorical(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.is_categorical)

    @property
    def normal(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if not block.is_categorical)

    @property
    def informed(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.informed)

    def primary(self, kind: str) -> Block | None:
        """The block that an un-suffixed metric speaks of: the first informed one of the kind, else the first one."""
        of_kind = [block for block in self.blocks if block.kind == kind]
        return next((block for block in of_kind if block.informed), of_kind[0] if of_kind else None)


def parse(text: str) -> Layout:
    """Read a layout; `str(parse(text)) == text`. Raises InputError naming the position of the first bad block."""
    if not isinstance(text, str) or not text:
        raise InputError([Problem("layout", text, f"at least one block; {GRAMMAR}")])
    found: list[tuple[str, int, bool]] = []
    position = 0
    for piece in text.split("+"):
        match = _BLOCK.fullmatch(piece)
        if match is None or (match[1] == "c" and match[2] == "1"):
            raise InputError([Problem("layout", text, f"bad block {_shown(piece)} at position {position}; {GRAMMAR}")])
        if len(match[2]) > 9 or int(match[2]) > MAX_SIZE:
            raise InputError([Problem("layout", text, _too_large(piece, match[2], position))])
        found.append((match[1], int(match[2]), bool(match[3])))
        position += len(piece) + 1
    if len(found) > MAX_BLOCKS:
        raise InputError([Problem("layout", text, f"at most {MAX_BLOCKS} blocks; this has {len(found)}")])
    return Layout(_named(found))


def _named(found: list[tuple[str, int, bool]]) -> tuple[Block, ...]:
    seen: Counter[str] = Counter()
    blocks = []
    for kind, size, informed in found:
        base = f"{kind}{size}"
        seen[base] += 1
        blocks.append(Block(kind, size, informed, base if seen[base] == 1 else f"{base}_{seen[base]}"))
    return tuple(blocks)


def _shown(piece: str) -> str:
    return repr(piece if len(piece) <= 40 else f"{piece[:40]}…")


def _too_large(piece: str, digits: str, position: int) -> str:
    # The encoder's head and the decoder's first layer at a hidden width of 128, with gradient and Adam's two moments.
    gigabytes = 4 * 4 * 128 * (3 if piece[0] == "n" else 2) * float(digits) / 1e9
    return (
        f"block {_shown(piece)} at position {position} is too large: at most {MAX_SIZE} per block; its layers "
        f"would take about {gigabytes:.3g} GB per trial"
    )
