"""Run a study from its declaration to its exit code: check everything, resume from the store, run, say how it ended."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from vmi.datasets import data_folder, spec_of
from vmi.errors import InputError, Problem, printable
from vmi.record.store import Store
from vmi.record.to_wandb import mode_from
from vmi.sweep.extent import planned_trials, values_of
from vmi.sweep.ledger import Ledger
from vmi.sweep.options import RunOptions
from vmi.sweep.progress import Display
from vmi.sweep.runner import Runner
from vmi.sweep.search import searcher_for
from vmi.sweep.study import Study, differences, spec, validate
from vmi.sweep.task import Task
from vmi.trial import PackSpec

OK, FAILED = 0, 1
SHOWN_FAILURES = 3


class TerminatedError(Exception):
    """SIGTERM was received."""


def launch(study: Study, options: RunOptions, console: Console) -> int:
    """Run what is missing of the study and return the exit code: 0 only when planned = finished + reused, else 1.

    Raises InputError before anything is started or written, StoreError when the store is damaged.
    """
    validate(study)
    wandb = mode_from(os.environ)
    store = Store(options.results.absolute(), study.name)
    planned = planned_trials(study)
    asked = spec(study, planned)
    _check(study, options, store, asked)
    if wandb.note:
        console.print(f"note: {wandb.note}", highlight=False, markup=False)
    runner = _runner(options)
    try:
        ledger = _ledger(study, store, runner, options.pack_size)
        if ledger.reused:
            console.print(
                f"{store.folder.name}: {ledger.reused} of {planned} trials are in the store already", highlight=False
            )
        if ledger.has_work():
            store.write_study(asked)
            with _signals(), Display(ledger, planned, console, time.monotonic) as display:
                runner.run(ledger, _task_of(study, store, runner, wandb.mode), display.update)
        elif store.read_study() is None:
            store.write_study(asked)
        else:
            console.print("nothing to do: every trial of this study is finished", highlight=False)
    except (KeyboardInterrupt, TerminatedError) as error:
        return _interrupted(error, ledger, planned, store, console)
    finally:
        runner.close()
    return _summary(ledger, planned, store, console)


def _check(study: Study, options: RunOptions, store: Store, asked: Mapping[str, Any]) -> None:
    """Everything that can be known to be wrong before anything starts, at once."""
    problems = options.problems()
    try:
        store.check_writable()
    except InputError as error:
        problems += error.problems
    if not problems:
        stored = store.read_study()
        problems += differences(stored, json.loads(json.dumps(asked))) if stored is not None else []
        if problems:
            where = f"results {store.folder} hold another study of this name (choose another with --name)"
            raise InputError(problems, where)
    for dataset in values_of(study, "dataset"):
        problems += _data_problems(dataset)
    if problems:
        raise InputError(problems)


def _data_problems(dataset: str) -> tuple[Problem, ...]:
    """Read (or fetch) a data set that is not embedded, once, before any worker needs it."""
    if not spec_of(dataset).folder:
        return ()
    from vmi import data  # loads torch

    try:
        data.load(dataset, data_folder())
    except InputError as error:
        return error.problems
    return ()


def _runner(options: RunOptions) -> Runner:
    if options.local:
        from vmi.sweep.local import LocalRunner

        return LocalRunner(options.gpus_per_pack)
    from vmi.sweep.to_tune import TuneRunner

    return TuneRunner(options.address, options.gpus_per_pack)


def _ledger(study: Study, store: Store, runner: Runner, pack_size: int) -> Ledger:
    def adopt(trial_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        adopted = store.adopt(trial_ids, values_of(study, "layout"), values_of(study, "dataset")[0])
        return (
            {trial_id: row for trial_id, row in store.finished().items() if trial_id in set(adopted)} if adopted else {}
        )

    searcher = searcher_for(study, seed=0)
    return Ledger(study, searcher, store.finished(), adopt, pack_size=pack_size, workers=runner.workers)


def _task_of(study: Study, store: Store, runner: Runner, wandb_mode: str) -> Callable[[PackSpec], Task]:
    attempt, layouts, folder = store.next_attempt(), values_of(study, "layout"), str(data_folder().absolute())

    def task_of(pack: PackSpec) -> Task:
        return Task(
            pack=pack,
            root=str(store.root),
            study=study.name,
            layouts=layouts,
            attempt=attempt,
            wandb_mode=wandb_mode,
            device=runner.device,
            data_folder=folder,
        )

    return task_of


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM ends a study as Ctrl-C does, but is told apart."""

    def terminate(number: int, frame: object) -> NoReturn:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(error: BaseException, ledger: Ledger, planned: int, store: Store, console: Console) -> int:
    command = shlex.join(["python", *sys.argv])
    console.print(
        f"interrupted: {len(ledger.finished)} of {planned} trials are safe in {store.folder}\nresume with: {command}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 128 + (signal.SIGTERM if isinstance(error, TerminatedError) else signal.SIGINT)


def _summary(ledger: Ledger, planned: int, store: Store, console: Console) -> int:
    """The last lines of a run, and its exit code."""
    failures = ledger.failures()
    trained = len(ledger.finished) - ledger.reused
    lines = [
        f"{store.study}: {planned} trials planned = {trained} trained + {ledger.reused} reused, {len(failures)} failed"
    ]
    if ledger.best:
        at = ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in ledger.best.params.items()
        )
        lines.append(f"best {ledger.study.metric}: {ledger.best.value} (n = {ledger.best.value.count}) at {at}")
    lines += [f"failed {trial_id}: {reason}" for trial_id, reason in list(failures.items())[:SHOWN_FAILURES]]
    lines.append(f"results: {_shown(store.folder)}; report: vmi report {shlex.quote(str(_shown(store.folder)))}")
    console.print(printable("\n".join(lines)), highlight=False, markup=False, soft_wrap=True)
    return FAILED if failures or not ledger.done else OK


def _shown(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
