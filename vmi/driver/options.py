"""The options of a run, each declared once: a keyword of `vmi.run`, an option of every study file's command line.

None of them changes the numbers of a trial that both runs have.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from vmi.cost.packing import AUTO, MAX_PACK_SIZE
from vmi.cost.planning import PREFERENCES, TIME
from vmi.driver import budget
from vmi.driver.own_data import adopted
from vmi.spec.errors import InputError, Problem, did_you_mean, one_of
from vmi.storage.paths import ALLOWED, AnyPath, local, path_of
from vmi.study.overrides import wished
from vmi.study.seeds import MAX_SEEDS, held
from vmi.study.study import Study
from vmi.study.values import plain

MAX_TRIALS = 1_000_000
SEEDS = f"a count from 1 to {MAX_SEEDS} (5 means 0,1,2,3,4) or a comma-separated list of seeds (0,3,7)"
# Which trained packs a run keeps.
KEEP = ("best", "all", "none")


def option(default: Any, text: str, metavar: str = "", bare: str = "") -> Any:
    """A field that is an option: its help, and what stands for its value there ("INTEGER", "FLOAT", else text).

    `bare` is what it means on a command line without a value, where it need not have one.
    """
    return field(default=default, metadata={"help": text, "metavar": metavar, "bare": bare})


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What `vmi plan` takes as well: what is asked of the study, and where its results are. Holds anything."""

    smoke: bool = option(False, "A tiny version: 20 steps, 2 seeds, ends of each axis.")
    data: str | None = option(None, "Data set: digits, mnist, fashion_mnist, or a file or folder of your own images.")
    skip_broken: bool = option(False, "Leave broken images out of a folder or table of your own.")
    steps: int | None = option(None, "Training steps of every trial.", "INTEGER")
    seeds: int | str | Iterable[int] | None = option(None, f"Replicates: {SEEDS}.")
    restarts: int | None = option(None, "Seeds that form one replicate, the one chosen without labels.", "INTEGER")
    scale: str | None = option(None, "A scale that the study names, such as laptop or full.")
    name: str | None = option(None, "Name of the study's folder under the results.")
    results: str | AnyPath = option("results", "Folder of all results, or s3://, gs:// or az://BUCKET/PREFIX.")
    pack_size: int | str = option(
        AUTO, "Trials trained as one program, at most; auto: by measurement and memory.", "INTEGER|auto"
    )
    prefer: str = option(
        TIME, "How packs are cut: time, to be through soon, or cost, with the least work of all workers.", "time|cost"
    )
    only: bool = option(False, "Train and show this request alone; default: all that the study was ever asked for.")
    # What was found wrong with the command line, or with keywords, before any value was looked at.
    usage: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        """Hold what can be compared: numpy's numbers as Python's, an iterator's seeds as a tuple."""
        for part in options_of(type(self)):
            given = getattr(self, part.name)
            if part.name == "seeds":
                object.__setattr__(self, part.name, held(given))
            elif not isinstance(given, AnyPath):
                object.__setattr__(self, part.name, plain(given))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Options out of keywords; `problems` names those that do not exist."""
        known = {part.name for part in options_of(cls)}
        wrong = tuple(unknown_option(flag(n), v, map(flag, known)) for n, v in given.items() if n not in known)
        return cls(**{name: value for name, value in given.items() if name in known}, usage=wrong)

    @property
    def root(self) -> AnyPath:
        """The folder of all results; for what names none, which `problems` says, one that nothing is done with."""
        return Path("results") if any(self._place()) else path_of(self.results)

    def applied(self, study: Study) -> tuple[Study, tuple[Problem, ...]]:
        """The study as these options want it, and what is wrong with its scale."""
        changed, wrong = self.wished(study)
        read, unreadable = adopted(changed, self.skip_broken is True)
        return read, (*wrong, *unreadable)

    def wished(self, study: Study) -> tuple[Study, tuple[Problem, ...]]:
        """As `applied`, with images of the user's own still called by where they lie: nothing is read."""
        seeds = replicates(self.seeds) if self.seeds is not None else None
        return wished(
            study,
            dataset=self.data,
            steps=self.steps,
            seeds=seeds,
            restarts=self.restarts,
            smoke=self.smoke,
            name=self.name,
            scale=self.scale,
        )

    def problems(self) -> list[Problem]:
        """Everything that is wrong with the options themselves; study, data set and steps are judged together."""
        found = [*self.usage, *self._switches()]
        if self.seeds is not None and replicates(self.seeds) is None:
            found.append(Problem("--seeds", self.seeds, SEEDS))
        if self.pack_size != AUTO and not is_whole(self.pack_size, 1, MAX_PACK_SIZE):
            found.append(Problem("--pack-size", self.pack_size, f"{AUTO}, or a whole number from 1 to {MAX_PACK_SIZE}"))
        if self.prefer not in PREFERENCES:
            hint = did_you_mean(self.prefer, PREFERENCES)
            found.append(Problem("--prefer", self.prefer, one_of(PREFERENCES), hint))
        return found + [problem for problem in self._place() if problem not in found]

    def _switches(self) -> Iterator[Problem]:
        for part in options_of(type(self)):
            value = getattr(self, part.name)
            if isinstance(part.default, bool) and not isinstance(value, bool):
                yield Problem(flag(part.name), value, "True or False")

    def _place(self) -> Iterator[Problem]:
        if isinstance(self.results, str | AnyPath):
            yield from place_problems("--results", self.results)
        else:
            yield Problem("--results", self.results, ALLOWED)


