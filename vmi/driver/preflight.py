"""Everything that can be known to be wrong with a run before anything starts, gathered into one error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from vmi.driver.options import RunOptions
from vmi.driver.own_data import keep
from vmi.mirror.access import Mode, mode_from
from vmi.results.store import Store
from vmi.search.trial_count import planned_trials, values_of
from vmi.spec.datasets import data_folder, find, spec_of
from vmi.spec.errors import InputError, Problem, near
from vmi.storage.paths import AnyPath, local
from vmi.study.checks import NAME, validate
from vmi.study.study import Study
from vmi.study.study_json import differences, spec
from vmi.worker.messages import checkpoint_seconds


def check(study: Study, options: RunOptions, environ: Mapping[str, str]) -> tuple[Store, dict[str, Any], Mode]:
    """The study's store, what its study.json has to say, and the W&B mode. Raises one InputError with all problems.

    Data that may have to be fetched is looked at once all else is right. Raises StoreError on a damaged study.json.
    """
    store = Store(options.root.absolute(), str(study.name))
    problems = [
        *_problems(lambda: validate(study)),
        *options.problems(),
        *(_nothing_to_resume(store) if options.resume else ()),
        *_problems(lambda: mode_from(environ)),
        *_problems(lambda: checkpoint_seconds(environ)),
        *(_problems(store.check_writable) if NAME.fullmatch(store.study) else ()),
    ]
    if problems:
        raise InputError(problems, f"study {study.name!r}" if isinstance(study.name, str) else "study")
    asked = asked_of(study, store)
    _load_data(study, store.root)
    return store, asked, _mode(store, environ)


def asked_of(study: Study, store: Store) -> dict[str, Any]:
    """What study.json holds of a valid study. Raises InputError, field by field, when it holds another study."""
    asked: dict[str, Any] = json.loads(json.dumps(spec(study, planned_trials(study))))
    stored = store.read_study()
    if stored is not None and (different := differences(stored, asked)):
        raise InputError(different, f"{store.folder} holds another study of this name (choose another with --name)")
    return asked


def _mode(store: Store, environ: Mapping[str, str]) -> Mode:
    """The W&B mode; offline its client needs a folder, which an object store does not have."""
    mode, note = mode_from(environ)
    if mode != "offline" or local(store.root):
        return Mode(mode, note)
    said = f"W&B's offline runs need a folder: vmi mirror {store.folder} writes them into wandb/{store.study} here"
    return Mode("disabled", f"{note}; {said}" if note else said)


def check_rows(rows: Iterable[Mapping[str, Any]], study: str) -> None:
    """Raises InputError where stored trials saw other data than this program has under the name of their data set."""
    seen = {(str(row["dataset"]), str(row["data_fingerprint"])) for row in rows}
    problems = [
        Problem("dataset", name, f"content {known.fingerprint}", f"trials of {study!r} were trained on {found}")
        for name, found in sorted(seen)
        if (known := find(name)) and found != known.fingerprint
    ]
    if problems:
        raise InputError(problems, "results of another version of the data (choose another study with --name)")


def _nothing_to_resume(store: Store) -> Iterator[Problem]:
    """--resume begins no study: a name that was mistyped shall not train it anew."""
    if store.study_file.is_file() or store.folder_of("trials").is_dir():
        return
    found = sorted(store.files.names(store.root)) if store.root.is_dir() else []
    there = [name for name in found if (store.root / name / "study.json").is_file()]
    hint = near(store.study, there) or "there is none"
    yield Problem("--resume", store.study, f"a study that was begun in {store.root}", hint)


def _problems(action: Callable[[], object]) -> tuple[Problem, ...]:
    try:
        action()
    except InputError as error:
        return error.problems
    return ()


def _load_data(study: Study, root: AnyPath) -> None:
    """Read (or fetch) each data set that is not embedded, once, before any worker needs it."""
    for name in values_of(study, "dataset"):
        keep(name, root)
        if spec_of(name).folder:
            from vmi.data import dataset  # loads torch

            dataset.load(name, data_folder())
