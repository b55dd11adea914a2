"""The Ray Tune runner: one Tune trial is one pack. The only file that knows Ray.

Tune schedules, restarts packs whose worker died and spreads them over the cluster; what is trained, what is finished
and what is stored is ours, so Tune's own state may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before Ray is imported: no per-trial logger files, no output of its own, Ctrl-C is ours to handle.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# A cluster that refuses the token is asked once a second: it shall be said within half a minute, start included.
os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "15")

import ray
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.search import Searcher as TuneSearcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vmi.errors import InputError, Problem
from vmi.record.store import Store
from vmi.secrecy import redacted
from vmi.sweep.ledger import Ledger
from vmi.sweep.probe import Needs, check_nodes
from vmi.sweep.signals import kept_handlers
from vmi.sweep.task import Task, Update
from vmi.trial import PackSpec

# Tune hands these to its workers by a runtime environment, which Ray writes into its logs in clear. Workers of this
# machine have them from the driver anyway, those of other nodes from their node.
class_cache.ENV_VARS_TO_PROPAGATE.difference_update(
    {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}
)
# Deaths of a worker or node that a pack survives; errors of the program itself are not tried again.
MAX_WORKER_DEATHS = 2
REACH_SECONDS = 5.0
# A node has this long to start a worker and to look at its folders.
NODE_SECONDS = 60.0
# Ray only says that it could not connect where a cluster asks for a token and the driver was not told to send one.
ADDRESS = (
    "the address of a running Ray cluster (host:6379), 'auto', or 'local' for a new one; "
    "RAY_AUTH_MODE=token where the cluster asks for its token"
)


class TuneRunner:
    """Runs packs on a Ray cluster: the one at `address`, the one this machine belongs to, or a new local one.

    `needs`: what every node must see, looked at before any trial where the cluster has more than one.
    """

    def __init__(self, address: str | None, gpus_per_pack: float | None, needs: Needs) -> None:
        self._address, self._gpus_per_pack, self._needs = address, gpus_per_pack, needs
        self._gpus = 0.0

    def workers(self) -> int:
        """How many packs fit on the cluster at once.

        Raises InputError when there is no such cluster or no such GPU, or a node does not see what it needs.
        """
        if not ray.is_initialized():
            self._connect()
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
            raise InputError([Problem("--address", self._address, "a Ray cluster with CPUs: each pack takes one")])
        return max(1, min(cpus, int(gpus / self._gpus))) if self._gpus else cpus

    @property
    def device(self) -> str:
        return "cuda" if self._gpus else "cpu"

    def run(self, ledger: Ledger, task_of: Callable[[PackSpec], Task], show: Callable[[Update], None]) -> None:
        workers = self.workers()
        with tempfile.TemporaryDirectory(prefix="vmi-tune-") as scratch:
            tuner = tune.Tuner(
                tune.with_resources(train_pack, {"cpu": 1, "gpu": self._gpus}),
                tune_config=tune.TuneConfig(
                    search_alg=_PackSearcher(ledger, task_of, show),
                    num_samples=-1,
                    max_concurrent_trials=workers,
                    reuse_actors=True,
                    trial_name_creator=lambda trial: f"pack-{trial.config['pack_id']}",
                    trial_dirname_creator=lambda trial: f"pack-{trial.config['pack_id']}",
                ),
                run_config=tune.RunConfig(
                    name="packs",
                    storage_path=scratch,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=MAX_WORKER_DEATHS),
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
            _reach(address)
            _private(Path.home() / ".ray")
            with kept_handlers():
                ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            _private(Path.home() / ".ray")
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


def _private(folder: Path) -> None:
    """Ray writes its token readable by everyone; whoever has it may run code on the cluster. So the folder is closed
    before Ray writes into it, and the token afterwards."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        token = folder / "auth_token"
        for path, mode in ((folder, 0o700), *([(token, 0o600)] if token.is_file() else [])):
            if stat.S_IMODE(path.stat().st_mode) != mode:
                path.chmod(mode)


def _reach(address: str | None) -> None:
    """Ray waits for minutes for what is no server of it. Raises OSError when nothing at host:port speaks HTTP/2."""
    host, _, port = (address or "").rpartition(":")
    if host and "://" not in host and port.isdecimal() and int(port) < 65536:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            if connection.recv(9, socket.MSG_WAITALL)[3:4] != b"\x04":  # a server's first frame: its settings
                raise ConnectionError(f"what listens at {address} is not a Ray cluster")


def train_pack(config: dict[str, Any]) -> None:
    """The trainable: work on one pack, report every update. An error is reported, not raised: Tune would repeat it."""
    from vmi.sweep.work import work  # loads torch, which the driver does without

    task = Task.from_json(config["task"])
    try:
        # A node that joined after the probe, and writes to a disk of its own: its rows would be nowhere.
        if Store(Path(task.root), task.study).read_study() is None:
            raise FileNotFoundError(f"{socket.gethostname()} does not see the results of this study in {task.root}")
        for update in work(task):
            # One string: Tune flattens nested results before the driver sees them.
            tune.report({"update": update.to_json()})
    except Exception as error:  # whatever breaks a pack must reach the driver as a reason
        tune.report({"error": redacted(f"{type(error).__name__}: {error}")})


class _PackSearcher(TuneSearcher):
    """Hands packs to Tune as it asks for trials, and brings their results back to the ledger."""

    def __init__(self, ledger: Ledger, task_of: Callable[[PackSpec], Task], show: Callable[[Update], None]) -> None:
        super().__init__()
        self._ledger, self._task_of, self._show = ledger, task_of, show
        self._packs: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        spec = self._ledger.next_pack()
        if spec is None:
            finished: Any = TuneSearcher.FINISHED  # a string, where Ray's annotation has a dict
            return finished if self._ledger.done else None
        self._packs[trial_id] = spec.pack_id
        return {"pack_id": spec.pack_id, "task": self._task_of(spec).to_json()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._take(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:
            self._take(trial_id, result or {})
        if trial_id in self._packs:
            self._lose(trial_id, "its worker died" if error else "it ended without a result")

    def __reduce__(self) -> tuple[type[TuneSearcher], tuple[()]]:
        """Tune pickles its searcher for a restore of its own, which is never used: a study resumes from the store."""
        return TuneSearcher, ()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is what a study resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is what a study resumes from."""

    def _take(self, trial_id: str, result: dict[str, Any]) -> None:
        if trial_id not in self._packs:
            return
        if "error" in result:
            self._lose(trial_id, result["error"])
        elif "update" in result:
            update = Update.from_json(result["update"])
            if update.ended:
                self._ledger.ended(self._packs.pop(trial_id), update.ended)
            self._show(update)

    def _lose(self, trial_id: str, reason: str) -> None:
        pack_id = self._packs.pop(trial_id)
        self._ledger.lose(pack_id, reason)
        self._show(Update(pack_id, 0, 1, warning=f"pack {pack_id} failed: {reason}"))
