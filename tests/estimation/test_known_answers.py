"""Estimators against known answers: a fast part of `python benchmarks/calibration.py`, tolerances from theory."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vmi.data.random_streams import seeded
from vmi.estimation.encoding import view
from vmi.estimation.evaluate import statistics_of
from vmi.estimation.known_answers import (
    Task,
    bars_task,
    channel_task,
    dataset,
    gaussian_mi,
    gaussian_task,
    random_channel,
    shuffled,
)
from vmi.estimation.q_fit import Settings
from vmi.information.bootstrap import Estimate, Statistic, estimate, weights
from vmi.information.bounds import mi_encoder_categorical
from vmi.information.statistics import encoder_terms

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"
TRAIN, HELD_OUT = 1000, 400
QUICK = Settings(hidden=(32,), learning_rate=1e-2, check_every=20, patience=3, max_steps=300)
# What early stopping and 400 images leave of a fitted bound: three standard errors of log Q, and Q's own looseness.
FITTED = 0.12


def encoder_side(task: Task, seed: int, held_out: int = HELD_OUT) -> dict[str, Statistic]:
    """The first block's quantities that need no Q."""
    seen = view(task.model, dataset(task, 10, held_out, seed))
    codes = seen.draw(seen.held_out, [seeded(seed, "evaluate")])
    return encoder_terms(seen.layout.blocks[0], seen.held_out[0], codes[0])


def estimates(task: Task, seed: int = 0) -> dict[str, Estimate]:
    seen = task.change(view(task.model, dataset(task, TRAIN, HELD_OUT, seed)))
    found = statistics_of(seen, [seed], QUICK)[0]
    return {name: estimate(s, 100, seeded(seed, "bootstrap")) for name, s in found.items() if name in task.truths}


def uniform(count: int) -> Tensor:
    return torch.full((count,), 1 / count, dtype=torch.float64)


def test_interval_covers_the_truth_in_nine_repeats_of_ten_and_more() -> None:
    """Random channel, exact I_q, 200 repeats: 95 % nominal; below 90 % has a probability under 0.2 %."""
    task = channel_task("coverage", *random_channel(1, 6, 4))
    truth = task.truths["mi_encoder_c4_nats"]
    found = [estimate(encoder_side(task, s)["mi_encoder"], 200, seeded(s, "bootstrap")) for s in range(200)]
    assert sum(e.low <= truth <= e.high for e in found) >= 180


def test_interval_covers_a_uniform_marginal_where_the_plain_percentile_one_never_does() -> None:
    task = channel_task("uniform", uniform(10), torch.eye(10, dtype=torch.float64))
    found = [estimate(encoder_side(task, s)["category_entropy"], 200, seeded(s, "bootstrap")) for s in range(50)]
    assert sum(e.low <= math.log(10) <= e.high for e in found) >= 45
    statistic = encoder_side(task, 0)["category_entropy"].double()
    resampled = statistic.at(weights(HELD_OUT, 200, seeded(0, "bootstrap")))[:, 0]
    assert resampled.quantile(0.975) < math.log(10)


