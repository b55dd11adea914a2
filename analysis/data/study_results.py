"""A study's folder as plain values: what was asked for, one row per trial, and what could not be read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.data import under_way
from analysis.data.study_json import fresh_seeds, restarts_of, search_seeds
from vmi.results import parts
from vmi.results.dropped import Drop, in_force, read_drops
from vmi.results.rows import KEYS, distinct, earlier_attempts, first_attempts
from vmi.results.schema import TABLES
from vmi.results.study_file import flaw
from vmi.spec.errors import InputError, Problem, StoreError, near
from vmi.spec.requests import in_view, numbered
from vmi.spec.trial import CUT_SHORT, Row
from vmi.spec.version import STUDY_VERSION
from vmi.storage.checksum import IN_STUDY, unsealed
from vmi.storage.durable import LOCAL
from vmi.storage.paths import AnyPath, below


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """One study: `spec` is study.json, `trials` a row per trial_id; see `curve` and `arrays` for the rest.

    `left_out`: how many more trials are stored that its last request, which alone is shown, did not ask for.
    `drops` says what was taken out by hand, and is in none of the tables.
    `earlier` has the failed and stopped rows of trials that were tried again, before the one that counts, by trial.
    `under_way` has the trials that are trained, or were when their driver ended: none of them is in `trials`, or in
    any figure of these. See `curve` for what they have reported.
    """

    folder: AnyPath
    spec: Mapping[str, Any]
    trials: tuple[Row, ...]
    left_out: int = 0
    ignored: int = 0
    duplicates: int = 0
    earlier: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    drops: tuple[Drop, ...] = ()
    under_way: tuple[Row, ...] = ()
    live_curves: Mapping[str, pa.Table] = field(default_factory=dict, repr=False, compare=False)
    curves_table: pa.Table = field(repr=False, compare=False)
    arrays_table: pa.Table = field(repr=False, compare=False)
    trials_schema: pa.Schema | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        return str(self.spec.get("name", self.folder.name))

    @property
    def completed(self) -> tuple[Row, ...]:
        return self.ended_as("completed")

    @cached_property
    def counted(self) -> tuple[Row, ...]:
        """The completed trials that make replicates: of restarts those of groups all of whose trials have ended."""
        restarts = restarts_of(self.spec)
        if restarts.size == 1:
            return self.completed
        ended = {(row["suggestion_id"], row["seed"]) for row in self.trials}
        group_of = {seed: group for group in restarts.groups for seed in group}
        mates = [(row, group_of.get(row["seed"], (None,))) for row in self.completed]
        return tuple(row for row, group in mates if all((row["suggestion_id"], seed) in ended for seed in group))

    @property
    def compared(self) -> tuple[Row, ...]:
        """The counted trials that settings are made of: those of the search, without suggestions that were cut short.

        Where one seed was pruned or stopped, the mean over the others would be too good.
        """
        fresh = fresh_seeds(self.spec)
        return tuple(r for r in self.counted if r["seed"] not in fresh and r["suggestion_id"] not in self.cut_short)

    @property
    def confirmed(self) -> tuple[Row, ...]:
        """The counted trials on the seeds of the confirmation: no part of any setting."""
        fresh = fresh_seeds(self.spec)
        return tuple(row for row in self.counted if row["seed"] in fresh)

    @cached_property
    def cut_short(self) -> Mapping[str, frozenset[str]]:
        """Suggestions of which some seed of the search was pruned or stopped, with which.

        A restart that was is only not chosen, and a fresh seed takes nothing from what the search has found.
        """
        return self._cut_short(lambda seed: seed not in fresh_seeds(self.spec))

    @cached_property
    def unconfirmed(self) -> Mapping[str, frozenset[str]]:
        """As `cut_short`, of the seeds of the confirmation: the others would flatter such a suggestion there."""
        return self._cut_short(lambda seed: seed in fresh_seeds(self.spec))

    @cached_property
    def whole(self) -> frozenset[str]:
        """Suggestions of which every seed of the search has ended: they alone are ranked, by the driver as well."""
        return self._ended_on(search_seeds(self.spec))

    @cached_property
    def whole_again(self) -> frozenset[str]:
        """As `whole`, of the seeds of the confirmation."""
        return self._ended_on(fresh_seeds(self.spec))

    def _ended_on(self, seeds: Iterable[int]) -> frozenset[str]:
        ended: dict[str, set[int]] = {}
        for row in self.trials:
            ended.setdefault(row["suggestion_id"], set()).add(row["seed"])
        return frozenset(suggestion for suggestion, own in ended.items() if own.issuperset(seeds))

    def _cut_short(self, of: Callable[[int], bool]) -> Mapping[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for row in self.trials if restarts_of(self.spec).size == 1 else ():
            if row["outcome"] in CUT_SHORT and of(row["seed"]):
                found[row["suggestion_id"]] = found.get(row["suggestion_id"], frozenset()) | {row["outcome"]}
        return found

    def ended_as(self, outcome: str) -> tuple[Row, ...]:
        """The trials with one of `vmi.spec.trial.OUTCOMES`."""
        return tuple(row for row in self.trials if row["outcome"] == outcome)

    @property
    def failed(self) -> tuple[Row, ...]:
        return self.ended_as("failed")

    def attempts(self, trial_id: str) -> int:
        """How often a trial was trained to an end, failed and stopped attempts included."""
        return 1 + len(self.earlier.get(trial_id, ()))

    @property
    def planned(self) -> int:
        """Number of trials asked for; what is there when study.json does not say."""
        planned = self.spec.get("planned")
        return planned if isinstance(planned, int) else len(self.trials)

    @property
    def missing(self) -> int:
        return max(0, self.planned - len(self.trials))

    @cached_property
    def request_numbers(self) -> Mapping[str, int]:
        """By trial the number of the request, from 1, that asked for it first."""
        return numbered(self.spec, self.trials)

    def curve(self, row: Row) -> tuple[Row, ...]:
        """The reports of a trial's kept attempt, by step; of one under way those so far."""
        table = self.curves_table if "outcome" in row else self.live_curves[row["pack_id"]]
        mine = _rows_of(table, [row], KEYS["curves"])
        return tuple(sorted(({k: _finite(v) for k, v in r.items()} for r in mine.to_pylist()), key=_step))

    def arrays(self, rows: Iterable[Row]) -> Mapping[str, Mapping[str, np.ndarray]]:
        """Arrays by trial_id, then by column name; shapes as in vmi.spec.arrays."""
        table = _rows_of(self.arrays_table, list(rows), KEYS["arrays"])
        names = [n for n in table.column_names if isinstance(table.schema.field(n).type, pa.FixedShapeTensorType)]
        ids = table["trial_id"].to_pylist() if table.num_rows else []
        return {trial: {n: a for n in names if (a := _tensor(table[n], i)) is not None} for i, trial in enumerate(ids)}


