"""The step of a pack as one graph of a CUDA device: captured once for each pack, replayed at every step.

A replay repeats what was launched, on the same memory. So all that varies lies on the device and is moved there by the
step itself: weights, moments, counts, sums for the report, the step from which noise is computed
(`vmi.data.random_streams`), and the place in the order of the minibatches (`Minibatches.resident`), of which only a new
epoch is copied. What the host counts is counted beside the replays. A pack whose members change is another pack, with
a graph of its own; a graph goes when its pack does.
NOT RUN ON A DEVICE YET: all but `cuda_graph` itself is tested with a stand-in that runs the step again.
Shapes: K member, B batch, D pixels, N training images.
"""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet

import torch

from vmi.data.dataset import Dataset
from vmi.data.minibatches import Resident
from vmi.nn.torch_private import end_failed_capture
from vmi.spec.config import Architecture
from vmi.spec.reports import LEAST_STEPS
from vmi.training.out_of_memory import is_out_of_memory
from vmi.training.pack import Pack
from vmi.training.poisoned import is_poisoned
from vmi.training.step import train_step

VARIABLE = "VMI_CUDA_GRAPH"
# Steps that are launched one by one before a capture, so that libraries have made what they need.
WARM_UP = 3


class Graph(Protocol):
    """One step that can be launched again."""

    def replay(self) -> None: ...


class Step(Protocol):
    """What is captured: one step of this pack, on minibatches that lie on its device."""

    def __call__(self, pack: Pack, data: Dataset, batches: Resident) -> None: ...


Capture = Callable[[Step, Pack, Dataset, Resident], Graph]


def step(pack: Pack, data: Dataset, batches: Resident) -> None:
    """Gather, noise, all phases, all optimisers, sums for the report: with nothing from the host, and nothing to it."""
    images_KBD = data.images(data.train, batches.next(), pack.dtype)
    pack.window.add(train_step(pack, images_KBD, pack.noise()))


def cuda_graph(body: Step, pack: Pack, data: Dataset, batches: Resident) -> Graph:
    """The step as a CUDA graph. The pack is left as it was: capturing computes nothing, and a copy of it warms up."""
    stream = _beside(pack.device)
    warm = pack.keep(range(pack.size))
    warm.train_mode(True)
    stream.wait_stream(torch.cuda.current_stream(pack.device))
    with torch.cuda.stream(stream):
        own = warm.minibatches.resident(pack.device)
        for _ in range(WARM_UP):
            own.renew()
            body(warm, data, own)
            own.taken(1)
    torch.cuda.current_stream(pack.device).wait_stream(stream)
    torch.cuda.synchronize(pack.device)
    del warm, own
    # What the warm-up took and gave back would lie beside the graph's own memory.
    torch.cuda.empty_cache()
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    try:
        # Before torch 2.15 a capture that fails leaves its own stream the current one.
        with torch.cuda.stream(torch.cuda.current_stream(pack.device)), torch.cuda.graph(graph, pool=pool):
            body(pack, data, batches)
    except Exception:
        end_failed_capture(pool)
        raise
    return graph


@cache
def _beside(device: torch.device) -> torch.cuda.Stream:
    """Where packs warm up, one for all of them: cuBLAS keeps a workspace for every stream that it was used on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class Captured:
    """The captured step of one pack. It holds no pack, so that it goes when its pack goes."""

    def __init__(self, pack: Pack, data: Dataset, capture: Capture) -> None:
        self.data = data
        self._batches = pack.minibatches.resident(pack.device)
        counters = _counters(pack)
        try:
            self._graph = capture(step, pack, data, self._batches)
        finally:
            # The host has counted a step that was not taken.
            _set(pack, counters)
            if pack.counted:
                pack.counted.forget()

    def run(self, pack: Pack, count: int) -> None:
        """So many steps; the host waits for none of them."""
        self._batches.catch_up()
        while count > 0:
            together = min(count, self._batches.renew())
            before = _counters(pack)
            for _ in range(together):
                self._graph.replay()
            self._batches.taken(together)
            _set(pack, {name: [value + together for value in before[name]] for name in before})
            count -= together


_CAPTURED: WeakKeyDictionary[Pack, Captured] = WeakKeyDictionary()
# Those of which a capture has failed in this process: another would fail as well.
_EAGER: set[Architecture] = set()
# Those that had no memory for one: a smaller pack may.
_SHORT: WeakSet[Pack] = WeakSet()
_SAID: set[str] = set()
_REASONS: list[str] = []


def replayed(
    pack: Pack,
    data: Dataset,
    count: int,
    capture: Capture = cuda_graph,
    environ: Mapping[str, str] = os.environ,
) -> bool:
    """Whether these steps were taken by a graph; where not, nothing was, and it is said why, once for each reason."""
    if environ.get(VARIABLE) == "0":
        return _not(f"{VARIABLE}=0")
    if pack.architecture in _EAGER or pack in _SHORT:
        return False
    found = _CAPTURED.get(pack)
    if found is None or found.data is not data:
        if count < LEAST_STEPS:
            return _not(f"fewer than {LEAST_STEPS} steps at a time do not repay it")
        try:
            found = Captured(pack, data, capture)
        except Exception as error:  # whatever cannot be captured can still be run, unless the card is lost
            if is_poisoned(error):
                raise
            if is_out_of_memory(error):
                _SHORT.add(pack)
            else:
                _EAGER.add(pack.architecture)
            return _not(f"capturing failed: {_cause(error)}")
        _CAPTURED[pack] = found
    found.run(pack, count)
    return True


def _cause(error: BaseException) -> str:
    """What has broken first, and where: the end of a broken capture raises an error of its own in its place."""
    seen: set[int] = set()
    while (before := error.__cause__ or error.__context__) is not None and id(before) not in seen:
        seen.add(id(before))
        error = before
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}vmi{os.sep}" in frame.filename]
    at = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{at}"


def has_graph(pack: Pack) -> bool:
    """Whether the next steps of this pack are replayed."""
    return pack in _CAPTURED


def forget(pack: Pack) -> None:
    """Let go of the pack's graph, and of the memory that its steps take, where there is one."""
    _CAPTURED.pop(pack, None)


def reasons() -> list[str]:
    """Why steps were not captured, those that have come up since this was asked last."""
    found, _REASONS[:] = list(_REASONS), []
    return found


def _not(reason: str) -> bool:
    if reason not in _SAID:
        _SAID.add(reason)
        _REASONS.append(f"steps are launched one by one, not by a CUDA graph: {reason}")
        warnings.warn(f"steps are launched one by one, not by a CUDA graph: {reason}", RuntimeWarning, stacklevel=3)
    return False


def _counters(pack: Pack) -> dict[str, list[int]]:
    """What a step counts on the host, but for the positions, which the minibatches count themselves."""
    return {name: list(values) for name, values in pack.counters().items() if name != "positions"}


def _set(pack: Pack, counters: Mapping[str, list[int]]) -> None:
    for name, values in counters.items():
        pack.counters()[name][:] = values
