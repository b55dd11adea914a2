"""What a card's steps draw follows from seed, purpose and step alone, whoever stands beside a member."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.packs import trial
from training.test_capturable import METHODS

from vmi.data import dataset as data
from vmi.data.random_streams import Counted
from vmi.training import checkpoint
from vmi.training import pack as pack_module
from vmi.training.pack import Pack
from vmi.training.train import launch_steps


def counted(seeds: list[int], steps: list[int], more: bool = False, dtype: torch.dtype = torch.float32) -> Counted:
    made = Counted(seeds, torch.tensor(steps), 33, dtype)
    if more:
        made.ask("permutation", uniform=3)
        made.ask("prior", 5, 10, 2)
    made.ask("noise", 5, 10, 2)
    made.ask("view", uniform=5)
    made.lay_out()
    return made


def draws(made: Counted) -> list[torch.Tensor]:
    found = [*made.draw("noise"), *made.draw("noise"), made.draw("view").uniform_KBU]
    made.forget()
    return found


def test_a_members_numbers_are_the_same_in_any_pack_and_beside_any_other_draw() -> None:
    seeds, steps = [3, 0, 11, 7, 4], [10, 0, 10, 999, 1 << 31]
    whole = draws(counted(seeds, steps))
    assert [tuple(t.shape) for t in whole] == [(5, 33, 5), (5, 33, 10)] * 2 + [(5, 33, 5)]
    for order in ([0], [4, 2], [3, 0, 1, 2, 4]):
        for more in (False, True):
            part = draws(counted([seeds[k] for k in order], [steps[k] for k in order], more))
            for mine, all_of_them in zip(part, whole, strict=True):
                assert torch.equal(mine, all_of_them[order])


def test_steps_seeds_purposes_and_calls_give_other_numbers_and_a_step_again_the_same() -> None:
    made, step_K = counted([1], [5]), torch.tensor([5])
    first = draws(made)
    assert all(torch.equal(a, b) for a, b in zip(first, draws(made), strict=True))
    others = [draws(counted([1], [6])), draws(counted([2], [5])), first[2:4]]
    for other in others:
        assert not any(torch.isin(a, b).float().mean() > 0.01 for a, b in zip(first[:2], other[:2], strict=True))
    assert step_K.item() == 5
    moved = torch.tensor([4])
    following = Counted([1], moved, 33, torch.float32)
    following.ask("noise", 5, 10, 2)
    following.lay_out()
    moved += 1  # in place, as a pack's step moves
    assert torch.equal(following.draw("noise").normal_KBZ, first[0])


@pytest.fixture
def as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "by_counter", lambda _: True)


def made(members: list[int], **fields: Any) -> Pack:
    pack = Pack([trial(seed=k, steps=40, **METHODS[k], **fields) for k in members])
    pack.train_mode(True)
    return pack


@pytest.mark.usefixtures("as_on_a_card")
@pytest.mark.parametrize("phase_order", ["q_first", "vae_first"])
def test_members_alone_are_those_of_a_pack_bitwise_and_nothing_is_drawn_from_a_generator(phase_order: str) -> None:
    digits, every = data.load("digits"), list(range(len(METHODS)))
    whole = made(every, phase_order=phase_order)
    assert whole.generators().keys() == {"order"}
    launch_steps(whole, digits, 3)
    for k in (0, 3, 6, 8):
        alone = made([k], phase_order=phase_order)
        launch_steps(alone, digits, 3)
        for name, tensor in alone.tensors().items():
            assert torch.equal(tensor[0], whole.tensors()[name][k]), (k, name)


@pytest.mark.usefixtures("as_on_a_card")
def test_a_pack_that_is_saved_and_restored_goes_on_bitwise() -> None:
    digits, every = data.load("digits"), list(range(len(METHODS)))
    pack = made(every)
    launch_steps(pack, digits, 2)
    restored, _ = checkpoint.decode(checkpoint.encode(pack))
    restored.train_mode(True)
    for one in (pack, restored):
        launch_steps(one, digits, 3)
    for name, tensor in pack.tensors().items():
        assert torch.equal(restored.tensors()[name], tensor), name


def test_what_a_card_has_saved_is_restored_on_a_cpu_all_but_its_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as on_card:
        on_card.setattr(pack_module, "by_counter", lambda _: True)
        pack = made([0, 1])
        launch_steps(pack, data.load("digits"), 2)
        pack.device = torch.device("cuda")  # only its name is read
        saved = checkpoint.encode(pack)
    restored, _ = checkpoint.decode(saved)
    assert restored.counted is None and restored.generators().keys() > {"order"}
    for name, tensor in pack.tensors().items():
        assert torch.equal(restored.tensors()[name], tensor), name
    restored.train_mode(True)
    launch_steps(restored, data.load("digits"), 1)
    assert restored.steps == [3, 3]