def open_study(folder: AnyPath) -> StudyResults:
    """Read study.json and the trials.

    Raises InputError when it is no study's folder, naming the nearest; StoreError when study.json is broken
    or a file is of a newer version. Damaged parts are named in the result.
    """
    spec = _spec(folder)
    found = {table: parts.read(folder / table, table) for table in TABLES}
    rows = found["trials"].table
    ended = _one_per_trial(rows)
    kept, earlier = tuple(in_view(spec, ended)), earlier_attempts(rows, ended)
    running = under_way.read(folder, spec, {row["trial_id"] for row in ended})
    return StudyResults(
        folder=folder,
        spec=spec,
        trials=kept,
        left_out=len(ended) - len(kept),
        ignored=sum(result.stray for result in found.values()),
        curves_table=found["curves"].table,
        arrays_table=found["arrays"].table,
        trials_schema=rows.schema,
        duplicates=rows.num_rows - len(ended) - sum(map(len, earlier.values())),
        earlier=earlier,
        damaged=(
            *(f"{below(folder, d.path)}: {d.reason}" for result in found.values() for d in result.damaged),
            *_broken_seals(folder),
        ),
        drops=_drops(folder, ended),
        under_way=running.rows,
        live_curves=running.curves,
    )


def _spec(folder: AnyPath) -> Mapping[str, Any]:
    path = folder / "study.json"
    if not path.is_file():
        raise InputError(
            [Problem("folder", str(folder), "a study's results (a folder with study.json)", _near(folder))]
        )
    try:
        spec = unsealed(path.read_bytes())
    except ValueError as error:
        raise StoreError(f"{path}: damaged, kept as it is: {error}") from error
    if wrong := flaw(spec):
        raise StoreError(f"{path}: {wrong}; the file is kept as it is")
    version = spec.get("vmi_study_version", STUDY_VERSION)
    if version != STUDY_VERSION:
        raise StoreError(f"{path}: study version {version!r}; this program reads version {STUDY_VERSION}")
    return spec


def _broken_seals(folder: AnyPath) -> Iterator[str]:
    """What is wrong with the other JSON files; a driver's is gone when its run is, and then tells nothing."""
    for name in IN_STUDY:
        if name in ("study.json", "driver.json"):
            continue
        try:
            unsealed((folder / name).read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            yield f"{name}: {error}"


def _drops(folder: AnyPath, ended: tuple[Row, ...]) -> tuple[Drop, ...]:
    """What was taken out of the study by hand; a damaged file of it is named among the broken ones."""
    try:
        return in_force(read_drops(folder), ended)
    except StoreError:
        return ()


def _near(folder: AnyPath) -> str:
    """The studies in the folder, which may be that of all results, else the nearest beside it."""
    if within := _studies_in(folder):
        return f"in it: {', '.join(within[:10])}"
    beside = folder.absolute().parent
    names = _studies_in(beside)
    if not names:
        return f"no study's results in {beside}"
    return near(folder.name, names)


def _studies_in(folder: AnyPath) -> list[str]:
    found = sorted(LOCAL.names(folder)) if folder.is_dir() else []
    return [name for name in found if (folder / name / "study.json").is_file()]


def _one_per_trial(trials: pa.Table) -> tuple[Row, ...]:
    """The row of each trial that counts, in a stable order."""
    rows = [{k: _finite(v) for k, v in row.items()} for row in first_attempts(trials).to_pylist()]
    return tuple(sorted(rows, key=lambda row: (str(row["suggestion_id"]), row["seed"] or 0, row["trial_id"])))


def _finite(value: Any) -> Any:
    """None for a number that is none: a NaN metric is an absent metric, everywhere."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rows_of(table: pa.Table, rows: list[Row], keys: Sequence[str]) -> pa.Table:
    """The table's rows that belong to (trial_id, attempt) of `rows`, the first of each of `keys`.

    A commit that was cut short, and made again in the same attempt, has left some twice.
    """
    wanted = {(row["trial_id"], row["attempt"]) for row in rows}
    if not table.num_rows or not wanted:
        return table.slice(0, 0)
    table = table.filter(pc.is_in(table["trial_id"], pa.array(sorted({trial for trial, _ in wanted}), pa.string())))
    attempts_of = zip(table["trial_id"].to_pylist(), table["attempt"].to_pylist(), strict=True)
    return distinct(table.filter(pa.array([one in wanted for one in attempts_of], pa.bool_())), keys)


def _tensor(column: pa.ChunkedArray, index: int) -> np.ndarray | None:
    scalar = column[index]
    return scalar.to_numpy() if scalar.is_valid else None


def _step(row: Row) -> int:
    return row["step"] or 0
