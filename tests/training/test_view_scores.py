"""What survives a view: a bound on I_q of the very images, exact where the truth is known, blind to labels."""

from __future__ import annotations

import math

import pytest
import torch
from support.packs import small_pack, trial
from torch import Tensor

from vmi.data import dataset
from vmi.nn.distributions import Categorical
from vmi.spec.layout import parse
from vmi.training.evaluation import evaluate
from vmi.training.pack import Pack
from vmi.training.train import run_steps
from vmi.training.view_scores import VIEWS, view_scores

LAYOUT = parse("n2+c2*+c3")


def by_brightness(images_KND: Tensor) -> tuple[Categorical, ...]:
    """A code that no affine view of a uniform image changes: how bright its middle is, in two and in three steps."""
    middle_KN = images_KND.reshape(*images_KND.shape[:2], 9, 9)[..., 4, 4]
    sure = 40.0
    two = torch.stack([(middle_KN < 0.5) * sure, (middle_KN >= 0.5) * sure], -1)
    steps = [middle_KN < 0.3, (middle_KN - 0.5).abs() <= 0.2, middle_KN > 0.7]
    three = torch.stack([step * sure for step in steps], -1)
    return Categorical.from_logits(two), Categorical.from_logits(two), Categorical.from_logits(three)


def test_a_code_that_every_view_keeps_keeps_all_of_its_information() -> None:
    levels = torch.tensor([0.1, 0.2, 0.6, 0.9])
    images = levels.repeat(5)[None, :, None].expand(2, 20, 81).contiguous()
    found = view_scores(by_brightness, LAYOUT, by_brightness(images), images.split(7, 1), (1, 9, 9))
    shares = (0.5, 0.25, 0.25)
    three = -sum(p * math.log(p) for p in shares)
    assert found["mi_view_c2_nats"].tolist() == pytest.approx([math.log(2)] * 2, abs=1e-9)
    assert found["mi_view_c3_nats"].tolist() == pytest.approx([three] * 2, abs=1e-9)
    primary = LAYOUT.primary("c")
    assert primary is not None and torch.equal(found["mi_view_nats"], found[f"mi_view_{primary.name}_nats"])
    assert found["view_agreement"].tolist() == [1, 1]


def test_views_are_few_and_the_same_for_every_call() -> None:
    calls: list[Tensor] = []

    def encode(images_KND: Tensor) -> tuple[Categorical, ...]:
        calls.append(images_KND)
        return by_brightness(images_KND)

    images = torch.rand(1, 8, 81, generator=torch.Generator().manual_seed(0))
    once = view_scores(encode, LAYOUT, by_brightness(images), images.split(5, 1), (1, 9, 9))
    again = view_scores(encode, LAYOUT, by_brightness(images), images.split(5, 1), (1, 9, 9))
    assert len(calls) == 2 * 2 * VIEWS and all(torch.equal(once[name], again[name]) for name in once)
    assert all(torch.equal(a, b) for a, b in zip(calls[: 2 * VIEWS], calls[2 * VIEWS :], strict=True))
    assert not torch.equal(calls[0], calls[1])


def test_of_trained_networks_it_is_at_most_the_information_and_rises_with_its_weight() -> None:
    digits = dataset.load("digits")
    base = {"layout": "n2+c10*+c3", "batch_size": 64, "steps": 60}
    trials = [trial(**base, seed=0), trial(**base, seed=0, view_kl_weight=100, encoder_mi_weight=10)]
    pack = Pack(trials)
    pack.train_mode(True)
    run_steps(pack, digits, 60)
    plain, invariant = (metrics for metrics, _ in evaluate(pack, digits))
    for metrics in (plain, invariant):
        for block in ("c10", "c3"):
            assert metrics[f"mi_view_{block}_nats"] <= metrics[f"mi_encoder_{block}_nats"] + 1e-9
        assert metrics["mi_view_nats"] == metrics["mi_view_c10_nats"] and 0 <= metrics["view_agreement"] <= 1
    share = [m["mi_view_nats"] / m["mi_encoder_nats"] for m in (plain, invariant)]
    assert share[1] > share[0]


def test_a_layout_without_categories_has_none() -> None:
    pack = small_pack(1, layout="n2*")
    metrics, _ = evaluate(pack, dataset.load("digits"))[0]
    assert not [name for name in metrics if "view" in name]
