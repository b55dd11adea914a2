"""Every file of a study, read and checked: what is damaged and why, what is newer, what is stray.

Checked: parts (hash, page checksums, schema, version), JSON files with their checksums, checkpoints and models (the
hash in the name, or else the checksums of the archive), and that completed trials have curves and arrays. Reads only.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vmi.results.kept_models import LIST
from vmi.results.lineage import owners, shares
from vmi.results.parts import Damaged, Found, Part, load, taken_of
from vmi.results.rows import KEYS, attempts, first_attempts
from vmi.results.schema import SCHEMA_VERSION, TABLES, misfits_of, schema_of, united
from vmi.spec.errors import StoreError
from vmi.storage.checksum import IN_STUDY, unsealed
from vmi.storage.durable import LOCAL, TEMPORARY, Files
from vmi.storage.paths import AnyPath

QUARANTINE = "quarantine"
# Folders of a study with files that may carry the hash of their content in their name.
HASHED = {"checkpoints": "checkpoints and models", "models": "checkpoints and models", "steer": "requests"}
_HASH = re.compile(r".*-([0-9a-f]{32})\.[A-Za-z0-9]+", re.DOTALL)
_DEEPEST = 8


class Incomplete(NamedTuple):
    """A completed trial without its curves or arrays, and the part that has its row."""

    path: AnyPath
    trial_id: str
    attempt: int
    lacks: str

    @property
    def reason(self) -> str:
        return f"trial {self.trial_id} (attempt {self.attempt}) is completed, but its {self.lacks} are missing"


class Checkup(NamedTuple):
    """What is wrong with a study, and how many things there are: `counts` by what they are."""

    damaged: tuple[Damaged, ...]
    newer: tuple[Damaged, ...]
    incomplete: tuple[Incomplete, ...]
    counts: Mapping[str, int]

    @property
    def sound(self) -> bool:
        return not (self.damaged or self.newer or self.incomplete)

    def lines(self) -> Iterator[str]:
        """Each file that is wrong, and why."""
        yield from (f"{path}: {why}" for path, why in (*self.damaged, *self.newer))
        yield from (f"{item.path}: {item.reason}" for item in self.incomplete)


def check(folder: AnyPath, files: Files = LOCAL) -> Checkup:
    """Check every file of one study's folder. Raises OSError where a folder cannot be listed."""
    damaged: list[Damaged] = []
    newer: list[Damaged] = []
    counts: dict[str, int] = {}
    sound: dict[str, list[Part]] = {}
    for table in TABLES:
        found, wrong = _table(folder / table, table, files)
        damaged += wrong
        newer += [Damaged(folder / table / name, _needed(why.version)) for name, why in found.newer.items()]
        misfits = {path.name for path, _ in wrong}
        sound[table] = [part for part in found.parts if part.name not in misfits]
        counts[f"{table} parts"] = len(sound[table])
    damaged += [*_sealed(folder, IN_STUDY, files, counts), *_hashed(folder, files, counts)]
    incomplete = [] if newer else list(_incomplete(folder, sound))
    counts |= {"rows twice": sum(_twice(sound[table], table) for table in TABLES)}
    counts |= {"replaced parts": sum(_replaced(sound[table]) for table in TABLES)}
    counts |= _leftovers(folder, files)
    return Checkup(tuple(sorted(damaged)), tuple(newer), tuple(incomplete), counts)


def check_sealed(folder: AnyPath, names: Iterable[str], files: Files = LOCAL) -> tuple[Damaged, ...]:
    """The JSON files of these names that are damaged; one that is absent is not."""
    return tuple(_sealed(folder, names, files, {}))


def _table(folder: AnyPath, table: str, files: Files) -> tuple[Found, list[Damaged]]:
    try:
        # Of arrays the keys alone are kept: the pictures of 10,000 trials are more than a laptop's memory.
        found = load(folder, table, files, None if table == "trials" else KEYS[table], thorough=True)
    except StoreError as error:  # a file in place of the folder
        return Found((), {}, {}, 0), [Damaged(folder, str(error).removeprefix(f"{folder}: "))]
    misfits = misfits_of({part.name: part.schema for part in found.parts}, schema_of(table, (), ""))
    return found, [Damaged(folder / name, why) for name, why in {**found.damaged, **misfits}.items()]


def _needed(version: int) -> str:
    return f"needs a program that reads schema version {version}; this one reads {SCHEMA_VERSION}"


def _sealed(folder: AnyPath, names: Iterable[str], files: Files, counts: dict[str, int]) -> Iterator[Damaged]:
    counts["JSON files"] = 0
    for name in names:
        try:
            unsealed(files.read(folder / name))
            counts["JSON files"] += 1
        except FileNotFoundError:
            continue
        except (ConnectionError, TimeoutError):  # a store that stays away is not damaged
            raise
        except OSError as error:
            yield Damaged(folder / name, f"cannot be read: {error.strerror or error}")
        except ValueError as error:
            yield Damaged(folder / name, str(error))


