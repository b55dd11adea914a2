"""One stored trial trained again from its row alone, as a pack of one in this process, beside what is stored of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vmi.cost.packing import pack_of
from vmi.driver.own_data import own_data, register_beside
from vmi.results.comparison import Record, array_differences, curve_differences, metric_differences, record_of
from vmi.results.schema import TABLES
from vmi.results.store import Store
from vmi.sources import kept
from vmi.spec.config import FIELD_TYPES, TrialConfig
from vmi.spec.datasets import DATASETS, data_folder, find
from vmi.spec.errors import InputError, Problem, did_you_mean, near
from vmi.spec.trial import CUT_SHORT, Row, Trial
from vmi.storage.paths import AnyPath
from vmi.worker import own_images
from vmi.worker.messages import Task, Update
from vmi.worker.work import work

# No checkpoint: what is trained here is not resumed.
NEVER_SECONDS = 1e6


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """A trial as it is stored, and as it came out again in `seconds`; `store` has the new rows."""

    stored: Record
    again: Record
    seconds: float
    store: Store

    @property
    def until(self) -> int | None:
        """The last step that is compared: of a trial that was pruned or stopped where it was, else None for all."""
        return int(self.stored.row["step"]) if self.stored.row["outcome"] in CUT_SHORT else None

    @property
    def differences(self) -> list[str]:
        """What is not bitwise as it is stored, by how much; empty where all of it is."""
        found = [*_ending(self.stored.row, self.again.row), *curve_differences(self.stored, self.again, self.until)]
        if self.until is not None:
            return found
        return [*found, *metric_differences(self.stored, self.again), *array_differences(self.stored, self.again)]


def stored_trial(store: Store, trial_id: str) -> Row:
    """The row that counts. Raises InputError where no such study or trial is, StoreError where the store is damaged."""
    if not store.folder_of("trials").is_dir():
        names = sorted(store.files.names(store.root)) if store.root.is_dir() else []
        studies = [name for name in names if (store.root / name / "trials").is_dir()]
        allowed, hint = "a study's results, such as results/lambda", near(store.study, studies)
        raise InputError([Problem("folder", str(store.folder), allowed, hint)])
    rows = store.finished()
    if trial_id not in rows:
        hint = did_you_mean(trial_id, rows) or f"{len(rows)} trials are finished"
        raise InputError([Problem("trial_id", trial_id, f"a finished trial of {store.study}", hint)])
    return rows[trial_id]


def trial_of(row: Row, store: Store) -> Trial:
    """The trial that a row describes. Raises InputError where its data are missing or others, or its numbers would be.

    Images of the user's own are read from beside the results.
    """
    register_beside(store.folder)
    name, known = str(row["dataset"]), find(str(row["dataset"]))
    if known is None:
        allowed = f"{', '.join(DATASETS)}, or images that are kept in {store.root / kept.FOLDER}"
        raise InputError([Problem("dataset", name, allowed, "the data that the trial was trained on are missing")])
    if known.fingerprint != row["data_fingerprint"]:
        hint = f"the trial was trained on {row['data_fingerprint']}"
        raise InputError([Problem("dataset", name, f"content {known.fingerprint}", hint)])
    config = TrialConfig(**{field: row[field] for field in FIELD_TYPES})
    if config.trial_id != row["trial_id"]:
        allowed = "a trial whose configuration has the same numbers in this program"
        raise InputError([Problem("trial_id", row["trial_id"], allowed, f"it is {config.trial_id} here")])
    own_images.hold(name)
    return Trial(config.trial_id, config.suggestion_id, config)


def rerun(store: Store, row: Row, trial: Trial, root: Path, note: Callable[[Update], None]) -> Rerun:
    """Train the trial of a row (`trial_of`) into a new store in `root`; every update of it goes to `note`.

    Without a pruner or a request to stop: a trial that was cut short completes. Raises InputError where its data can't
    be read.
    """
    began, new = time.monotonic(), Store(root, store.study)
    on_gpu = row["device"] != "cpu" and torch.cuda.is_available()
    task = Task(
        pack=pack_of((trial,)),
        root=str(root),
        study=store.study,
        layouts=(trial.config.layout,),
        attempt=1,
        device="cuda" if on_gpu else "cpu",
        data_folder=str(data_folder().absolute()),
        own_data=own_data(trial.config.dataset),
        checkpoint_seconds=NEVER_SECONDS,
    )
    for update in work(task):
        note(update)
    again = record_of(new, new.finished()[trial.trial_id])
    return Rerun(stored=record_of(store, row), again=again, seconds=time.monotonic() - began, store=new)


def place_for(out: AnyPath, store: Store) -> Store:
    """A store in `out` for the new rows. Raises InputError where it can't be there, or would change the study."""
    new = Store(out.absolute(), store.study)
    here, study = out.resolve(), store.folder.resolve()
    inside = here == study or str(here).startswith(f"{study}/")
    if inside or new.folder.exists():
        allowed = f"a folder outside of the results, without {store.study}"
        raise InputError([Problem("--out", str(out), allowed, f"{store.folder if inside else new.folder} is there")])
    try:
        new.check_writable()
    except InputError as error:
        raise InputError(problem._replace(field="--out") for problem in error.problems) from error
    return new


def keep(done: Rerun, place: Store, spec: Mapping[str, Any] | None) -> None:
    """Put the new rows into a store of their own, with what was asked for and the images of the user's own."""
    place.commit(**{table: done.store.read(table).checked() for table in TABLES})
    if spec is not None:
        place.write_study(spec)
    if (name := str(done.stored.row["dataset"])) not in DATASETS:
        kept.keep(kept.load(name), place.root)


def _ending(stored: Row, again: Row) -> Iterator[str]:
    """What is different in how it ended; a trial that was cut short has to come at least as far."""
    stopped, ended = stored["outcome"] in CUT_SHORT, (again["outcome"], again["step"], again["reason"])
    came_far = stopped and (again["outcome"] == "completed" or int(again["step"]) > int(stored["step"]))
    if not came_far and ended != (stored["outcome"], stored["step"], stored["reason"]):
        yield f"ended: {ending(stored)} stored, {ending(again)} now"


def ending(row: Row) -> str:
    """ "failed at step 7: out of memory at step 7"."""
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"{row['outcome']} at step {row['step']}{reason}"