def test_resamples_are_shares_of_images_and_repeatable() -> None:
    drawn = weights(7, 50, seeded(0, "bootstrap"))
    torch.testing.assert_close(drawn.sum(1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(7 * drawn, (7 * drawn).round())
    assert torch.equal(drawn, weights(7, 50, seeded(0, "bootstrap")))


@pytest.mark.parametrize(("dims", "correlation"), [(1, 0.5), (1, 0.9), (4, 0.6)])
def test_sandwich_holds_the_closed_form_of_gaussian_pairs(dims: int, correlation: float) -> None:
    """The mean over 20 repeats against -d/2 ln(1 - rho^2); leave-in is below and leave-one-out above it."""
    task, truth = gaussian_task("pairs", dims, correlation, 0.5), gaussian_mi(dims, correlation)
    found = [encoder_side(task, s) for s in range(20)]
    lower, upper = (torch.stack([f[f"mi_encoder_{side}"].terms_KN for f in found]) for side in ("lower", "upper"))
    error = 4 * float(lower.std()) / math.sqrt(lower.numel())
    assert truth - 0.15 <= float(lower.mean()) <= truth + error
    assert truth - error <= float(upper.mean()) <= truth + 0.15
    held = [
        estimate(f["mi_encoder_lower"], 100, seeded(0, "b")).low <= truth
        and truth <= estimate(f["mi_encoder_upper"], 100, seeded(0, "b")).high
        for f in found
    ]
    assert sum(held) >= 18


def test_sandwich_says_more_than_ln_n_where_the_mi_is_more() -> None:
    """16 dimensions at 0.9: I = 13.3 nats and ln 400 = 6.0; the lower end is at its cap and says so."""
    found = encoder_side(gaussian_task("many", 16, 0.9, 0.5), 0)
    lower = estimate(found["mi_encoder_lower"], 100, seeded(0, "b"))
    assert lower.at_cap
    assert lower.value <= math.log(HELD_OUT) < gaussian_mi(16, 0.9)
    assert estimate(found["mi_encoder_upper"], 100, seeded(0, "b")).value > math.log(HELD_OUT)


def test_every_bound_of_a_random_channel_is_near_its_enumerated_truth() -> None:
    source, channel = random_channel(1, 6, 4)
    task = channel_task("channel", source, channel, random_channel(2, 4, 4)[1])
    found = estimates(task)
    for stem in ("mi_encoder", "rate", "category_entropy", "mi_real_bound", "mi_decoder_bound"):
        name = f"{stem}_c4_nats"
        assert found[name].value == pytest.approx(task.truths[name], abs=FITTED), name
    kl_to_prior = math.log(4) - task.truths["category_entropy_c4_nats"]
    over = found["mi_paper_c4_nats"].value - found["mi_decoder_bound_c4_nats"].value
    assert over == pytest.approx(kl_to_prior, abs=0.05), "the paper's figure exceeds the bound by KL(m || u)"


def test_gaussian_decoder_bound_is_near_the_closed_form_whatever_the_scale_of_the_code() -> None:
    for scale in (1.0, 0.01):
        task = gaussian_task("scaled", 1, 0.9, 0.9, scale)
        found = estimates(task)
        assert found["mi_decoder_bound_n1_nats"].value == pytest.approx(gaussian_mi(1, 0.9), abs=FITTED)
        assert found["mi_encoder_lower_n1_nats"].value == pytest.approx(gaussian_mi(1, 0.9), abs=FITTED)
    assert found["mi_paper_n1_nats"].value > gaussian_mi(1, 0.9) + 4, "a shrunk code: the paper's figure has no bound"


def test_a_known_factor_of_images_is_found_and_shuffled_pairs_give_nothing() -> None:
    channel = 0.8 * torch.eye(8, dtype=torch.float64) + 0.025
    task = bars_task("bars", channel)
    found, name = estimates(task), "mi_real_bound_c8_nats"
    assert found[name].value == pytest.approx(task.truths[name], abs=0.2)
    assert found[name].value <= found["mi_encoder_c8_nats"].value + 1e-9
    assert estimates(shuffled(task, "shuffled"))[name].value == pytest.approx(0, abs=0.1)


def mi(channel_MC: Tensor) -> float:
    """The estimator itself, each of M images once."""
    return float(mi_encoder_categorical(channel_MC.log()[None]))


def test_post_processing_never_raises_the_mi_and_independent_blocks_add_up() -> None:
    for seed in range(20):
        _, channel = random_channel(seed, 6, 4)
        _, post = random_channel(seed + 1000, 4, 4)
        _, other = random_channel(seed + 2000, 3, 5)
        assert mi(channel @ post) <= mi(channel) + 1e-12
        assert mi(torch.kron(channel, other)) == pytest.approx(mi(channel) + mi(other), abs=1e-12)


def test_the_page_is_made_by_the_benchmark_and_bounds_hold_in_it() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert "python benchmarks/calibration.py" in " ".join(lines)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| .*_nats", line)]
    assert len(rows) > 40
    held = {row[0] + row[1]: row[6] for row in rows if row[6] and not row[1].startswith("mi_paper")}
    assert all(int(share.removesuffix("%")) >= 80 for share in held.values()), held
