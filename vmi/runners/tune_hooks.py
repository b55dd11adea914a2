"""What Tune asks while it runs packs: which one is next, how one ended and why, whether all is to stop.

Each is pickled by Tune, for a restore of its own that is never used: a study resumes from the store.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmi.runners import ray_cluster  # first: Ray is told of its settings before it is loaded

# isort: split
from ray import cloudpickle
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher as TuneSearcher
from ray.tune.stopper import NoopStopper, Stopper

from vmi.process.signals import put_back
from vmi.runners.dispatch import Handing, Worker
from vmi.runners.retries import death_of
from vmi.worker.messages import Update


class Scheduler(FIFOScheduler):
    """Tune's default one, which says why a trial ended in error: a searcher only hears that it did.

    A callback would hear it as well, but for any of these Tune loads W&B and MLflow, to count them (0.4 s).
    """

    def __init__(self, handing: Handing) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._handing = handing

    def __reduce__(self) -> tuple[type[FIFOScheduler], tuple[()]]:
        return FIFOScheduler, ()

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        if trial.status == Trial.ERROR:  # Tune itself starts it again: its node was preempted
            return
        said = _error_of(trial)
        self._handing.died(trial.trial_id, death_of(str(said), bool(getattr(said, "preempted", False))))


def _error_of(trial: Any) -> object:
    """The error of a trial of Tune, or its text: some kinds are kept as text only. Both lie in its scratch folder."""
    for read in (
        lambda: cloudpickle.loads(Path(trial.pickled_error_file).read_bytes()),
        lambda: Path(trial.error_file).read_text(encoding="utf-8"),
    ):
        with contextlib.suppress(Exception):  # the folder may be full or gone
            return read()
    return "no reason was kept"


class PackSearcher(TuneSearcher):
    """Hands packs to Tune as it asks for trials, and brings their results back."""

    def __init__(self, handing: Handing) -> None:
        super().__init__()
        self.handing = handing

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        given = self.handing.next(trial_id)
        finished: Any = TuneSearcher.FINISHED  # a string, where Ray's annotation has a dict
        return finished if given is None and self.handing.over else given

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.handing.take(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:  # else `Scheduler` says why
            self.handing.ended(trial_id, result or {})

    def __reduce__(self) -> tuple[type[TuneSearcher], tuple[()]]:
        return TuneSearcher, ()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is what a study resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is what a study resumes from."""


class AtTheEnd(Stopper):
    """Ends Tune once `spent` says so, which it asks ten times a second, and its workers have written checkpoints.

    They are asked by a thread, as a worker that reports waits until Tune has heard it. Tune takes SIGUSR1 for itself,
    and would stop without them: its handler of before is put back at Tune's first step.
    """

    def __init__(self, handing: Handing, spent: Callable[[], bool]) -> None:
        self._handing, self._spent = handing, spent
        self._handler: Any = signal.getsignal(signal.SIGUSR1)
        self._asking: threading.Thread | None = None
        self._answers: list[str] = []

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        put_back(signal.SIGUSR1, self._handler)
        if self._asking is None and self._spent():
            self._handing.halting = True
            self._asking = threading.Thread(target=self._ask, args=(self._handing.workers(),), daemon=True)
            self._asking.start()
        return self._asking is not None and not self._asking.is_alive()

    def close(self) -> None:
        """Tune is over: hear what its workers have said. Where nobody asked them, it has heard SIGUSR1 too early."""
        put_back(signal.SIGUSR1, self._handler)
        if self._asking is not None:
            self._asking.join()
            for said in self._answers:
                self._handing.halted(Update.from_json(said))
        elif not self._handing.over and callable(self._handler):
            signal.raise_signal(signal.SIGUSR1)

    def _ask(self, workers: list[Worker]) -> None:
        with contextlib.suppress(Exception):  # it would only save time
            self._answers = ray_cluster.halt(workers)

    def __reduce__(self) -> tuple[type[Stopper], tuple[()]]:
        return NoopStopper, ()
