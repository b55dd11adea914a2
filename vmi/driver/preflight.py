"""Everything that can be known to be wrong with a run before anything starts, gathered into one error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from vmi.driver.options import RunOptions
from vmi.driver.own_data import keep
from vmi.mirror.access import Mode, mode_from
from vmi.results.store import Store
from vmi.search.grid import GridSearcher
from vmi.search.trial_count import EVERYTHING, planned_trials, values_of
from vmi.spec.datasets import data_folder, find, spec_of
from vmi.spec.errors import InputError, Problem, near
from vmi.spec.requests import request_of, requests_of
from vmi.spec.version import STUDY_VERSION
from vmi.storage.paths import AnyPath, local
from vmi.study.checks import NAME, validate
from vmi.study.growth import grown, growth, rewritten
from vmi.study.study import Study
from vmi.study.study_json import spec, study_of
from vmi.worker.messages import checkpoint_seconds


class Wanted(NamedTuple):
    """What a run is to train: the study, grown by what it was asked for before; `spec` is what study.json will say.

    `grows` says what it gains over the stored one, in a few words each; empty where it gains nothing, or is new.
    """

    study: Study
    spec: dict[str, Any]
    grows: tuple[str, ...] = ()


def check(study: Study, options: RunOptions, environ: Mapping[str, str]) -> tuple[Store, Wanted, Mode]:
    """The study's store, what is asked of it, and the W&B mode. Raises one InputError with all problems.

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
    request = asked_of(study, store, options.only, datetime.now(UTC))
    load_data(values_of(request.study, "dataset"), store.root)
    return store, request, _mode(store, environ)


def asked_of(study: Study, store: Store, only: bool, now: datetime) -> Wanted:
    """A valid study as its folder's next request. Raises InputError, field by field, where it contradicts the others.

    `only`: no more than this is trained and shown, whatever was asked for before.
    """
    return united(store.read_study(), study, store.folder, only=only, now=now)


def request_in(wanted: Wanted) -> dict[str, Any]:
    """The newest request of a study that grows, by its own metric or that of the study."""
    return {**requests_of(wanted.spec)[-1].spec, "metric": wanted.spec["metric"]}


def united(stored: Mapping[str, Any] | None, study: Study, folder: AnyPath, *, only: bool, now: datetime) -> Wanted:
    """The same of a study whose study.json is `stored`."""
    if stored is None:
        own = _described(study)
        return Wanted(study, {**own, "requests": [_kept(own, own, now)]})
    before = everything(stored)
    whole, problems = grown(before, study)
    if (version := stored.get("vmi_study_version", STUDY_VERSION)) != STUDY_VERSION:
        said = f"the stored study has {version!r}: another program wrote it"
        problems = (Problem("vmi_study_version", STUDY_VERSION, said), *problems)
    if problems:
        raise InputError(problems, f"{folder} holds another study of this name (choose another with --name)")
    validate(whole)
    after, study = _described(whole), replace(study, metric=whole.metric)
    grows = tuple(growth(before, after))
    if grows and (lost := _lost(study_of(before), whole)):
        raise InputError([lost], f"{folder} holds another study of this name (choose another with --name)")
    requests = [request._asdict() for request in requests_of(stored)]
    requests += [_kept(_described(study), after, now)] if grows else []
    notes = {"requests": requests} if grows or only or "requests" in stored else {}
    spec = {**(_described(study) if only else after), **notes, **({"only": True} if only else {})}
    if not grows and not only and not stored.get("only"):
        spec["planned"] = stored.get("planned", spec["planned"])  # a search may have had fewer points
    return Wanted(study if only else whole, spec, grows)


def everything(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The description of all that a study was ever asked for, whatever part of it is shown."""
    if stored.get("only"):
        return {"name": stored["name"], **requests_of(stored)[-1].study}
    return {name: value for name, value in stored.items() if name not in ("requests", "only")}


def _lost(before: Study, after: Study) -> Problem | None:
    """What is wrong where a point of a stored grid would be none of the larger one, as its fields have come to follow.

    (A field that was fixed, and is searched only beside some values of another, has its default elsewhere.)
    """
    fresh = [*(name for name in after.space if name not in before.space), *rewritten(before, after)]
    if before.searcher != "grid" or not fresh:
        return None
    kept = {suggestion.suggestion_id for suggestion in GridSearcher(after).ask(EVERYTHING)}
    gone = [suggestion for suggestion in GridSearcher(before).ask(EVERYTHING) if suggestion.suggestion_id not in kept]
    if not gone:
        return None
    point = ", ".join(f"{name} {value}" for name, value in gone[0].params.items())
    allowed = "axes and conditions beside which every trial that is there is a point"
    return Problem("space", ", ".join(fresh), allowed, f"none would be at {point}")


def _described(study: Study) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(spec(study, planned_trials(study))))
    return made


def _kept(own: Mapping[str, Any], whole: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {"asked_at": now.isoformat(timespec="seconds"), "spec": request_of(own), "study": request_of(whole)}


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


def load_data(names: Iterable[str], root: AnyPath) -> None:
    """Read (or fetch) each of these data sets that is not embedded, once, before any worker needs it."""
    for name in names:
        keep(name, root)
        if spec_of(name).folder:
            from vmi.data import dataset  # loads torch

            dataset.load(name, data_folder())
