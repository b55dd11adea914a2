"""Which published parts a file holds, and in which file each of them counts: the rule that makes compaction safe.

The name of a published part is the hash of its content, so it names its rows for good. A file holds parts: a published
one itself, a compacted one those that it was made of, in the order of its rows. A table is the union of all parts that
its sound files hold, each taken from the strongest file that holds it: so it does not matter whether a part's own file
is still there, whether two compactions overlap, or whether a part was published again after it was compacted.

Where trials were dropped (`vmi.results.drop`), a file holds fewer rows of a part than were published, perhaps none.
Rows are only ever taken out: of two files that hold a part the one with fewer rows of it has the later state, which
counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

HELD_KEY = b"vmi_parts"
# (part name, number of rows), in the order of the file's rows.
Held: TypeAlias = tuple[tuple[str, int], ...]
# (first row, number of rows) of what counts of a file.
Slices: TypeAlias = tuple[tuple[int, int], ...]

_NOTE = re.compile(r"([0-9a-f]{32}):([0-9]{1,15})")


def noted(held: Held) -> bytes:
    """As a Parquet key-value pair has it: "<hash>:<rows>,..."."""
    return ",".join(f"{name.removeprefix('part-').removesuffix('.parquet')}:{rows}" for name, rows in held).encode()


def held_in(metadata: Mapping[bytes, bytes] | None, name: str, rows: int) -> Held:
    """What a file of this name with so many rows holds. Raises ValueError where its note does not fit."""
    note = (metadata or {}).get(HELD_KEY)
    if note is None:
        return ((name, rows),)
    found = [_NOTE.fullmatch(item) for item in note.decode("ascii", errors="replace").split(",")]
    if not all(found):
        raise ValueError("its list of compacted parts is not readable")
    held = tuple((f"part-{item[1]}.parquet", int(item[2])) for item in found if item)
    if sum(count for _, count in held) != rows or len(dict(held)) != len(held):
        raise ValueError(f"its list of compacted parts does not fit its {rows} rows")
    return held


def strength(name: str, held: Held) -> tuple[int, int, str]:
    """Of two files that hold as many rows of a part the stronger one counts.

    A file with all parts that another has is stronger if it has more, or the same ones with fewer rows. Only what
    stronger files hold, in no earlier state, is ever removed: the one that a part counts in therefore never is.
    """
    return len(held), -sum(rows for _, rows in held), name


def owners(files: Mapping[str, Held]) -> dict[str, str]:
    """For each held part the file that it counts in: the strongest of those with the fewest rows of it."""
    found: dict[str, str] = {}
    fewest: dict[str, int] = {}
    for name in sorted(files, key=lambda name: strength(name, files[name])):
        for part, rows in files[name]:
            if rows <= fewest.get(part, rows):
                found[part], fewest[part] = name, rows
    return found


def shares(files: Mapping[str, Held]) -> dict[str, Slices]:
    """For each file the rows of it that count, none where stronger files hold all of its parts."""
    owner = owners(files)
    return {name: _slices(name, held, owner) for name, held in files.items()}


def _slices(name: str, held: Held, owner: Mapping[str, str]) -> Slices:
    if all(owner[part] == name for part, _ in held):
        return ((0, sum(rows for _, rows in held)),)
    found, at = [], 0
    for part, rows in held:
        if owner[part] == name:
            found.append((at, rows))
        at += rows
    return tuple(found)
