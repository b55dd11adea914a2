"""How a study is to be run, as opposed to what is asked for: none of it changes a trial's numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vmi.cost.sizing import AUTO, MAX_PACK_SIZE
from vmi.spec.errors import InputError, Problem
from vmi.storage.paths import AnyPath, path_of
from vmi.storage.paths import ObjectPath as ObjectPath
from vmi.storage.paths import opened as opened
from vmi.study.seeds import MAX_SEEDS

RESULTS = "Folder of all results, or s3://BUCKET/PREFIX in an object store."
PACK_SIZE = "Most trials trained as one program; auto: by what was measured, and what memory holds."
SEEDS = f"a count from 1 to {MAX_SEEDS} (5 means 0,1,2,3,4) or a comma-separated list of seeds (0,3,7)"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Holds anything; `problems` says what is wrong with it.

    seeds          as `parse_seeds` reads them, None for the study's own
    gpus_per_pack  None: a whole GPU where there is one, else the CPU; 0: the CPU; up to 1: that share of a GPU
    pack_size      AUTO, or how many trials are trained as one program at most
    resume         refuse to begin a study that is not there
    usage          what was found wrong with the command line before any value was looked at
    """

    results: AnyPath = Path("results")
    seeds: str | None = None
    local: bool = False
    address: str | None = None
    gpus_per_pack: float | None = None
    pack_size: int | str = AUTO
    keep_models: bool = False
    resume: bool = False
    usage: tuple[Problem, ...] = ()

    def problems(self) -> list[Problem]:
        """Everything that is wrong with the options."""
        found = [*self.usage]
        if self.seeds is not None and not parse_seeds(self.seeds):
            found.append(Problem("--seeds", self.seeds, SEEDS))
        if self.pack_size != AUTO and not is_whole(self.pack_size, 1, MAX_PACK_SIZE):
            found.append(Problem("--pack-size", self.pack_size, f"{AUTO}, or a whole number from 1 to {MAX_PACK_SIZE}"))
        share = self.gpus_per_pack
        if share is not None and not (isinstance(share, int | float) and 0 <= share <= 1):
            found.append(Problem("--gpus-per-pack", share, "a number from 0 to 1: a pack runs on one device"))
        if self.local and self.address:
            found.append(Problem("--address", self.address, "not together with --local, which starts no Ray"))
        return found


def place_of(text: str) -> AnyPath:
    """Where --results says; for what is no place, which `vmi.cli.parsing` names, a folder that nothing is done with."""
    try:
        return path_of(text)
    except InputError:
        return Path("results")


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether an option that should be a whole number (`vmi.cli.parsing.whole`) is one in this range."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def parse_seeds(text: str) -> tuple[int, ...] | range | None:
    """ "3" -> range(3); "0,3,7" -> (0, 3, 7); None for anything else."""
    pieces = [piece.strip() for piece in text.split(",")]
    if not all(re.fullmatch(r"-?[0-9]{1,20}", piece) for piece in pieces):
        return None
    numbers = tuple(int(piece) for piece in pieces)
    if len(numbers) > 1:
        return numbers
    return range(numbers[0]) if 1 <= numbers[0] <= MAX_SEEDS else None
