"""The two-phase step: its order, what each phase touches, and that a member never depends on its pack-mates."""

from __future__ import annotations

import math

import pytest
import torch
from support.packs import small_pack, trial, vae_gradients, varied
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vmi.data import dataset as data
from vmi.data.dataset import Dataset
from vmi.training import step, train
from vmi.training.pack import Pack


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


def state(pack: Pack, *parts: str) -> dict[str, Tensor]:
    """Copies of the pack's tensors whose names start with one of `parts`."""
    return {name: tensor.clone() for name, tensor in pack.tensors().items() if name.startswith(parts)}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Bitwise equality, NaN included."""
    return a.keys() == b.keys() and all(
        torch.equal(a[name].contiguous().view(torch.uint8), b[name].contiguous().view(torch.uint8)) for name in a
    )


def minibatch(pack: Pack, digits: Dataset) -> Tensor:
    return digits.images(digits.train, pack.minibatches.next(), pack.dtype)


def networks(pack: Pack) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State of the VAE (parameters, moments, statistics), and of Q."""
    modules = {"vae": (pack.encoder, pack.decoder), "q": (pack.auxiliary,)}
    both = []
    for name in ("vae", "q"):
        tensors = state(pack, f"{name}_")
        for i, module in enumerate(modules[name]):
            tensors |= {f"{i}.{key}": value.clone() for key, value in module.state_dict().items()}
        both.append(tensors)
    return both[0], both[1]


def test_q_s_phase_leaves_the_vae_bitwise_alone_and_the_reverse(digits: Dataset) -> None:
    pack = small_pack()
    images, noise = minibatch(pack, digits), pack.noise()
    forward = step.encode_decode(pack, images, noise)
    vae, q = networks(pack)
    step.q_phase(pack, forward)
    vae_after_q, q_after_q = networks(pack)
    assert same(vae, vae_after_q)
    assert not same(q, q_after_q)
    step.vae_phase(pack, images, forward)
    vae_after_both, q_after_both = networks(pack)
    assert same(q_after_q, q_after_both)
    assert not same(vae_after_q, vae_after_both)


def test_a_shared_forward_is_bitwise_two_forwards(digits: Dataset) -> None:
    """Phase 2 on a forward pass of its own, from the same noise, ends in the same bits."""
    shared, separate = small_pack(), small_pack()
    for _ in range(3):
        images, noise = minibatch(shared, digits), shared.noise()
        step.train_step(shared, images, noise)
        images, noise = minibatch(separate, digits), separate.noise()
        step.q_phase(separate, step.encode_decode(separate, images, noise))
        for norm in [*separate.encoder.trunk.norms, *separate.decoder.trunk.norms]:
            norm.momentum = 0.0  # the second pass must not move the running statistics again
        step.vae_phase(separate, images, step.encode_decode(separate, images, noise))
        for norm in [*separate.encoder.trunk.norms, *separate.decoder.trunk.norms]:
            norm.momentum = 0.1
        separate.advance()
    assert same(state(shared, "vae", "q", "statistics"), state(separate, "vae", "q", "statistics"))


