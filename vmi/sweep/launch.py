"""Run a study from its declaration to its exit code: check everything, resume from the store, run, say how it ended."""

from __future__ import annotations

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

from vmi.datasets import data_folder
from vmi.errors import printable
from vmi.record.store import Store
from vmi.sweep.extent import values_of
from vmi.sweep.ledger import Ledger
from vmi.sweep.options import RunOptions
from vmi.sweep.preflight import check
from vmi.sweep.progress import Display, shown
from vmi.sweep.runner import OnDemand
from vmi.sweep.search import searcher_for
from vmi.sweep.study import Study
from vmi.sweep.task import Task
from vmi.trial import PackSpec

OK, FAILED = 0, 1
SHOWN_FAILURES = 3


class TerminatedError(Exception):
    """SIGTERM was received."""


def launch(study: Study, options: RunOptions, console: Console) -> int:
    """Run what is missing of the study and return the exit code.

    0 only when planned = finished + reused; 1 when trials failed; 130 and 143 after SIGINT and SIGTERM.
    Raises InputError before anything is started or written, StoreError when the store is damaged.
    """
    store, asked, wandb = check(study, options, os.environ)
    on_demand = OnDemand(options)
    try:
        ledger = Ledger(
            study,
            searcher_for(study, seed=0),
            store.finished(),
            lambda ids: _adopt(study, store, ids),
            pack_size=options.pack_size,
            workers=on_demand.workers,
        )
        _say(console, [f"note: {wandb.note}"] if wandb.note else [])
        if ledger.has_work():
            store.write_study(asked)
            planned = int(asked["planned"])
            _say(console, [_start(ledger, planned, store)])
            runner = on_demand.runner
            with _signals(), Display(ledger, planned, console, time.monotonic) as display:
                try:
                    runner.run(ledger, _task_of(study, store, runner.device, wandb.mode), display.update)
                except (KeyboardInterrupt, TerminatedError) as error:
                    _say(console, _interrupted(ledger, planned, store))
                    return 128 + (signal.SIGTERM if isinstance(error, TerminatedError) else signal.SIGINT)
        else:
            _say(console, ["nothing to train: every trial of this study is finished"])
            if store.read_study() is None:
                store.write_study(asked)
    finally:
        on_demand.close()
    _say(console, _summary(ledger, store))
    return FAILED if ledger.failures() or not ledger.done else OK


def _adopt(study: Study, store: Store, trial_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
    """Rows of those trials that other studies under the same results have completed; they are copied into this one."""
    adopted = set(store.adopt(trial_ids, values_of(study, "layout"), values_of(study, "dataset")[0]))
    return {trial_id: row for trial_id, row in store.finished().items() if trial_id in adopted} if adopted else {}


def _task_of(study: Study, store: Store, device: str, wandb_mode: str) -> Callable[[PackSpec], Task]:
    attempt, layouts, folder = store.next_attempt(), values_of(study, "layout"), str(data_folder().absolute())

    def task_of(pack: PackSpec) -> Task:
        return Task(
            pack=pack,
            root=str(store.root),
            study=study.name,
            layouts=layouts,
            attempt=attempt,
            wandb_mode=wandb_mode,
            device=device,
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


def _start(ledger: Ledger, planned: int, store: Store) -> str:
    resumed = f"resuming: {ledger.reused} of {planned} trials are finished" if ledger.reused else f"{planned} trials"
    return f"{store.study}: {resumed}; results go to {_near(store.folder)}"


def _interrupted(ledger: Ledger, planned: int, store: Store) -> list[str]:
    command = shlex.join(["python", *sys.argv])
    kept = f"interrupted: {len(ledger.finished)} of {planned} trials are safe in {_near(store.folder)}"
    return [kept, f"resume with: {command}"]


def _summary(ledger: Ledger, store: Store) -> list[str]:
    """The last lines of a run."""
    failures, folder = ledger.failures(), _near(store.folder)
    total = len(ledger.finished) + len(ledger.lost)
    counts = f"{total - ledger.reused} trained in this run + {ledger.reused} found in the store, {len(failures)} failed"
    lines = [f"{store.study}: {total} trials = {counts}"]
    if ledger.best:
        best = ledger.best
        lines.append(f"best {ledger.study.metric}: {best.value} (n = {best.value.count}) at {shown(best.params)}")
    lines += [f"failed {trial_id}: {reason}" for trial_id, reason in list(failures.items())[:SHOWN_FAILURES]]
    return [*lines, f"report: vmi report {shlex.quote(str(folder))}"]


def _say(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _near(folder: Path) -> Path:
    """The folder as seen from here, where it lies below."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