def _hashed(folder: AnyPath, files: Files, counts: dict[str, int]) -> Iterator[Damaged]:
    counts |= dict.fromkeys(HASHED.values(), 0)
    for name, things in HASHED.items():
        for path in _walk(folder / name, files, _DEEPEST):
            if path.name.startswith("."):
                continue
            why = _wrong_with(path, files)
            if why:
                yield Damaged(path, why)
            else:
                counts[things] += path.suffix != ".started" and not _is_list(path)


def _wrong_with(path: AnyPath, files: Files) -> str:
    """What is wrong with a file that carries its hash, or with an archive of torch's; "" where nothing is."""
    try:
        data = files.read(path)
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        return "" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"
    named = _HASH.fullmatch(path.name)
    if named:
        right = hashlib.sha256(data).hexdigest().startswith(named[1])
        return "" if right else f"its content ({len(data)} bytes) does not match the hash in its name"
    if _is_list(path):
        return _wrong_with_list(data)
    if path.suffix != ".pt":
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            bad = archive.testzip()
    except Exception as error:  # zipfile raises half a dozen types for a damaged archive
        return f"not a whole archive: {error}"
    return f"not a whole archive: {bad} does not match its checksum" if bad else ""


def _is_list(path: AnyPath) -> bool:
    """Whether it says which trials a kept pack has (`vmi.results.kept_models`)."""
    return path.suffix == LIST and _HASH.fullmatch(path.name) is None


def _wrong_with_list(data: bytes) -> str:
    try:
        unsealed(data)
    except ValueError as error:
        return str(error)
    return ""


def _walk(folder: AnyPath, files: Files, deepest: int) -> Iterator[AnyPath]:
    """The files below a folder, none where there is no such folder."""
    try:
        names = files.names(folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        yield folder
        return
    for name in sorted(names) if deepest else ():
        yield from _walk(folder / name, files, deepest - 1)


def _incomplete(folder: AnyPath, sound: Mapping[str, list[Part]]) -> Iterator[Incomplete]:
    """The trials that count as completed and join no curve, or no arrays."""
    counted = shares({part.name: part.held for part in sound["trials"]})
    taken = [(part.name, taken_of(part.table, counted[part.name])) for part in sound["trials"] if counted[part.name]]
    rows = [table.append_column("part", pa.repeat(name, table.num_rows)) for name, table in taken]
    if not rows:
        return
    trials = first_attempts(united(rows, schema_of("trials", (), "")))
    trials = trials.filter(pc.equal(trials["outcome"], "completed"))
    lacking: dict[tuple[str, str, int], list[str]] = {}
    for table in ("curves", "arrays"):
        there = united([part.table.select(KEYS["arrays"]) for part in sound[table]], pa.schema([]))
        keys = attempts(there).combine_chunks() if there.num_rows else pa.array([], pa.string())
        bare = trials.filter(pc.invert(pc.is_in(attempts(trials), keys)))
        for row in bare.select(["part", "trial_id", "attempt"]).to_pylist():
            lacking.setdefault((row["part"], row["trial_id"], row["attempt"]), []).append(table)
    for (part, trial_id, attempt), tables in lacking.items():
        yield Incomplete(folder / "trials" / part, trial_id, attempt, " and ".join(tables))


def _twice(parts: list[Part], table: str) -> int:
    """Rows of a key that another row has, beside those that a compaction did not come to remove."""
    owner = owners({part.name: part.held for part in parts})
    own = [part for part in parts if part.name in set(owner.values())]
    keys = [*dict.fromkeys((*KEYS[table], "attempt"))]
    rows = united([part.table.select(keys) for part in own], pa.schema([]))
    return int(rows.num_rows - (rows.group_by(keys).aggregate([]).num_rows if rows.num_rows else 0))


def _replaced(parts: list[Part]) -> int:
    return len(parts) - len(set(owners({part.name: part.held for part in parts}).values()))


def _leftovers(folder: AnyPath, files: Files) -> dict[str, int]:
    """Temporary files of writers that were killed, and files that are none of ours; both are ignored by readers."""
    temporary = stray = quarantined = 0
    for place in (folder, *(folder / table for table in TABLES)):
        try:
            names = files.names(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        temporary += sum(name.startswith(TEMPORARY) for name in names)
        others = [name for name in names if not name.startswith(TEMPORARY)]
        stray += sum(name.startswith(".") if place == folder else not name.startswith("part-") for name in others)
    quarantined = sum(1 for _ in _walk(folder / QUARANTINE, files, _DEEPEST))
    return {"temporary files": temporary, "strays": stray, "files in quarantine": quarantined}
