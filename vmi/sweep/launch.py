"""Run a study from its declaration to its exit code: check everything, resume from the store, run, say how it ended."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from rich.console import Console

from vmi.datasets import data_folder
from vmi.errors import printable
from vmi.record.checkpoints import clear_all
from vmi.record.compaction import finish
from vmi.record.schema import TABLES
from vmi.record.store import Store
from vmi.record.wandb_access import Mode
from vmi.secrecy import redacted
from vmi.sweep.driving import Driving
from vmi.sweep.extent import values_of
from vmi.sweep.heartbeat import Heartbeat
from vmi.sweep.ledger import Ledger
from vmi.sweep.lost import ClusterLostError
from vmi.sweep.mirroring import Mirror, mirror_of
from vmi.sweep.options import RunOptions
from vmi.sweep.prediction import Kept, Target
from vmi.sweep.preflight import check, check_rows
from vmi.sweep.probe import needs_of
from vmi.sweep.progress import Display
from vmi.sweep.pruning import pruning_of
from vmi.sweep.runner import OnDemand
from vmi.sweep.search import searcher_for
from vmi.sweep.signals import exit_code, terminable, undisturbed
from vmi.sweep.sizing import Sizing
from vmi.sweep.study import Study
from vmi.sweep.summary import causes, near, outcome_lines
from vmi.sweep.task import Task, checkpoint_seconds
from vmi.sweep.underway import packs_under_way
from vmi.trial import PackSpec

OK, FAILED = 0, 1


def launch(study: Study, options: RunOptions, console: Console) -> int:
    """Run what is missing of the study and return the exit code.

    0 only when planned = finished + reused; 1 when trials failed; 130 and 143 after SIGINT and SIGTERM.
    Raises InputError before anything is started or written, StoreError when the store is damaged.
    """
    store, asked, wandb = check(study, options, os.environ)
    with Heartbeat(store.folder, store.study) as heartbeat:
        return _launch(study, options, console, store, asked, wandb, heartbeat)


def _launch(
    study: Study,
    options: RunOptions,
    console: Console,
    store: Store,
    asked: Mapping[str, Any],
    wandb: Mode,
    heartbeat: Heartbeat,
) -> int:
    attempt = cache(store.next_attempt)  # reads every table, so that a damaged one is found before anything starts
    mirror, say = mirror_of(store, wandb.mode, options.local), lambda line: _say(console, [line])

    def first() -> None:
        attempt()
        mirror.start()  # loads its client while Ray starts

    on_demand = OnDemand(options, first, needs_of(store.root, values_of(study, "dataset")), say)

    def adopt(presets: Mapping[str, str]) -> Mapping[str, Mapping[str, Any]]:
        heartbeat.acquire()  # from here on this run writes
        # A trial that another study has finished left no model here: to keep one it is trained.
        return {} if options.keep_models else _adopt(study, store, presets, mirror, say)

    sizing = Sizing(study, options.pack_size, on_demand.room, lambda: on_demand.costs(store.root))
    ledger = _ledger_of(study, store, adopt, sizing, on_demand.workers, mirror)
    notes = [*_taken_over(heartbeat), *([f"note: {wandb.note}"] if wandb.note else [])]
    if options.keep_models and ledger.reused:
        notes.append("note: trials that are finished already are not trained again, so no model of them is kept")
    _say(console, notes)

    def tasks_on(device: str) -> Callable[[PackSpec], Task]:
        return _task_of(study, store, attempt(), device, options.keep_models, ledger.places_of)

    try:
        with terminable():
            mirror.begin()
            _train(ledger, store, asked, on_demand, console, tasks_on, heartbeat, mirror, sizing)
            mirror.end()
            with undisturbed():
                on_demand.close()  # meanwhile the last runs are written
            mirror.wait(say)
    except KeyboardInterrupt as error:
        _say(console, _interrupted(ledger, asked, store))
        return exit_code(error)
    except ClusterLostError as error:
        _say(console, [f"the Ray cluster is gone: {error}", *_interrupted(ledger, asked, store)])
        return FAILED
    finally:
        with undisturbed():
            mirror.stop()
            on_demand.close()
            _say(console, [f"warning: {said}" for said in mirror.close()])
    _say(console, _summary(ledger, store))
    return FAILED if ledger.failures() or not ledger.done else OK


def _ledger_of(
    study: Study,
    store: Store,
    adopt: Callable[[Mapping[str, str]], Mapping[str, Mapping[str, Any]]],
    sizing: Sizing,
    workers: Callable[[], int],
    mirror: Mirror,
) -> Ledger:
    """The study's trials as the store has them; the rows, which may be ten thousand, are let go of here."""
    finished = store.finished()
    check_rows(finished.values(), store.study)
    mirror.finished = set(finished)
    return Ledger(
        study,
        searcher_for(study, seed=0),
        finished,
        adopt,
        pack_size=sizing,
        workers=workers,
        under_way=packs_under_way(store, finished),
    )


