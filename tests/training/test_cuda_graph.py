"""Replayed steps: all but the graph itself, by a stand-in that runs the captured step again on the same tensors."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock
from weakref import WeakKeyDictionary

import pytest
import torch
from support.judges import BelowMean
from support.packs import small_pack, trial, varied
from training.test_capturable import METHODS
from training.test_refill import Run, run

from vmi.data import dataset as data
from vmi.data.dataset import Dataset
from vmi.data.minibatches import Minibatches, Resident
from vmi.data.random_streams import seeded
from vmi.spec.trial import Trial
from vmi.training import cuda_graph as captured
from vmi.training import pack as pack_module
from vmi.training import train
from vmi.training.cuda_graph import Step, replayed
from vmi.training.pack import Pack
from vmi.training.train import Stop, run_steps

# Minibatches of 64 of the 1437 images of digits: an epoch.
EPOCH = 22


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


@pytest.fixture(autouse=True)
def nothing_said_or_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "by_counter", lambda _: True)  # as on a card
    monkeypatch.setattr(captured, "_SAID", set())
    monkeypatch.setattr(captured, "_REASONS", [])
    monkeypatch.setattr(captured, "_EAGER", set())
    monkeypatch.setattr(captured, "_CAPTURED", WeakKeyDictionary())
    monkeypatch.setattr(Again, "made", 0)
    monkeypatch.setattr(Again, "beside", 0)


class Again:
    """In place of a graph: the same step of the same pack on the same tensors, run again at each replay."""

    made = beside = 0

    def __init__(self, body: Step, pack: Pack, dataset: Dataset, batches: Resident) -> None:
        Again.made += 1
        Again.beside = max(Again.beside, len(captured._CAPTURED))
        self._step: Callable[[], None] = lambda: body(here(), dataset, batches)
        here = weakref.ref(pack)  # as a graph, it keeps no pack alive

    def replay(self) -> None:
        self._step()


def by_graph(pack: Pack, dataset: Dataset, count: int) -> None:
    if not replayed(pack, dataset, count, Again):
        run_steps(pack, dataset, count)


def state(pack: Pack) -> dict[str, Any]:
    """Everything that training changes, in all its bits."""
    tensors = {name: tensor.numpy().tobytes() for name, tensor in pack.tensors().items()}
    generators = {name: [g.get_state().numpy().tobytes() for g in gs] for name, gs in pack.generators().items()}
    return {**tensors, "generators": generators, **{k: list(v) for k, v in pack.counters().items()}}


@pytest.mark.parametrize("phase_order", ["q_first", "vae_first"])
@pytest.mark.parametrize("members", [1, 5])
def test_replayed_steps_give_what_steps_of_their_own_give_across_an_epochs_end(
    digits: Dataset, members: int, phase_order: str
) -> None:
    eager, replaying = (small_pack(members, phase_order=phase_order, steps=100) for _ in range(2))
    for count in (EPOCH - 2, 1, 3, EPOCH + 1):
        run_steps(eager, digits, count)
        by_graph(replaying, digits, count)
        assert state(replaying) == state(eager)
    assert eager.window.close(range(members)) == replaying.window.close(range(members))


def test_every_method_is_replayed_to_the_same_bits(digits: Dataset) -> None:
    eager, replaying = (Pack([trial(seed=i, steps=99, **m) for i, m in enumerate(METHODS)]) for _ in range(2))
    for pack, steps in ((eager, run_steps), (replaying, by_graph)):
        pack.train_mode(True)
        steps(pack, digits, EPOCH + 2)
    assert state(replaying) == state(eager)


def test_steps_that_were_taken_without_the_graph_meanwhile_are_caught_up_with(digits: Dataset) -> None:
    eager, mixed = (small_pack(2, steps=100) for _ in range(2))
    run_steps(eager, digits, 60)
    for count, steps in ((20, by_graph), (EPOCH, run_steps), (1, by_graph), (16, run_steps), (1, by_graph)):
        steps(mixed, digits, count)
    assert state(mixed) == state(eager)


def test_a_training_by_graphs_with_members_that_leave_and_join_is_one_without(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = varied(9, steps=60)
    trials[1] = Trial(*trials[1][:2], trials[1].config.__class__(**{**vars(trials[1].config), "learning_rate": 1e30}))

    def whole() -> Run:
        stop = Stop(BelowMean(), "accuracy_majority")
        return run(Pack(trials[:3]), digits, trials[3:], stop, reports=6)

    eager = whole()
    monkeypatch.setattr(captured, "LEAST_STEPS", 1)
    monkeypatch.setattr(train, "run_steps", by_graph)
    replaying = whole()
    assert replaying.reports == eager.reports and replaying.metrics == eager.metrics
    assert replaying.ended == eager.ended and eager.ended, "somebody broke or was stopped"
    for trial_id, tensors in eager.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(replaying.tensors[trial_id][name], tensor), name
    assert 3 <= Again.made < sum(map(len, eager.reports.values())), "one graph a pack, and not one a report"
    assert Again.beside == 0, "a pack's graph goes before the next pack's is made"


def test_a_graph_is_made_once_for_a_pack_and_goes_with_it(digits: Dataset) -> None:
    first, second = small_pack(1, steps=100), small_pack(2, steps=100)
    for pack in (first, second, first):
        assert replayed(pack, digits, captured.LEAST_STEPS, Again)
    assert Again.made == 2 and len(captured._CAPTURED) == 2
    assert replayed(first, digits, 1, Again), "what is captured replays a single step as well"
    del first, pack
    gc.collect()  # of the test's own frame
    assert len(captured._CAPTURED) == 1
    captured.forget(second)
    assert len(captured._CAPTURED) == 0


class RefusedError(RuntimeError):
    pass


def refusing(body: Step, pack: Pack, dataset: Dataset, batches: Resident) -> Any:
    """As a capture that fails after the host has counted and drawn."""
    pack.steps[:] = [step + 1 for step in pack.steps]
    pack.noise()
    raise RefusedError("operation not permitted when stream is capturing")


def test_where_capturing_fails_the_steps_are_run_as_they_are_and_it_is_said_once(digits: Dataset) -> None:
    eager, refused = (small_pack(3, steps=100) for _ in range(2))
    with pytest.warns(RuntimeWarning, match="capturing failed: RefusedError: operation not permitted") as said:
        for _ in range(3):
            assert not replayed(refused, digits, 30, refusing)
            assert not replayed(refused, digits, 30, Again), "it is not tried twice"
        assert not replayed(small_pack(2, steps=100), digits, 30, Again), "nor with another pack of its Architecture"
    assert len(said) == 1
    (reason,) = captured.reasons()
    assert str(said[0].message) == reason and captured.reasons() == []
    assert state(refused) == state(eager)


class Card:
    """In place of torch.cuda: streams and pools of graphs, which are noted; what is captured is run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.streams, self.pools, self.ended = list[object](), list[object](), list[object]()
        captured._beside.cache_clear()
        stand_ins = {
            "Stream": self._stream, "stream": nullcontext, "current_stream": lambda device: Mock(), "CUDAGraph": Mock,
            "graph": self._capture, "graph_pool_handle": lambda: (0, len(self.pools) + 1),
            "synchronize": lambda device: None, "empty_cache": lambda: None,
        }  # fmt: skip
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(captured, "end_failed_capture", self.ended.append)

    def _stream(self, device: object) -> Mock:
        self.streams.append(made := Mock())
        return made

    def _capture(self, graph: object, pool: object) -> nullcontext[None]:
        self.pools.append(pool)
        return nullcontext()


