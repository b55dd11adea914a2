"""Train and record the trials of one task: the one thing that every runner runs, in whatever process it runs it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from vmi.data import dataset
from vmi.spec.trial import Judge
from vmi.training import accuracy, kmeans
from vmi.training.out_of_memory import ExhaustedError, is_out_of_memory
from vmi.training.precision import tf32
from vmi.training.train import train
from vmi.worker import own_images
from vmi.worker.accounting import forget_gpu_bytes
from vmi.worker.allocator import keep_freed_memory, return_freed_memory
from vmi.worker.halting import HaltedError, never
from vmi.worker.messages import Task, Update
from vmi.worker.session import Session
from vmi.worker.takeover import begin

# About how long a pack trains between two looks at who broke, how far it is and whether a checkpoint is due.
SLICE_SECONDS = 1.0
# The CPU seconds of this process that were reported with its packs so far.
_SPENT = [0.0]


def work(
    task: Task,
    judge: Judge | None = None,
    clock: Callable[[], float] = time.monotonic,
    halted: Callable[[], bool] = never,
) -> Iterator[Update]:
    """Train, evaluate and commit the trials of a task, yielding its progress; the last update comes after the commit.

    It yields every few seconds, at the reports of trials and when some have ended.

    Checkpoints are kept beside the results while it trains, and a task that was cut short goes on from the newest one
    that is whole, bitwise. Where more trials wait than there are places, those that have ended are committed before
    each checkpoint; a task without a queue is committed at its end, in one part of each table. Where memory runs out,
    half as many are trained at a time from the checkpoint on; one that has none by itself has failed.
    Where the driver has asked for it (`vmi.in_flight.parting`), members become packs of their own and the task is over.
    Trials that a user has asked to stop (`vmi.in_flight.steering`) leave at the next look, with their rows.

    `judge` is asked instead of the one that the task describes; both only where the task has `pruning`.
    `clock` gives the seconds that steps are timed by. Once `halted` says so, which is asked every few seconds, a
    checkpoint is written, an update says how far it goes, and HaltedError is raised.
    """
    prepare(task.device)
    forget_gpu_bytes(task.device)
    began, trials, begun = time.monotonic(), task.pack.trials, begin(task)
    if len(begun.stored) == len(trials):
        begun.kept.clear_checkpoints()
        warning = f"pack {task.pack.pack_id} was finished before its worker died"
        yield Update(task.pack.pack_id, 1, 1, tuple(begun.stored[t.trial_id] for t in trials), warning)
        return
    places, warning, exhausted = min(task.places or len(trials), len(trials)), "", task.exhausted
    while True:
        session = Session(task, judge, begun, places)
        ended = yield from _attempt(session, warning, exhausted, clock, halted)
        if isinstance(ended, Update):
            yield _timed(ended, began)
            return
        places, warning, exhausted = ended.places, ended.warning, False
        begun = begun._replace(stored=session.stored)
        # The tensors of what ran out of memory hung on its exception, which is gone by now.
        del session
        gc.collect()
        return_freed_memory()
        if task.device.startswith("cuda"):
            torch.cuda.empty_cache()


def prepare(device: str) -> None:
    """What every worker needs before it trains: one thread, freed memory kept, denormal numbers flushed to zero.

    On a GPU float32 is float32: PyTorch would have convolutions, and no matrix products, in TF32.
    """
    keep_freed_memory()
    if device == "cpu":
        torch.set_num_threads(1)
    else:
        tf32(False)
    # Adam's moments decay into denormals, which cost ten times the time of a step.
    torch.set_flush_denormal(True)


def _timed(last: Update, began: float) -> Update:
    """The last update with what the pack has taken."""
    before, _SPENT[0] = _SPENT[0], time.process_time()
    return last._replace(wall_seconds=time.monotonic() - began, cpu_seconds=_SPENT[0] - before)


class _Smaller(NamedTuple):
    """There was not enough memory: how many members are to be trained at a time from here on, and what to say."""

    places: int
    warning: str


def _attempt(
    session: Session, warning: str, exhausted: bool, clock: Callable[[], float], halted: Callable[[], bool]
) -> Generator[Update, None, Update | _Smaller]:
    """Train what is left of the session's task, from its newest checkpoint on: the last update, unless memory ends.

    `exhausted`: there is known to be none for the trials that come next.
    """
    look = partial(_look, halted)
    try:
        session.start()
        session.warnings += [warning] if warning else []
        yield session.update()
        if exhausted and (steps := session.next_trials()):
            return _smaller(session, steps, 0.0)
        members, images = session.members, _loaded(session)
        while members.pack is not None:
            for progress in train(
                members.pack,
                images,
                members.waiting,
                session.stop,
                places=members.places,
                slice_seconds=SLICE_SECONDS,
                clock=clock,
                dismissed=session.dismissed,
            ):
                for _ in session.note(progress, images, look):
                    yield session.update()
                if (parts := session.parts_asked) > 1 and (last := session.part(progress, parts)):
                    return last
                del progress  # and with it the pack that its members have left, before the next one is captured
            members.go_on()
        return session.close()
    except HaltedError:
        session.keep()
        yield session.update()
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        steps, seconds = session.next_trials(), 0.0
        if isinstance(error, ExhaustedError):
            steps, seconds = dict(error.steps), error.seconds
        if not steps or (len(steps) == 1 and session.committing):  # of a commit no trial is to blame
            raise
    return _smaller(session, steps, seconds)


def _loaded(session: Session) -> dataset.Dataset:
    """The task's images where they are trained on; what its evaluation takes beside them is there from then on."""
    task, pack = session.task, session.members.pack
    own_images.hold(task.dataset)
    data = dataset.load(task.dataset, Path(task.data_folder))
    if pack is not None and (block := pack.layout.primary("c")) and data.spec.is_labelled:
        accuracy.load_libraries()
        kmeans.reference(data, block.size)
    return data.to(torch.device(task.device))


def _look(halted: Callable[[], bool]) -> None:
    if halted():
        raise HaltedError("training was asked to stop")


def _smaller(session: Session, steps: Mapping[str, int], seconds: float) -> _Smaller:
    """Half of those that there was no memory for; one that was alone has failed, and the others go on."""
    step, pack_id = max(steps.values()), session.task.pack.pack_id
    if len(steps) > 1:
        places = len(steps) // 2
        said = f"pack {pack_id} ran out of memory at step {step} with {len(steps)} members"
        return _Smaller(places, f"{said}: it resumes from its last checkpoint with {places} at a time")
    session.fail(steps, seconds)
    (trial_id,) = steps
    return _Smaller(1, f"trial {trial_id} of pack {pack_id} ran out of memory at step {step} by itself: it has failed")