@dataclass(frozen=True, kw_only=True)
class RunOptions(StudyOptions):
    """What a run takes. Holds anything; `problems` says what is wrong with it."""

    local: bool = option(False, "Train in this process, without Ray.")
    address: str | None = option(None, "Ray cluster; default: this machine's, else a new local one.")
    gpus_per_pack: float | None = option(None, "GPUs of a pack, from 0 to 1; default: 1 if there are any.", "FLOAT")
    keep_models: str | bool = option(
        "none",
        "Keep trained packs, for `vmi export` and `vmi evaluate`: all (or no word), or best: those with the best trial "
        "of a setting.",
        "best|all|none",
        bare="all",
    )
    resume: bool = option(False, "Resume an existing study; refuse to begin one.")
    hours: float | None = option(None, "End this run after so many hours, with checkpoints; exit code 4.", "FLOAT")
    until: str | None = option(None, "The same at a time: 18:00 (today), or 2026-11-27T18:00 with or without a zone.")
    trials: int | None = option(None, "Train at most so many trials in this run; found ones do not count.", "INTEGER")
    retry_failed: bool = option(False, "Train failed trials again; without it they stay failed.")
    retry_stopped: bool = option(
        False, "Train trials that `vmi stop` has stopped again, and lift its requests; without it they stay stopped."
    )

    def __post_init__(self) -> None:
        """Also: whether to keep models, as a truth value, is all of them or none."""
        super().__post_init__()
        if isinstance(self.keep_models, bool):
            object.__setattr__(self, "keep_models", "all" if self.keep_models else "none")

    @property
    def retried(self) -> tuple[str, ...]:
        """The outcomes (`vmi.spec.trial.RETRIABLE`) whose trials are trained again."""
        asked = {"failed": self.retry_failed, "stopped": self.retry_stopped}
        return tuple(outcome for outcome, is_asked in asked.items() if is_asked)

    def problems(self) -> list[Problem]:
        """Everything that is wrong with the options themselves."""
        found, share = super().problems(), self.gpus_per_pack
        if not (isinstance(self.keep_models, str) and self.keep_models in KEEP):
            hint = did_you_mean(self.keep_models, KEEP)
            found.append(Problem("--keep-models", self.keep_models, one_of(KEEP), hint))
        found += budget.problems(self.hours, self.until, time.time())
        if self.trials is not None and not is_whole(self.trials, 1, MAX_TRIALS):
            found.append(Problem("--trials", self.trials, f"a whole number from 1 to {MAX_TRIALS}"))
        is_number = isinstance(share, int | float) and not isinstance(share, bool)
        if share is not None and not (is_number and 0 <= share <= 1):
            found.append(Problem("--gpus-per-pack", share, "a number from 0 to 1: a pack runs on one device"))
        if self.address is not None and not isinstance(self.address, str):
            found.append(Problem("--address", self.address, "the address of a Ray cluster, such as auto"))
        elif self.local and self.address:
            found.append(Problem("--address", self.address, "not together with --local, which starts no Ray"))
        return found


def options_of(of: type[Any]) -> list[Field[Any]]:
    """The fields of a class that are options."""
    return [part for part in fields(of) if "help" in part.metadata and part.default is not MISSING]


def bare_values(of: type[Any]) -> dict[str, str]:
    """What options mean that may stand without a value, by what the command line calls them."""
    return {flag(part.name): bare for part in options_of(of) if (bare := part.metadata["bare"])}


def flag(name: str) -> str:
    """What the command line calls an option: "pack_size" -> "--pack-size"."""
    return f"--{name.replace('_', '-')}"


def unknown_option(name: str, value: object, known: Iterable[str]) -> Problem:
    """An option that does not exist, with the nearest that does."""
    names = sorted(known)
    return Problem(name, value, "no such option", did_you_mean(name, names) or f"options: {', '.join(names)}")


def place_problems(name: str, given: str | AnyPath) -> Iterator[Problem]:
    """A path under a URI that is not supported, or one that no file can have here: too long, or a circle of links."""
    try:
        path = path_of(given, name)
    except InputError as error:
        yield from error.problems
        return
    try:
        if here := local(path):
            here.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        yield Problem(name, str(path), "a path that there can be on this system", said)


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether an option that should be a whole number (`vmi.cli.parsing.whole`) is one in this range."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def replicates(given: object) -> Any:
    """The seeds that are meant, for the study to judge: "3" and 3 -> range(3); "0,3,7" -> (0, 3, 7); None for none."""
    if isinstance(given, str):
        pieces = [piece.strip() for piece in given.split(",")]
        if not all(re.fullmatch(r"-?[0-9]{1,20}", piece) for piece in pieces):
            return None
        numbers = tuple(int(piece) for piece in pieces)
        return numbers if len(numbers) > 1 else replicates(numbers[0])
    if isinstance(given, int):
        return range(given) if is_whole(given, 1, MAX_SEEDS) else None
    return given if isinstance(given, tuple) else None
