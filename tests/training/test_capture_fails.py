"""A capture that fails leaves nothing behind: what follows draws from generators that no graph has known.

The stand-in does what torch did before 2.15: every generator that a step drew from while it was captured raises from
then on, though its state can be read and set.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import pytest
import torch
from support.packs import small_pack, trial
from torch.overrides import TorchFunctionMode
from training.test_capturable import METHODS
from training.test_cuda_graph import Again, state

from vmi.data import dataset as data
from vmi.data.dataset import Dataset
from vmi.data.minibatches import Resident
from vmi.training import cuda_graph as captured
from vmi.training.cuda_graph import Step, replayed
from vmi.training.pack import Pack
from vmi.training.train import run_steps


class Poisoned(TorchFunctionMode):
    """Raises, as torch did, where something is drawn from a generator that a failed capture has known."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[torch.Generator] = []  # kept alive, so that no other one is taken for them
        self.capturing = False
        self.drawn = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for given in (*args, *(kwargs or {}).values()):
            if isinstance(given, torch.Generator):
                if self.capturing:
                    self.known.append(given)
                elif any(given is one for one in self.known):
                    raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
                self.drawn += not self.capturing
        return func(*args, **(kwargs or {}))

    def fail(self, body: Step, pack: Pack, dataset: Dataset, batches: Resident) -> Any:
        """A capture that knows the pack's generators, and fails after a step has drawn from them."""
        self.known += captured.drawn(pack)
        self.capturing = True
        try:
            images_KBD = dataset.images(dataset.train, batches.next(), pack.dtype)
            pack.seen(images_KBD)
            pack.noise()
            pack.prior_noise()
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        finally:
            self.capturing = False


@pytest.fixture(autouse=True)
def nothing_said_or_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_SAID", set()), ("_REASONS", []), ("_EAGER", set()), ("_CAPTURED", WeakKeyDictionary())):
        monkeypatch.setattr(captured, name, value)


@pytest.mark.filterwarnings("ignore:steps are launched one by one")
def test_after_a_capture_that_failed_every_method_goes_on_to_the_same_bits() -> None:
    digits = data.load("digits")
    eager, refused = (Pack([trial(seed=i, steps=99, **m) for i, m in enumerate(METHODS)]) for _ in range(2))
    for pack in (eager, refused):
        pack.train_mode(True)
        run_steps(pack, digits, 2)
    with Poisoned() as poisoned:
        assert not replayed(refused, digits, 30, poisoned.fail)
        assert poisoned.known and not poisoned.drawn
        run_steps(refused, digits, 3)
        assert poisoned.drawn
        kept = refused.keep(range(2))
        kept.train_mode(True)
        run_steps(kept, digits, 1)
    run_steps(eager, digits, 3)
    assert state(refused) == state(eager)


def test_a_capture_that_succeeds_leaves_the_generators_that_its_graph_knows() -> None:
    pack = small_pack(2, steps=99)
    before = [id(generator) for generators in pack.generators().values() for generator in generators]
    assert replayed(pack, data.load("digits"), captured.LEAST_STEPS, Again)
    assert [id(generator) for generators in pack.generators().values() for generator in generators] == before
