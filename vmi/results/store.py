"""The store of one study: where its files lie, which trials are finished, how a commit becomes durable."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vmi.results.dropped import Drop, read_drops
from vmi.results.parts import ReadResult, publish, read
from vmi.results.rows import KEYS, attempts, distinct, first_attempts
from vmi.results.schema import JUDGED, TABLES, schema_of
from vmi.results.study_file import flaw
from vmi.spec.errors import InputError, Problem, StoreError
from vmi.storage.checksum import sealed, unsealed
from vmi.storage.durable import LOCAL, Files, probe, put_replacing
from vmi.storage.paths import AnyPath, ObjectPath


@dataclass(frozen=True)
class Store:
    """root/study: {trials,curves,arrays}/part-*.parquet, study.json and, where there are any, report.html, wandb,
    checkpoints, models, dropped.json, steer, quarantine.

    A trial is finished when, and only when, `trials` has a row of it. Readers of curves and arrays join them
    to that row on (trial_id, attempt): a commit that was cut short leaves rows that join nothing.
    """

    root: AnyPath
    study: str
    files: Files = LOCAL

    @property
    def folder(self) -> AnyPath:
        return self.root / self.study

    @property
    def study_file(self) -> AnyPath:
        return self.folder / "study.json"

    @property
    def checkpoints(self) -> AnyPath:
        return self.folder / "checkpoints"

    @property
    def models(self) -> AnyPath:
        return self.folder / "models"

    def folder_of(self, table: str) -> AnyPath:
        """The folder of one of TABLES."""
        return self.folder / table

    def read(self, table: str, columns: Collection[str] | None = None) -> ReadResult:
        """Every row of one of TABLES as published (duplicates and orphans too), and what is damaged.

        `columns`: these alone are decoded; every file is checked all the same.
        """
        return read(self.folder_of(table), table, self.files, columns)

    def finished(self) -> Mapping[str, dict[str, Any]]:
        """The row of every finished trial by trial_id, none of which is to be trained again unless it is asked for.

        Failed trials are finished too: a trial is deterministic, so it would fail again. Of several rows one counts
        (`vmi.results.rows.preference`). Raises StoreError naming what is damaged, because a trial in a damaged part
        would be trained again.
        """
        rows = first_attempts(self.read("trials").checked()).to_pylist()
        return {row["trial_id"]: row for row in rows}

    def next_attempt(self) -> int:
        """One above every attempt in any table, so that rows of a commit that was cut short join nothing.

        Dropped trials count: how they are told from what is trained again.
        """
        tables = [self.read(table, ("attempt",)).checked() for table in TABLES]
        dropped = (number for drop in self.drops() for number in drop.attempts.values())
        return 1 + max(*(pc.max(table["attempt"]).as_py() or 0 for table in tables), *dropped)

    def drops(self) -> tuple[Drop, ...]:
        """What was dropped of this study (`vmi.results.drop`), the last one perhaps not yet. StoreError if damaged."""
        return read_drops(self.folder, self.files)

    def commit(self, curves: pa.Table, arrays: pa.Table, trials: pa.Table) -> None:
        """Publish curves and arrays, then trials, which makes them finished. Raises OSError or StoreError.

        After an error the same commit may be made again: what was published already is found, not doubled.
        """
        for name, table in (("curves", curves), ("arrays", arrays), ("trials", trials)):
            if table.num_rows:
                publish(self.folder_of(name), table, self.files)

    def adopt(self, presets: Mapping[str, str], layouts: Sequence[str], dataset: str) -> list[str]:
        """Copy those trials that other studies under the root have completed, in one commit; their ids.

        `presets` has the wanted trials by id, each with the preset's name that this study gives it.

        Trials that are finished here, or were dropped here, are not looked for. The copies have this study's name and
        columns (`layouts`, `dataset`); all else stays, the attempt too. A study that is damaged, or newer than this
        program reads, is passed over.
        """
        wanted = set(presets) - set(self.finished()) - {trial_id for drop in self.drops() for trial_id in drop.attempts}
        copies: dict[str, list[pa.Table]] = {table: [] for table in TABLES}
        for other in self._others() if wanted else ():
            found = _completed_of(other, wanted)
            wanted -= set(found["trials"]["trial_id"].to_pylist())
            for table, rows in found.items():
                copies[table].append(_conformed(rows, schema_of(table, layouts, dataset), self.study, presets))
        tables = {name: pa.concat_tables(copied) for name, copied in copies.items() if copied}
        if not tables or not tables["trials"].num_rows:
            return []
        self.commit(**tables)
        return sorted(tables["trials"]["trial_id"].to_pylist())

    def write_study(self, spec: Mapping[str, Any]) -> None:
        """Keep what was asked for, replacing what was kept before. Raises OSError; ValueError on NaN."""
        put_replacing(self.folder, self.study_file.name, sealed(spec, sort_keys=True), self.files)

    def read_study(self) -> dict[str, Any] | None:
        """What was asked for, None when nothing was. Raises StoreError naming a damaged file."""
        try:
            spec = unsealed(self.files.read(self.study_file))
        except FileNotFoundError:
            return None
        except (ConnectionError, TimeoutError):
            raise  # a store that stays away is not damaged
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.study_file}: damaged, kept as it is: {error}") from error
        if wrong := flaw(spec):
            raise StoreError(f"{self.study_file}: damaged, kept as it is: {wrong}")
        return spec

    def check_writable(self) -> None:
        """Raises InputError on "results" when this study cannot be kept there; leaves nothing behind."""
        for folder in sorted({_nearest(self.folder_of(table), self.root) for table in TABLES}):
            try:
                probe(folder, self.files)
            except OSError as error:
                allowed, why = f"{self._kind} that can be written to", f"{folder}: {error.strerror}"
                raise InputError([Problem("results", str(self.root), allowed, why)]) from error

    @property
    def _kind(self) -> str:
        return "an object store" if isinstance(self.root, ObjectPath) else "a folder"

    def _others(self) -> Iterable[Store]:
        for name in sorted(self.files.names(self.root)) if self.root.is_dir() else ():
            other = Store(self.root, name, self.files)
            with contextlib.suppress(PermissionError):  # somebody else's
                if name != self.study and other.folder_of("trials").is_dir():
                    yield other


def _completed_of(store: Store, trial_ids: Collection[str]) -> Mapping[str, pa.Table]:
    """The completed ones of these trials with curves and arrays; none of one that is damaged or somebody else's."""
    try:
        tables = {table: store.read(table).checked() for table in TABLES}
    except (StoreError, PermissionError):
        tables = {table: schema_of(table, (), "").empty_table() for table in TABLES}
    trials = first_attempts(tables["trials"])
    completed = pc.equal(trials["outcome"], "completed")
    wanted = pc.is_in(trials["trial_id"], pa.array(list(trial_ids), pa.string()))
    trials = trials.filter(pc.and_(completed, wanted))
    keys = attempts(trials).combine_chunks()
    joined = {t: tables[t].filter(pc.is_in(attempts(tables[t]), keys)) for t in ("curves", "arrays")}
    return {table: distinct(rows, KEYS[table]) for table, rows in joined.items()} | {"trials": trials}


def _conformed(rows: pa.Table, schema: pa.Schema, study: str, presets: Mapping[str, str]) -> pa.Table:
    """The rows with exactly the columns of the schema, absent ones null, as rows of `study` under its own labels."""
    size = rows.num_rows
    # What a judge of the other study was told may be of another metric, and of those it did not stop alone.
    kept = (name for name in rows.column_names if name != JUDGED)
    values = {name: rows[name] for name in kept} | {"study": pa.repeat(study, size)}
    if "preset" in values:
        # A preset's name decides no number, so trials of one id may carry different ones.
        values["preset"] = pa.array([presets[trial_id] for trial_id in rows["trial_id"].to_pylist()], pa.string())
    columns = [values[field.name] if field.name in values else pa.nulls(size, field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _nearest(path: AnyPath, root: AnyPath) -> AnyPath:
    """The path itself or the nearest of its parents that exists; the root in an object store, which has no folders."""
    if isinstance(path, ObjectPath):
        return root
    return next(folder for folder in (path, *path.parents) if folder.exists() or folder.is_symlink())
