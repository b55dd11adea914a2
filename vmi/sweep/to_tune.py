"""The Ray Tune runner: one Tune trial is one pack. The only file that knows Ray.

Tune schedules, restarts packs whose worker died and spreads them over the cluster; what is trained, what is finished
and what is stored is ours, so Tune's own state may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before Ray is imported: no per-trial logger files, no output of its own, Ctrl-C is ours to handle.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# What becomes of a pack whose worker died is ours to say.
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# A cluster that refuses the token is asked once a second: it shall be said within half a minute, start included.
os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "15")

import ray
from ray import cloudpickle, tune
from ray._private import parameter
from ray.air._internal import usage
from ray.tune.execution import class_cache
from ray.tune.search import Searcher as TuneSearcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vmi.errors import InputError, Problem
from vmi.record.paths import path_of
from vmi.record.store import Store
from vmi.secrecy import redacted
from vmi.sweep.handing import Handing, Worker
from vmi.sweep.hardware import available_memory, free_on_cards
from vmi.sweep.joining import joined
from vmi.sweep.ledger import Ledger
from vmi.sweep.lost import ClusterLostError, Watch, end_process
from vmi.sweep.probe import Needs, check_nodes
from vmi.sweep.reach import REACH_SECONDS, private, reach
from vmi.sweep.retries import death_of
from vmi.sweep.signals import kept_handlers
from vmi.sweep.sizing import Room
from vmi.sweep.task import Task, Update
from vmi.trial import PackSpec

# How often in a row Tune may give up on all packs without any of them having ended in between.
MAX_ABORTS = 3
# What Tune hands to its workers by a runtime environment Ray writes into its logs in clear (AWS_SECRET_ACCESS_KEY is
# such); and workers that Ray has started beforehand have none, so that each would be started anew. Workers of this
# machine have the driver's variables anyway, those of other nodes their node's.
class_cache.ENV_VARS_TO_PROPAGATE.clear()
class_cache.DEFAULT_ENV_VARS.clear()
# For statistics that are not sent it imports every library that Tune has a callback for, W&B's and MLflow's.
usage.tag_callbacks = lambda callbacks: False
# A cluster that lives for one run on this machine scales nothing, and nobody follows its logs: without these processes
# it starts 1.4 s sooner and ends 1 s sooner, as the first of them does not heed SIGTERM for that long.
SPARED = {"no_monitor": True, "include_log_monitor": False}
# A node has this long to start a worker and to look at its folders.
NODE_SECONDS = 60.0
# Ray only says that it could not connect where a cluster asks for a token and the driver was not told to send one.
ADDRESS = (
    "the address of a running Ray cluster (host:6379), 'auto', or 'local' for a new one; "
    "RAY_AUTH_MODE=token where the cluster asks for its token"
)


class TuneRunner:
    """Runs packs on a Ray cluster: the one at `address`, the one this machine belongs to, or a new local one.

    `needs`: what every node must see, looked at before any trial where the cluster has more than one. `say` is told
    that workers of the cluster are waited for.
    """

    def __init__(
        self, address: str | None, gpus_per_pack: float | None, needs: Needs, say: Callable[[str], None] = print
    ) -> None:
        self._address, self._gpus_per_pack, self._needs, self._say = address, gpus_per_pack, needs, say
        self._gpus = 0.0

    def workers(self) -> int:
        """How many packs fit on the cluster at once.

        Raises InputError when there is no such cluster or no such GPU, or a node does not see what it needs.
        """
        if not ray.is_initialized():
            self._connect()
            joined(ray.cluster_resources, self._say)
            self._check_nodes()
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        gpus = float(resources.get("GPU", 0))
        self._gpus = self._gpus_per_pack if self._gpus_per_pack is not None else (1.0 if gpus else 0.0)
        if self._gpus > gpus:
            allowed = f"at most the {gpus:g} GPUs of the Ray cluster" if gpus else "0: the Ray cluster has no GPU"
            self.close()
            raise InputError([Problem("--gpus-per-pack", self._gpus, allowed)])
        cpus = int(resources.get("CPU", 0))
        if not cpus:
            self.close()
            allowed = "a Ray cluster with CPUs, or whose workers join: each pack takes one CPU (see ray status)"
            raise InputError([Problem("--address", self._address, allowed)])
        return max(1, min(cpus, int(gpus / self._gpus))) if self._gpus else cpus

    @property
    def device(self) -> str:
        return "cuda" if self._gpus else "cpu"

    def room(self) -> Room:
        """Of the node where a pack has least. Of other nodes than this one Ray knows what they had at their start."""
        if self._gpus:
            asked = [("", free_on_cards())] if len(_nodes()) == 1 else _everywhere(free_on_cards)
            cards = [free for _, found in asked if isinstance(found, list) for free in found]
            return Room("cuda", int(min(cards) * self._gpus) if cards else None)
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]  # type: ignore[no-untyped-call]
        resources = [node["Resources"] for node in nodes]
        if [node["NodeID"] for node in nodes] == [ray.get_runtime_context().get_node_id()]:
            free = available_memory()
            return Room("cpu", None if free is None else int(free / resources[0]["CPU"]))
        at_start = [int(node["memory"] / node["CPU"]) for node in resources if node.get("memory")]
        return Room("cpu", min(at_start, default=None))

    def run(self, ledger: Ledger, task_of: Callable[[PackSpec], Task], show: Callable[[Update], None]) -> None:
        """Raises ClusterLostError once the cluster does not answer any more."""
        workers = self.workers()
        handing = Handing(ledger, task_of, show)
        logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # which trials did not complete is ours to say
        with Watch(_is_there, end_process) as watch:
            try:
                self._fit_until_done(handing, workers)
            except KeyboardInterrupt:
                if watch.lost:
                    raise ClusterLostError(watch.lost) from None
                raise

    def _fit_until_done(self, handing: Handing, workers: int) -> None:
        """Tune as often as it takes: one worker that Ray kills to free memory ends all of it."""
        aborts, settled = 0, handing.settled
        while not handing.done:
            try:
                self._fit(_PackSearcher(handing), workers)
                return
            except Exception as error:
                aborts, settled = aborts + 1 if handing.settled == settled else 1, handing.settled
                if handing.broken or aborts > MAX_ABORTS:
                    raise
                _everywhere(_end, handing.workers())
                handing.abort(str(error))

    def _fit(self, searcher: _PackSearcher, workers: int) -> None:
        """One run of Tune, whose own state is never used again."""
        with tempfile.TemporaryDirectory(prefix="vmi-tune-", ignore_cleanup_errors=True) as scratch:
            tuner = tune.Tuner(
                tune.with_resources(train_pack, {"cpu": 1, "gpu": self._gpus}),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=-1,
                    max_concurrent_trials=workers,
                    reuse_actors=True,
                    trial_name_creator=lambda trial: f"pack-{trial.config['pack_id']}",
                    trial_dirname_creator=lambda trial: f"pack-{trial.config['pack_id']}-{trial.trial_id}",
                ),
                run_config=tune.RunConfig(
                    name="packs",
                    storage_path=scratch,
                    verbose=0,
                    # Deaths are counted by us: a preempted node is not the pack's fault, and a retry wants a reason.
                    failure_config=tune.FailureConfig(max_failures=0),
                    callbacks=[_Deaths(searcher.handing)],
                ),
            )
            tuner.fit()

    def close(self) -> None:
        ray.shutdown()

    def _connect(self) -> None:
        """Raises InputError naming where the address comes from: the option, RAY_ADDRESS, or Ray's own note of it."""
        address = self._address or os.environ.get("RAY_ADDRESS") or None
        field = "--address" if self._address or not address else "RAY_ADDRESS"
        try:
            reach(address)
            private(Path.home() / ".ray")
            with kept_handlers(), _spared():
                ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            private(Path.home() / ".ray")
        except (OSError, ValueError, RuntimeError) as error:
            # Without an address only a ConnectionError is about one: that of a cluster which this machine belonged to.
            if address is None and not isinstance(error, ConnectionError):
                raise
            self.close()
            said = " ".join(str(error).split()) or type(error).__name__
            raise InputError([Problem(field, address, ADDRESS, said)]) from error

    def _check_nodes(self) -> None:
        try:
            if len(_nodes()) > 1:
                check_nodes(self._needs, _everywhere)
        except InputError:
            self.close()
            raise


