"""The Ray Tune runner: one Tune trial is one pack. `tune_hooks.py` answers what Tune asks.

Tune schedules, restarts packs whose worker died and spreads them over the cluster; what is trained, what is finished
and what is stored is ours, so Tune's own state may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

from vmi.runners import ray_cluster, ray_private  # first: Ray is told of its settings before it is loaded

# isort: split
import ray
from ray import tune

from vmi.cost.sharing import fitting
from vmi.cost.sizing import Room
from vmi.results.store import Store
from vmi.runners.dispatch import Handing, Worker
from vmi.runners.ledger import Ledger
from vmi.runners.node_check import Needs
from vmi.runners.tune_hooks import AtTheEnd, PackSearcher, Scheduler
from vmi.runners.watchdog import ClusterLostError, Watch, end_process
from vmi.spec.errors import InputError, Problem
from vmi.spec.redaction import redacted
from vmi.spec.trial import PackSpec
from vmi.storage.paths import path_of
from vmi.training.poisoned import is_poisoned
from vmi.worker.halting import HaltedError, answer, question_of
from vmi.worker.messages import Task, Update

# How often in a row Tune may give up on all packs without any of them having ended in between.
MAX_ABORTS = 3
# The exit code of a worker whose process can use its GPU no more.
POISONED = 70
ray_private.keep_variables()


class TuneRunner:
    """Runs packs on a Ray cluster: the one at `address`, the one this machine belongs to, or a new local one.

    `packs_a_gpu`: how many share a GPU where `gpus_per_pack` does not say. `needs`: what every node must see, looked at
    before any trial where the cluster has more than one. `say` is told that workers of the cluster are waited for.
    """

    def __init__(
        self,
        address: str | None,
        gpus_per_pack: float | None,
        needs: Needs,
        say: Callable[[str], None] = print,
        packs_a_gpu: Callable[[], int] = lambda: 1,
    ) -> None:
        self._address, self._gpus_per_pack, self._needs, self._say = address, gpus_per_pack, needs, say
        self._packs_a_gpu = packs_a_gpu
        self._gpus = 0.0
        self._connected = False  # by this runner: what a notebook has connected before stays so

    def workers(self) -> int:
        """How many packs fit on the cluster at once.

        Raises InputError when there is no such cluster or no such GPU, or a node does not see what it needs.
        """
        self._connected |= ray_cluster.connect(self._address, self._needs, self._say)
        cpus, gpus = ray_cluster.capacity()
        if self._gpus_per_pack is None and gpus:
            self._gpus_per_pack = 1.0 / (packs := self._packs_a_gpu())
            if packs > 1:
                self._say(f"{packs} packs train on each GPU at a time, as was measured; --gpus-per-pack 1 is one")
        self._gpus = self._gpus_per_pack or 0.0
        if self._gpus > gpus:
            allowed = f"at most the {gpus:g} GPUs of the Ray cluster" if gpus else "0: the Ray cluster has no GPU"
            self.close()
            raise InputError([Problem("--gpus-per-pack", self._gpus, allowed)])
        if not cpus:
            self.close()
            allowed = "a Ray cluster with CPUs, or whose workers join: each pack takes one CPU (see ray status)"
            raise InputError([Problem("--address", self._address, allowed)])
        return self._fitting(cpus, gpus)

    def present(self) -> int:
        return self._fitting(*ray_cluster.capacity())

    def _fitting(self, cpus: int, gpus: float) -> int:
        return max(1, min(cpus, fitting(gpus, self._gpus))) if self._gpus else cpus

    @property
    def device(self) -> str:
        return "cuda" if self._gpus else "cpu"

    def room(self) -> Room:
        return ray_cluster.room(self._gpus)

    def run(
        self,
        ledger: Ledger,
        task_of: Callable[[PackSpec], Task],
        show: Callable[[Update], None],
        spent: Callable[[], bool],
    ) -> None:
        """Raises ClusterLostError once the cluster does not answer any more."""
        workers = self.workers()
        handing = Handing(ledger, task_of, show)
        # Which trials did not complete is ours to say, and Tune's own state is never used: it may fail to write it.
        for name in ("ray.tune.tune", "ray.tune.execution.experiment_state"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with Watch(ray_cluster.is_there, end_process) as watch:
            try:
                self._fit_until_done(handing, workers, spent)
            except KeyboardInterrupt:
                if watch.lost:
                    raise ClusterLostError(watch.lost) from None
                # Tune has been left, its workers have not: what they have trained since their checkpoints is kept.
                with contextlib.suppress(Exception):  # it would only save time
                    for said in ray_cluster.halt(handing.workers()):
                        handing.halted(Update.from_json(said))
                raise

    def _fit_until_done(self, handing: Handing, workers: int, spent: Callable[[], bool]) -> None:
        """Tune as often as it takes: one worker that Ray kills to free memory ends all of it."""
        aborts, settled = 0, handing.settled
        while not handing.over:
            try:
                self._fit(PackSearcher(handing), workers, AtTheEnd(handing, spent))
                return
            except Exception as error:
                aborts, settled = aborts + 1 if handing.settled == settled else 1, handing.settled
                if handing.broken or aborts > MAX_ABORTS:
                    raise
                ray_cluster.everywhere(ray_cluster.end, handing.workers())
                handing.abort(str(error))

    def _fit(self, searcher: PackSearcher, workers: int, stopper: AtTheEnd) -> None:
        """One run of Tune, whose own state is never used again."""
        with tempfile.TemporaryDirectory(prefix="vmi-tune-", ignore_cleanup_errors=True) as scratch:
            tuner = tune.Tuner(
                tune.with_resources(train_pack, {"cpu": 1, "gpu": self._gpus}),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=Scheduler(searcher.handing),
                    num_samples=-1,
                    max_concurrent_trials=workers,
                    reuse_actors=True,
                    trial_name_creator=lambda trial: f"pack-{trial.config['pack_id']}",
                    trial_dirname_creator=lambda trial: f"pack-{trial.config['pack_id']}-{trial.trial_id}",
                ),
                run_config=tune.RunConfig(
                    name="packs",
                    stop=stopper,
                    storage_path=scratch,
                    verbose=0,
                    # Deaths are counted by us: a preempted node is not the pack's fault, and a retry wants a reason.
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            )
            tuner.fit()
        stopper.close()

    def close(self) -> None:
        if self._connected:
            ray_cluster.leave()
            self._connected = False


def train_pack(config: dict[str, Any]) -> None:
    """The trainable: work on one pack, report every update. An error is reported, not raised: it would come again.

    After an error of CUDA that poisons this process, which would train others, it ends: the pack goes on in a new one.
    """
    context = ray.get_runtime_context()
    question = question_of(context.get_worker_id())
    # First of all, so that whoever is killed later can be told.
    worker = Worker(context.get_worker_id(), context.get_node_id(), os.getpid(), str(question))
    tune.report({"worker": json.dumps(worker)})
    from vmi.worker.work import work  # loads torch, which the driver does without

    task, last = Task.from_json(config["task"]), ""
    try:
        # A node that joined after the probe, and writes to a disk of its own: its rows would be nowhere.
        if Store(path_of(task.root), task.study).read_study() is None:
            raise FileNotFoundError(f"{socket.gethostname()} does not see the results of this study in {task.root}")
        reported = time.monotonic()
        for update in work(task, halted=question.exists):
            last, now = update.to_json(), time.monotonic()
            if not question.exists() and (update.news or now - reported >= task.update_seconds):
                reported = now
                # One string: Tune flattens nested results before the driver sees them.
                tune.report({"update": last})
        if question.exists():  # asked at the very end: the pack is stored
            answer(question, last)
    except HaltedError:  # nobody listens to reports any more
        answer(question, last)
    except Exception as error:  # whatever breaks a pack must reach the driver as a reason
        said = redacted(f"{type(error).__name__}: {error}")
        if not is_poisoned(error):
            tune.report({"error": said})
            return
        reached = Update.from_json(last) if last else Update(task.pack.pack_id, 0, 1)
        warning = f"pack {task.pack.pack_id} has lost its GPU in this process, which ends: {said.splitlines()[0]}"
        tune.report({"update": reached._replace(warning=warning, ended=(), stored=()).to_json()})
        os._exit(POISONED)
