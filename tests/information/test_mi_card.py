"""The MI card on codes whose true MI is known: a collapse and a copying decoder must not pass for success."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vmi.information.mi_card import Pass, card
from vmi.nn.distributions import Categorical, DiagonalNormal
from vmi.spec.layout import parse

IMAGES = 2000
LN10 = math.log(10)


def one_hot(index: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(index, 10).double()[None]


def confident(index: Tensor, certainty: float = 1 - 1e-9) -> Categorical:
    """Almost all probability on `index`, the rest spread evenly."""
    rest = (1 - certainty) / 9
    return Categorical((one_hot(index) * (certainty - rest) + rest).log())


def categorical_card(posterior: Categorical, code: Tensor, q_hat: Categorical, q_real: Categorical) -> dict[str, float]:
    """The card of layout "c10*" for given posterior, codes and Q on reconstructions and on real images."""
    log_q = q_hat.log_prob(code)
    passed = Pass((posterior,), (code,), (q_real,), torch.zeros(1), (log_q,), (log_q,))
    return {name: value.item() for name, value in card(parse("c10*"), passed).items()}


def test_a_collapsed_code_scores_ln_k_by_the_paper_and_nothing_by_the_truth() -> None:
    """Every image gets category 3: rate and the paper's bound are ln 10, the MI and every other bound are 0."""
    index = torch.full((IMAGES,), 3)
    always_three = confident(index)
    found = categorical_card(always_three, one_hot(index), always_three, always_three)
    assert found["mi_paper_nats"] == pytest.approx(LN10, abs=1e-4)
    assert found["rate_c10_nats"] == pytest.approx(LN10, abs=1e-4)
    for name in ("mi_encoder_nats", "mi_decoder_bound_nats", "mi_real_bound_nats", "category_entropy_nats"):
        assert found[name] == pytest.approx(0, abs=1e-4), name


def test_a_copying_decoder_has_a_high_decoder_bound_and_no_mi_with_the_image() -> None:
    """The code ignores the image and is written into the reconstruction: I(c; x_hat) = ln 10 above a rate of 0."""
    index = torch.arange(IMAGES) % 10
    uniform = Categorical(torch.full((1, IMAGES, 10), -LN10, dtype=torch.float64))
    found = categorical_card(uniform, one_hot(index), confident(index), uniform)
    assert found["mi_decoder_bound_nats"] == pytest.approx(LN10, abs=1e-4)
    assert found["rate_c10_nats"] == pytest.approx(0, abs=1e-9)
    assert found["mi_encoder_nats"] == pytest.approx(0, abs=1e-9)
    assert found["mi_real_bound_nats"] == pytest.approx(0, abs=1e-9)


def test_a_faithful_code_reaches_ln_k_on_every_line() -> None:
    index = torch.arange(IMAGES) % 10
    faithful = confident(index)
    found = categorical_card(faithful, one_hot(index), faithful, faithful)
    for name in ("mi_paper_nats", "rate_c10_nats", "mi_encoder_nats", "mi_decoder_bound_nats", "mi_real_bound_nats"):
        assert found[name] == pytest.approx(LN10, abs=1e-4), name


def test_blocks_have_their_own_values_and_the_primary_block_the_plain_name() -> None:
    layout = parse("n2*+c5+c10*")
    z = torch.randn(1, 64, 2, dtype=torch.float64)
    posterior = (
        DiagonalNormal(z, torch.zeros_like(z)),
        Categorical.from_logits(torch.randn(1, 64, 5, dtype=torch.float64)),
        Categorical.from_logits(torch.randn(1, 64, 10, dtype=torch.float64)),
    )
    codes = (z, torch.zeros(1, 64, 5), torch.zeros(1, 64, 10))
    log_q = (torch.full((1, 64), -1.0), torch.full((1, 64), -2.0))
    passed = Pass(posterior, codes, (posterior[0], posterior[2]), torch.ones(1), log_q, log_q)
    found = {name: value.item() for name, value in card(layout, passed).items()}
    assert found["mi_encoder_nats"] == found["mi_encoder_c10_nats"] != found["mi_encoder_c5_nats"]
    assert found["mi_paper_nats"] == found["mi_paper_c10_nats"] == pytest.approx(LN10 - 2)
    assert found["mi_paper_n2_nats"] == pytest.approx(1 + math.log(2 * math.pi) - 1)
    assert "mi_paper_c5_nats" not in found
    assert found["mi_encoder_lower_n2_nats"] == found["mi_encoder_lower_nats"]
    total = sum(found[f"rate_{name}_nats"] for name in ("n2", "c5", "c10"))
    assert found["rate_nats"] == pytest.approx(total)
    assert found["elbo_nats"] == pytest.approx(-(1 + total))