@contextlib.contextmanager
def _spared() -> Iterator[None]:
    """A cluster that Ray starts inside does without SPARED, as far as this Ray knows of them."""
    private: Any = parameter
    made = private.RayParams
    known = inspect.signature(made).parameters
    private.RayParams = functools.partial(made, **{name: SPARED[name] for name in SPARED if name in known})
    try:
        yield
    finally:
        private.RayParams = made


def _nodes() -> dict[str, str]:
    """The name of every living node, host and address, by its id."""
    living = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return {node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})" for node in living}


def _everywhere(function: Callable[..., Any], *arguments: object) -> list[tuple[str, Any]]:
    """Every living node's name with what the function returns there, or with the exception that came instead.

    A node that goes away meanwhile is left out: whatever it would have trained, another one trains.
    """
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    asked = {
        node: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(*arguments)
        for node in _nodes()
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=NODE_SECONDS)
    said: dict[str, Any] = {}
    for node, answer in asked.items():
        try:
            said[node] = ray.get(answer, timeout=0)
        except Exception as error:  # of a node that runs other code, whatever that raises
            said[node] = error
    return [(name, said[node]) for node, name in _nodes().items() if node in said]


def _is_there() -> str:
    """What is wrong with the cluster, nothing while it is well: its head answers, this machine's part of it too."""
    if not ray.is_initialized():  # what is asked below would start a cluster
        return ""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        return f"its head at {context.gcs_address} does not answer: {error}"
    return "" if context.get_node_id() in _nodes() else "its node on this machine is gone"