def test_packs_warm_up_on_one_stream_and_the_allocator_hears_of_a_capture_that_failed(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, packs = Card(monkeypatch), [small_pack(members, steps=100) for members in (1, 2, 3)]

    def step(pack: Pack, dataset: Dataset, batches: Resident) -> None:
        if pack is packs[2]:  # and not the copy that warms up
            raise RefusedError("operation not permitted when stream is capturing")

    def capture(pack: Pack) -> None:
        captured.cuda_graph(step, pack, digits, pack.minibatches.resident(pack.device))

    capture(packs[0])
    capture(packs[1])
    assert len(card.streams) == 1 and card.pools == [(0, 1), (0, 2)] and not card.ended
    with pytest.raises(RefusedError):
        capture(packs[2])
    assert card.ended == [(0, 3)] and len(card.streams) == 1
    captured._beside.cache_clear()


def broken(body: Step, pack: Pack, dataset: Dataset, batches: Resident) -> Any:
    """As torch's own: the end of a capture that broke inside raises an error in the place of what has broken it."""
    try:
        refusing(body, pack, dataset, batches)
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


def test_what_has_broken_a_capture_is_said_and_not_what_its_end_makes_of_it(digits: Dataset) -> None:
    with pytest.warns(RuntimeWarning, match="capturing failed: RefusedError: operation not permitted"):
        assert not replayed(small_pack(3, steps=99), digits, 30, broken)
    captured.reasons()


@pytest.mark.parametrize(
    ("count", "environ", "reason"),
    [
        (1000, {"VMI_CUDA_GRAPH": "0"}, "VMI_CUDA_GRAPH=0"),
        (captured.LEAST_STEPS - 1, {}, "fewer than 20 steps at a time do not repay it"),
    ],
)
def test_few_steps_and_a_wish_are_run_as_they_are_and_it_is_said_once(
    digits: Dataset, count: int, environ: dict[str, str], reason: str
) -> None:
    pack = small_pack(1, steps=10_000)
    with pytest.warns(RuntimeWarning, match=f"one by one, not by a CUDA graph: {reason}") as said:
        assert not any(replayed(pack, digits, count, Again, environ) for _ in range(3))
    assert len(said) == 1 and pack.steps == [0]


def test_a_cpu_is_never_asked_for_a_graph(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "replayed", lambda *given: pytest.fail("asked"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_steps(small_pack(1, steps=100), digits, 30)


def places(resident: Resident) -> Iterator[list[list[int]]]:
    while True:
        for _ in range(resident.renew()):
            yield resident.next().tolist()
            resident.taken(1)


def test_resident_minibatches_are_those_of_the_host_with_members_at_different_places() -> None:
    def made() -> Minibatches:
        minibatches = Minibatches(10, 3, [seeded(seed, "order") for seed in (0, 1, 2)])
        minibatches.next()
        minibatches.positions[1] = minibatches.count  # as one that has joined
        return minibatches

    host, device = made(), places(Resident(made(), torch.device("cpu")))
    assert [host.next().tolist() for _ in range(20)] == [next(device) for _ in range(20)]
