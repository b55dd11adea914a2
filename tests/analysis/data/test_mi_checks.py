"""What must hold of an MI card, and what is a collapse."""

from __future__ import annotations

import math

import pytest

from analysis.data.mi_checks import TOLERANCE_NATS, idle, verdict, violations
from analysis.data.settings import settings
from tests.analysis.factory import LAMBDA_SPACE, lambda_rows, trial

LN10 = math.log(10)


def test_rows_that_obey_the_identities_violate_nothing() -> None:
    assert violations(lambda_rows()) == ()
    assert violations([trial(layout="n8+c10*+c2*"), trial(layout="n2*+n30")]) == ()


@pytest.mark.parametrize(
    ("column", "of", "off", "what"),
    [
        ("mi_real_bound_c10", "mi_encoder_c10", 0.1, "real-image bound of c10 ≤ I_q(x;c10)"),
        ("rate_c10", "mi_encoder_c10", -0.1, "I_q(x;c10) ≤ rate of c10"),
        ("category_entropy_c10", "mi_encoder_c10", -0.1, "I_q(x;c10) ≤ H(m) of c10"),
        ("category_entropy_c10", None, LN10 + 0.1, "H(m) of c10 ≤ ln 10"),
        ("mi_encoder_lower_n16", "mi_encoder_upper_n16", 0.1, "lower ≤ upper bound of I_q(x;n16)"),
        ("rate_n16", "mi_encoder_lower_n16", -1.0, "lower bound of I_q(x;n16) ≤ rate of n16"),
    ],
)
def test_each_violation_is_named_with_its_size(column: str, of: str | None, off: float, what: str) -> None:
    row = trial()
    row[f"{column}_nats"] = off + (row[f"{of}_nats"] if of else 0.0)
    (found,) = violations([row])
    assert (found.trial_id, found.what) == (row["trial_id"], what)
    assert found.excess_nats == pytest.approx(abs(off) if of else 0.1)


def test_information_above_the_cap_and_below_zero() -> None:
    high, low = trial(), trial(seed=1)
    high |= {"mi_encoder_c10_nats": LN10 + 0.2, "rate_c10_nats": 3.0, "category_entropy_c10_nats": None}
    low |= {"mi_encoder_c10_nats": -0.2, "mi_real_bound_c10_nats": -0.3}
    assert [v.what for v in violations([high, low])] == ["I_q(x;c10) ≤ ln 10", "0 ≤ I_q(x;c10)"]


def test_rounding_is_no_violation() -> None:
    row = trial()
    row["mi_real_bound_c10_nats"] = row["mi_encoder_c10_nats"] + 0.9 * TOLERANCE_NATS
    assert violations([row]) == ()


def test_no_order_is_asserted_of_decoder_bounds() -> None:
    row = trial() | {
        "mi_decoder_bound_c10_nats": 99.0,
        "mi_paper_c10_nats": 99.0,
        "mi_decoder_bound_n16_nats": 99.0,
    }
    assert violations([row]) == ()


def test_absent_quantities_and_odd_layouts_are_not_judged() -> None:
    assert violations([trial() | {"rate_c10_nats": None}, trial(outcome="failed"), trial() | {"layout": "<b>"}]) == ()


def test_verdicts() -> None:
    found = {s.params: verdict(s) for s in settings(lambda_rows(), {"space": LAMBDA_SPACE})}
    fallen = {params for params, name in found.items() if name}
    assert set(found.values()) == {"", "collapse"}
    assert fallen == {(("mi_weight", w), ("entropy_weight", 0.0)) for w in (4.0, 8.0)}


def test_categories_lost_is_less_than_a_collapse() -> None:
    rows = [
        trial(seed=s) | {"mi_paper_c10_nats": 2.2, "mi_encoder_c10_nats": 2.0, "categories_used": 10 - s}
        for s in (0, 2)
    ]
    (setting,) = settings(rows, {"space": {}})
    assert verdict(setting) == "categories lost"


@pytest.mark.parametrize(("size", "used", "lies"), [(100, 99, True), (100, 100, False), (101, 1, None), (200, 0, None)])
def test_of_more_categories_than_can_have_a_hundredth_each_none_is_called_idle(
    size: int, used: int, lies: bool | None
) -> None:
    cap = math.log(size)
    high = {f"mi_paper_c{size}_nats": cap, f"mi_encoder_c{size}_nats": 0.9 * cap, "categories_used": used}
    (setting,) = settings([trial(layout=f"n16+c{size}*") | high], {"space": {}})
    assert (idle(setting), verdict(setting)) == (lies, "categories lost" if lies else "")


def test_the_bound_of_an_informed_normal_block_makes_no_collapse_of_an_uninformed_code() -> None:
    row = trial(layout="n4*+c10") | {"mi_paper_nats": 3.7, "mi_paper_c10_nats": None, "mi_encoder_c10_nats": 0.1}
    (setting,) = settings([row], {"space": {}})
    assert verdict(setting) == ""


def test_a_sampled_bound_above_an_exact_rate_by_chance_is_no_violation() -> None:
    row = trial()
    row["rate_n16_nats"] = row["mi_encoder_lower_n16_nats"] - 0.1
    assert violations([row]) == ()


def test_a_low_bound_or_a_normal_layout_is_no_collapse() -> None:
    low = settings(
        [trial() | {"mi_paper_c10_nats": 1.0, "mi_encoder_c10_nats": 0.1, "categories_used": 2}], {"space": {}}
    )
    normal = settings([trial(layout="n2*+n30")], {"space": {}})
    assert [verdict(s) for s in (*low, *normal)] == ["", ""]