def _end(workers: list[Worker]) -> int:
    """On a node: kill those of these workers that are there and still alive; how many."""
    here, ended = ray.get_runtime_context().get_node_id(), 0
    for worker in (worker for worker in workers if worker.node == here):
        # Another process may have the number of one that has ended.
        with contextlib.suppress(OSError):
            if b"ray::" in Path(f"/proc/{worker.pid}/cmdline").read_bytes():
                os.kill(worker.pid, signal.SIGKILL)
                ended += 1
    return ended


def train_pack(config: dict[str, Any]) -> None:
    """The trainable: work on one pack, report every update. An error is reported, not raised: it would come again."""
    context = ray.get_runtime_context()
    # First of all, so that whoever is killed later can be told.
    tune.report({"worker": json.dumps(Worker(context.get_worker_id(), context.get_node_id(), os.getpid()))})
    from vmi.sweep.work import work  # loads torch, which the driver does without

    task = Task.from_json(config["task"])
    try:
        # A node that joined after the probe, and writes to a disk of its own: its rows would be nowhere.
        if Store(path_of(task.root), task.study).read_study() is None:
            raise FileNotFoundError(f"{socket.gethostname()} does not see the results of this study in {task.root}")
        for update in work(task):
            # One string: Tune flattens nested results before the driver sees them.
            tune.report({"update": update.to_json()})
    except Exception as error:  # whatever breaks a pack must reach the driver as a reason
        tune.report({"error": redacted(f"{type(error).__name__}: {error}")})


class _Deaths(tune.Callback):
    """Says why a trial of Tune ended in error: a searcher only hears that it did."""

    def __init__(self, handing: Handing) -> None:
        self._handing = handing

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune pickles its callbacks for a restore of its own, which is never used."""
        return tune.Callback, ()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
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


class _PackSearcher(TuneSearcher):
    """Hands packs to Tune as it asks for trials, and brings their results back."""

    def __init__(self, handing: Handing) -> None:
        super().__init__()
        self.handing = handing

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        given = self.handing.next(trial_id)
        finished: Any = TuneSearcher.FINISHED  # a string, where Ray's annotation has a dict
        return finished if given is None and self.handing.done else given

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.handing.take(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:  # else `_Deaths` says why
            self.handing.ended(trial_id, result or {})

    def __reduce__(self) -> tuple[type[TuneSearcher], tuple[()]]:
        """Tune pickles its searcher for a restore of its own, which is never used: a study resumes from the store."""
        return TuneSearcher, ()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is what a study resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is what a study resumes from."""
