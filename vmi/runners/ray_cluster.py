"""The Ray cluster: connecting to it, what its nodes have room for, functions on every node, whether it is still there.

Only `tune.py` and `tune_hooks.py`, which schedule packs by it, and `ray_private.py` know Ray besides.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmi.runners import ray_private  # first: what it sets in the environment must be there before Ray is

# isort: split
import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vmi.cost.cards import free_on_cards, names_slices
from vmi.cost.hardware import available_memory
from vmi.cost.sizing import Room
from vmi.process.scratch import outside
from vmi.process.signals import kept_handlers
from vmi.runners.connecting import REACH_SECONDS, joined, private, reach
from vmi.runners.dispatch import Worker
from vmi.runners.node_check import Needs, check_nodes
from vmi.spec.errors import InputError, Problem
from vmi.spec.home import home
from vmi.worker.halting import HALT_SECONDS, ask

# A node has this long to start a worker and to look at its folders.
NODE_SECONDS = 60.0
# Ray only says that it could not connect where a cluster asks for a token and the driver was not told to send one.
ADDRESS = (
    "the address of a running Ray cluster (host:6379), 'auto', or 'local' for a new one; "
    "RAY_AUTH_MODE=token where the cluster asks for its token"
)


def connect(address: str | None, needs: Needs, say: Callable[[str], None]) -> bool:
    """Connect this process, once its workers have joined and every node sees what it needs; False where it was.

    Raises InputError naming where the address comes from (the option, RAY_ADDRESS, or Ray's own note of it), or the
    node that does not see what it needs.
    """
    if ray.is_initialized():
        return False
    _init(address)
    joined(ray.cluster_resources, say)
    try:
        if len(nodes()) > 1:
            check_nodes(needs, everywhere)
    except InputError:
        leave()
        raise
    return True


def leave() -> None:
    """Disconnect; a cluster that was started by connecting ends."""
    ray.shutdown()


def _init(address: str | None) -> None:
    given, address = address, address or os.environ.get("RAY_ADDRESS") or None
    field = "--address" if given or not address else "RAY_ADDRESS"
    try:
        reach(address)
        # Ray's own note lies outside of our scratch folder.
        noted = ray_private.address_noted_in(outside() / "ray") if address in (None, "auto") else None
        found = noted or address
        private(home() / ".ray")
        if found is None:
            _own_token()
        with kept_handlers(), ray_private.spared():
            # Of slices of GPUs Ray counts no more than there are GPUs.
            gpus = len(free_on_cards()) if found is None and names_slices() else None
            ray.init(
                address=found or "local", num_gpus=gpus, include_dashboard=False, log_to_driver=False,
                logging_level=logging.ERROR,
            )  # fmt: skip
        private(home() / ".ray")
    except (OSError, ValueError, RuntimeError) as error:
        # Without an address only a ConnectionError is about one: that of a cluster which this machine belonged to.
        if address is None and not isinstance(error, ConnectionError):
            raise
        leave()
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError([Problem(field, address, ADDRESS, said)]) from error


def _own_token() -> None:
    """Where no home folder can keep Ray's token, that of a cluster of our own lies in our scratch folder."""
    names = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    kept = home() / ".ray"
    if (
        any(os.environ.get(name) for name in names)
        or os.access(kept / "auth_token", os.R_OK)
        or os.access(kept, os.W_OK)
    ):
        return
    path = Path(os.environ["TMPDIR"]) / "auth_token"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)


def capacity() -> tuple[int, float]:
    """The CPUs and the GPUs of all living nodes."""
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 0)), float(resources.get("GPU", 0))


def room(gpus_per_pack: float) -> Room:
    """Of the node where a pack has least. Of other nodes than this one Ray knows what they had at their start."""
    if gpus_per_pack:
        asked = [("", free_on_cards())] if len(nodes()) == 1 else everywhere(free_on_cards)
        cards = [free for _, found in asked if isinstance(found, list) for free in found]
        return Room("cuda", int(min(cards) * gpus_per_pack) if cards else None)
    living = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]  # type: ignore[no-untyped-call]
    resources = [node["Resources"] for node in living]
    if [node["NodeID"] for node in living] == [ray.get_runtime_context().get_node_id()]:
        free = available_memory()
        return Room("cpu", None if free is None else int(free / resources[0]["CPU"]))
    at_start = [int(node["memory"] / node["CPU"]) for node in resources if node.get("memory")]
    return Room("cpu", min(at_start, default=None))


def nodes() -> dict[str, str]:
    """The name of every living node, host and address, by its id."""
    living = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return {node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})" for node in living}


def everywhere(
    function: Callable[..., Any], *arguments: object, seconds: float = NODE_SECONDS
) -> list[tuple[str, Any]]:
    """Every living node's name with what the function returns there, or with the exception that came instead.

    So also what has not come after so many `seconds`.

    A node that goes away meanwhile is left out: whatever it would have trained, another one trains.
    """
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    asked = {
        node: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(*arguments)
        for node in nodes()
    }
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=seconds)
    said: dict[str, Any] = {}
    for node, answer in asked.items():
        try:
            said[node] = ray.get(answer, timeout=0)
        except Exception as error:  # of a node that runs other code, whatever that raises
            said[node] = error
    return [(name, said[node]) for node, name in nodes().items() if node in said]


def is_there() -> str:
    """What is wrong with the cluster, nothing while it is well: its head answers, this machine's part of it too."""
    if not ray.is_initialized():  # what is asked below would start a cluster
        return ""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        return f"its head at {context.gcs_address} does not answer: {error}"
    return "" if context.get_node_id() in nodes() else "its node on this machine is gone"


def halt(workers: list[Worker]) -> list[str]:
    """Ask these workers to write a checkpoint and stop, on whatever node they are; the answers that came in time."""
    if not workers or not ray.is_initialized():  # what is asked below would start a cluster
        return []
    here = ray.get_runtime_context().get_node_id()
    if all(worker.node == here for worker in workers):
        return halt_here(workers)  # a task would have to be started first
    found = everywhere(halt_here, workers, seconds=HALT_SECONDS + 2)
    return [said for _, answers in found if isinstance(answers, list) for said in answers]


def halt_here(workers: list[Worker]) -> list[str]:
    """The same for those of this node."""
    here = ray.get_runtime_context().get_node_id()
    return ask([Path(w.question) for w in workers if w.question and w.node == here and is_worker(w.pid)])


def end(workers: list[Worker]) -> int:
    """On a node: kill those of these workers that are there and still alive; how many."""
    here, ended = ray.get_runtime_context().get_node_id(), 0
    for worker in (worker for worker in workers if worker.node == here and is_worker(worker.pid)):
        with contextlib.suppress(OSError):
            os.kill(worker.pid, signal.SIGKILL)
            ended += 1
    return ended


def is_worker(pid: int) -> bool:
    """Whether a process is a worker of Ray, by its title: another one may have the number of one that has ended.

    Where the system shows no titles, it is taken for one.
    """
    try:
        return "".join(psutil.Process(pid).cmdline()).startswith(ray_private.TITLE)
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
