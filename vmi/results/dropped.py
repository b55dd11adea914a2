"""dropped.json: which trials were taken out of a study, when, and by which condition.

It is written before the rows go. Whether they went can be seen: what is trained again has a higher attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vmi.spec.errors import StoreError
from vmi.spec.trial import Row
from vmi.storage.checksum import sealed, unsealed
from vmi.storage.durable import LOCAL, Files, put_replacing
from vmi.storage.paths import AnyPath

FILE = "dropped.json"


class Drop(NamedTuple):
    """Trials that were dropped together.

    Attributes:
        at: when, in UTC, as ISO 8601 has it
        where: the condition that they met
        attempts: for each trial's id its highest attempt
    """

    at: str
    where: str
    attempts: Mapping[str, int]

    def __str__(self) -> str:
        count = len(self.attempts)
        return f"{count:,} trial{'s' if count != 1 else ''} on {self.at[:16].replace('T', ' ')} UTC, where {self.where}"


def read_drops(folder: AnyPath, files: Files = LOCAL) -> tuple[Drop, ...]:
    """What a study's folder says, the oldest first. Raises StoreError naming a damaged file."""
    try:
        content = unsealed(files.read(folder / FILE))
        return tuple(_drop(**item) for item in content["drops"])
    except FileNotFoundError:
        return ()
    except (ConnectionError, TimeoutError):
        raise  # a store that stays away is not damaged
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{folder / FILE}: damaged, kept as it is: {error}") from error


def write_drops(folder: AnyPath, drops: Sequence[Drop], files: Files = LOCAL) -> None:
    """Keep these in place of those that were kept before. Raises OSError."""
    put_replacing(folder, FILE, sealed({"drops": [drop._asdict() for drop in drops]}), files)


def in_force(drops: Iterable[Drop], rows: Iterable[Row]) -> tuple[Drop, ...]:
    """Those whose trials went: a drop that was cut short before changed nothing. `rows`: one per finished trial."""
    there = {row["trial_id"]: row["attempt"] or 0 for row in rows}
    return tuple(drop for drop in drops if not any(there.get(one, n + 1) <= n for one, n in drop.attempts.items()))


def _drop(at: Any, where: Any, attempts: Any) -> Drop:
    if not (
        isinstance(at, str) and isinstance(where, str) and all(type(number) is int for number in attempts.values())
    ):
        raise ValueError("not the list of what was dropped")
    return Drop(at, where, attempts)