def _train(
    ledger: Ledger,
    store: Store,
    asked: Mapping[str, Any],
    on_demand: OnDemand,
    console: Console,
    tasks_on: Callable[[str], Callable[[PackSpec], Task]],
    heartbeat: Heartbeat,
    mirror: Mirror,
    sizing: Sizing,
) -> None:
    """Train everything that is missing; nothing is started or written where nothing is. `tasks_on` takes a device."""
    if not ledger.has_work():
        _say(console, ["nothing to train: every trial of this study is finished"])
        if store.read_study() != _found(asked, ledger):
            store.write_study(_found(asked, ledger))
        if ledger.done:
            clear_all(store)  # of a driver that was killed after its last commit
        return
    store.write_study(asked)
    for table in TABLES:
        finish(store.folder_of(table), table, store.files)  # what a compaction that was cut short has left
    _say(console, [_start(ledger, asked, store), *(f"warning: {line}" for line in sizing.warnings(ledger.ready))])
    runner = on_demand.runner
    target = Target(runner.device, runner.workers())
    kept = Kept(ledger.study, list(ledger.finished), ledger.pack_size, target, store)
    kept.write()
    with Display(ledger, asked["planned"], console, time.monotonic) as display:
        driving = Driving(ledger, asked["planned"], display, heartbeat, kept, mirror)
        try:
            runner.run(ledger, tasks_on(runner.device), driving.update)
        finally:
            kept.write()
    if ledger.done and not ledger.lost:
        if _found(asked, ledger) != asked:
            _say(console, [f"{_fewer(ledger)}: {len(ledger.finished)} trials, not {asked['planned']}"])
            store.write_study(_found(asked, ledger))
        clear_all(store)


def _found(asked: Mapping[str, Any], ledger: Ledger) -> dict[str, Any]:
    """What was asked for, with the number of trials that a finished study turned out to have."""
    return {**asked, "planned": len(ledger.finished)}


def _fewer(ledger: Ledger) -> str:
    """Why a finished study has fewer trials than were asked for."""
    short = len(ledger.ranking.confirmed) < ledger.study.confirm
    return "fewer suggestions can be confirmed than asked for" if short else "the space has no more points"


def _adopt(
    study: Study, store: Store, presets: Mapping[str, str], mirror: Mirror, say: Callable[[str], None]
) -> Mapping[str, Mapping[str, Any]]:
    """Rows of those trials that other studies under the same results have completed; copied and mirrored as this one's.

    `presets` has the wanted trials by id, with the preset's name that this study gives each.
    """
    adopted = set(store.adopt(presets, values_of(study, "layout"), values_of(study, "dataset")[0]))
    if not adopted:
        return {}
    for warning in mirror.note(sorted(adopted)):
        say(f"warning: {warning}")
    return {trial_id: row for trial_id, row in store.finished().items() if trial_id in adopted}


def _task_of(
    study: Study,
    store: Store,
    attempt: int,
    device: str,
    keep_models: bool,
    places_of: Callable[[PackSpec], int],
) -> Callable[[PackSpec], Task]:
    layouts, folder = values_of(study, "layout"), str(data_folder().absolute())
    seconds = checkpoint_seconds(os.environ)

    def task_of(pack: PackSpec) -> Task:
        return Task(
            pack=pack,
            root=str(store.root),
            study=study.name,
            layouts=layouts,
            attempt=attempt,
            device=device,
            data_folder=folder,
            keep_models=keep_models,
            places=places_of(pack),
            pruning=pruning_of(study, store, pack),
            checkpoint_seconds=seconds,
        )

    return task_of


def _start(ledger: Ledger, asked: Mapping[str, Any], store: Store) -> str:
    planned = asked["planned"]
    before = ledger.reused - ledger.adopted
    count = f"resuming: {before} of {planned} trials are finished" if before else f"{planned} trials"
    found = f", {ledger.adopted} found in other studies" if ledger.adopted else ""
    return f"{store.study}: {count}{found}; results go to {near(store.folder)}"


def _taken_over(heartbeat: Heartbeat) -> list[str]:
    dead = heartbeat.taken_over
    return [f"note: taken over from a driver that is gone: {dead}"] if dead else []


def _interrupted(ledger: Ledger, asked: Mapping[str, Any], store: Store) -> list[str]:
    command = shlex.join(["python", *sys.argv])
    kept = f"interrupted: {ledger.safe} of {asked['planned']} trials are safe in {near(store.folder)}"
    return [kept, f"resume with: {command}"]


def _summary(ledger: Ledger, store: Store) -> list[str]:
    """The last lines of a run."""
    failures, folder = ledger.failures(), near(store.folder)
    total = len(ledger.finished) + len(ledger.lost)
    trained = len(ledger.finished) - ledger.reused
    counts = f"{trained} trained in this run + {ledger.reused} found in the store, {len(failures)} failed"
    lines = [f"{store.study}: {total} trials = {counts}"]
    lines += [*outcome_lines(ledger), *causes(failures)]
    if ledger.without_result:
        lines.append(f"{ledger.without_result} of the failed trials have no result: the next start trains them again")
    return [*lines, f"report: vmi report {shlex.quote(str(folder))}"]


def _say(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(printable(redacted(line)), highlight=False, markup=False, soft_wrap=True)