def test_q_is_updated_before_the_vae_and_the_vae_learns_through_the_updated_q(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Section 3.3 of the paper: Q first. A VAE step through the old Q ends elsewhere."""
    order: list[str] = []
    first, second = small_pack(), small_pack()
    for name in ("q", "vae"):
        optimiser = getattr(first, f"{name}_adam")
        inner = optimiser.step
        monkeypatch.setattr(optimiser, "step", lambda g, name=name, inner=inner: (order.append(name), inner(g))[1])
    step.train_step(first, minibatch(first, digits), first.noise())
    assert order == ["q", "vae"]
    images, noise = minibatch(second, digits), second.noise()
    forward = step.encode_decode(second, images, noise)
    step.vae_phase(second, images, forward)
    informed = [k for k, t in enumerate(first.trials) if t.config.mi_weight > 0]
    for k in informed:
        assert not torch.equal(first.vae_adam.flat_KP[k], second.vae_adam.flat_KP[k])
    # With lambda = 0 the VAE does not see Q at all.
    assert torch.equal(first.vae_adam.flat_KP[0], second.vae_adam.flat_KP[0])


def test_no_gradient_of_q_s_parameters_is_computed_in_phase_two(digits: Dataset) -> None:
    """Backwards, phase 2 takes two products per layer of encoder and decoder, and one, for x_hat, per layer of Q."""
    pack = small_pack(1)
    images = minibatch(pack, digits)
    forward = step.encode_decode(pack, images, pack.noise())
    with FlopCounterMode(display=False) as counter:
        step.vae_phase(pack, images, forward)
    products = {
        "q": ((64, 24), (24, 12), (12, 10)),
        "vae": ((64, 24), (24, 12), (12, 42), (26, 12), (12, 24), (24, 64)),
    }
    of_q, of_vae = (2 * 64 * sum(i * o for i, o in products[name]) for name in ("q", "vae"))
    of_pixels = 2 * 64 * 64 * 24
    # Q: forwards, and back to x_hat. VAE: twice backwards, but for the gradient of the pixels that nobody wants.
    assert counter.get_total_flops() == 2 * of_q + 2 * of_vae - of_pixels
    assert all(p.grad is None for p in pack.q_parameters)


def test_phase_two_descends_the_objective_written_out(digits: Dataset) -> None:
    """J's gradient from `train_step`'s terms against a float64 finite difference along a random direction."""
    pack = Pack([trial(mi_weight=3.0)], dtype=torch.float64)
    images, noise = minibatch(pack, digits), pack.noise()

    def loss() -> float:
        probe = pack.keep([0])
        return step.vae_phase(probe, images, step.encode_decode(probe, images, noise))["loss"].item()

    probe = pack.keep([0])
    gradient = vae_gradients(probe, images, step.encode_decode(probe, images, noise))
    direction = torch.randn_like(pack.vae_adam.flat_KP)
    slope = (gradient * direction).sum().item()
    epsilon = 1e-6
    pack.vae_adam.flat_KP.add_(epsilon * direction)
    above = loss()
    pack.vae_adam.flat_KP.sub_(2 * epsilon * direction)
    below = loss()
    assert (above - below) / (2 * epsilon) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("layout", ["n16+c10*", "n2*+n30", "n8+c10*+c2*", "n2*+n14+c10*", "c10*"])
def test_a_member_is_bitwise_the_same_in_packs_of_1_2_5_and_16(digits: Dataset, layout: str) -> None:
    trials = varied(16, layout=layout)
    ends = {}
    for size in (1, 2, 5, 16):
        (*_, last) = train.train(Pack(trials[:size]), digits)
        assert last.pack is not None
        ends[size] = (last.pack.tensors(), last.reports)
    for size in (1, 2, 5):
        for name, tensor in ends[size][0].items():
            assert torch.equal(tensor, ends[16][0][name][:size]), (name, size)
        assert ends[size][1] == ends[16][1][:size]


METHODS: dict[str, dict[str, object]] = {
    "vae": {"mi_weight": 0},
    "paper": {"mi_weight": 4, "entropy_weight": 0},
    "corrected": {"mi_weight": 4, "entropy_weight": 1},
    "annealing": {"mi_weight": 0, "kl_anneal_steps": 6},
    "jointvae": {
        "mi_weight": 0,
        "kl_weight": 0,
        "capacity_weight": 30,
        "capacity_normal_nats": 5,
        "capacity_categorical_nats": 2,
        "capacity_steps": 8,
    },
    "beta-tcvae": {"mi_weight": 0, "tc_weight": 5},
    "beta-tcvae, stratified": {"mi_weight": 0, "tc_weight": 5, "tc_estimator": "stratified"},
    "factorvae": {"mi_weight": 0, "factor_weight": 10},
    "factorvae beside vmi": {"mi_weight": 4, "factor_weight": 5, "seed": 1},
    "infovae": {"mi_weight": 0, "kl_weight": 0.5, "mmd_weight": 100},
    "infogan": {"mi_weight": 0, "generator_mi_weight": 4},
    "views": {"mi_weight": 4, "view_strength": 1.0},
    "pairs of views": {"mi_weight": 4, "view_strength": 1.0, "view_target_strength": 0.5},
    "cross-view": {"mi_weight": 4, "view_mi_weight": 30, "view_pair_strength": 0.5},
    "imsat": {"mi_weight": 0, "view_kl_weight": 30, "encoder_mi_weight": 3, "encoder_entropy_weight": 4},
    "iic": {"mi_weight": 0, "view_pair_mi_weight": 30},
}


def test_every_method_in_one_pack_is_bitwise_what_it_is_alone(digits: Dataset) -> None:
    trials = [trial(**fields) for fields in METHODS.values()]
    (*_, together) = train.train(Pack(trials), digits)
    assert together.pack is not None
    for k, name in enumerate(METHODS):
        (*_, alone) = train.train(Pack(trials[k : k + 1]), digits)
        assert alone.pack is not None
        for key, tensor in alone.pack.tensors().items():
            assert torch.equal(tensor[0], together.pack.tensors()[key][k]), (name, key)
        assert alone.reports[0] == together.reports[k]


def test_every_method_s_term_changes_what_is_learnt(digits: Dataset) -> None:
    (*_, last) = train.train(Pack([trial(**fields) for fields in METHODS.values()]), digits)
    assert last.pack is not None
    ends = {tuple(row[:50].tolist()) for row in last.pack.vae_adam.flat_KP}
    assert len(ends) == len(METHODS)


def test_vae_first_descends_through_the_old_q_and_updates_q_on_a_forward_of_its_own(digits: Dataset) -> None:
    pack, q_first = Pack([trial(phase_order="vae_first")]), Pack([trial()])
    images, noise = minibatch(pack, digits), pack.noise()
    step.train_step(pack, images, noise)
    step.vae_phase(q_first, images, step.encode_decode(q_first, images, noise))
    assert torch.equal(pack.vae_adam.flat_KP, q_first.vae_adam.flat_KP)
    with torch.no_grad():
        q_first.noise()  # the first minibatch's, taken above
        forward = step.encode_decode(q_first, images, q_first.noise())
    step.q_phase(q_first, forward)
    assert torch.equal(pack.q_adam.flat_KP, q_first.q_adam.flat_KP)


def test_the_order_and_the_place_of_members_do_not_matter(digits: Dataset) -> None:
    trials = varied(4)
    (*_, forwards) = train.train(Pack(trials), digits)
    (*_, backwards) = train.train(Pack(trials[::-1]), digits)
    assert sorted(forwards.reports) == sorted(backwards.reports)


def test_a_member_that_turns_nan_fails_alone_with_step_and_term(digits: Dataset) -> None:
    """Parameters of member 1 are broken at step 4; the others end bitwise as without it."""
    whole, broken = small_pack(3, steps=10), small_pack(3, steps=10)
    (*_, expected) = train.train(whole, digits)
    failed = {}
    progress = train.Progress(broken, (), {}, {}, ())
    for progress in train.train(broken, digits):
        failed |= progress.failed
        if progress.pack is not None and progress.pack.steps[0] == 4:
            progress.pack.vae_adam.flat_KP[1] = math.nan
    assert progress.pack is not None and expected.pack is not None
    assert list(failed) == [broken.trials[1].trial_id]
    reason, step = failed[broken.trials[1].trial_id]
    assert step == 4
    assert reason == "rate_n16 was not finite at step 4"
    assert [t.trial_id for t in progress.pack.trials] == [whole.trials[k].trial_id for k in (0, 2)]
    for name, tensor in progress.pack.tensors().items():
        assert torch.equal(tensor, expected.pack.tensors()[name][[0, 2]]), name


def test_a_pack_whose_members_all_fail_ends(digits: Dataset) -> None:
    pack = small_pack(2)
    pack.vae_adam.flat_KP.fill_(math.inf)
    progress = list(train.train(pack, digits))
    assert len(progress) == 1
    assert progress[0].pack is None
    assert set(progress[0].failed) == {t.trial_id for t in pack.trials}


@pytest.mark.parametrize(("steps", "reports"), [(1, 1), (9, 9), (10, 10), (25, 12), (105, 10)])
def test_reports_come_about_ten_times_and_always_at_the_last_step(digits: Dataset, steps: int, reports: int) -> None:
    seen = [progress.reports[0].step for progress in train.train(small_pack(1, steps=steps), digits)]
    assert len(seen) == reports
    assert seen[-1] == steps
    assert seen == sorted(set(seen))


def test_report_holds_the_means_since_the_last_one_with_consistent_sums(digits: Dataset) -> None:
    (*_, last) = train.train(small_pack(2), digits)
    metrics = last.reports[1].metrics
    assert metrics["rate_nats"] == pytest.approx(metrics["rate_n16_nats"] + metrics["rate_c10_nats"])
    assert metrics["elbo_nats"] == pytest.approx(-(metrics["distortion_nats"] + metrics["rate_nats"]))
    assert 0 <= metrics["code_entropy_c10_nats"] <= math.log(10) + 1e-6


def test_an_uninformed_layout_trains_without_q(digits: Dataset) -> None:
    pack = Pack([trial(layout="n16+c10", mi_weight=0.0)])
    before = pack.q_adam.flat_KP.clone()
    (*_, last) = train.train(pack, digits)
    assert last.pack is not None
    assert torch.equal(last.pack.q_adam.flat_KP, before)
    assert "mi_paper_c10_nats" not in last.reports[0].metrics


def test_annealing_ends_at_the_final_temperature(digits: Dataset) -> None:
    pack = Pack([trial(temperature=2.0, temperature_final=0.5, steps=20), trial(temperature=1.0, steps=20)])
    assert pack.temperature_K().tolist() == [2.0, 1.0]
    (*_, last) = train.train(pack, digits)
    assert [r.metrics["temperature"] for r in last.reports] == pytest.approx([0.5, 1.0])
