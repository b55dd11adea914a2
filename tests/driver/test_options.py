"""Options of a run: how seeds are read, and what is out of range."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vmi.cost.packing import MAX_PACK_SIZE
from vmi.driver.options import RunOptions, replicates


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1", range(1)),
        ("3", range(3)),
        (" 3 ", range(3)),
        ("0,3,7", (0, 3, 7)),
        ("7, 3", (7, 3)),
        ("10000", range(10_000)),
        ("0,-1", (0, -1)),  # read, and refused by the study that gets them
        ("0,0", (0, 0)),
        (f"0,{2**63 - 1}", (0, 2**63 - 1)),
    ],
)
def test_seeds_are_a_count_or_a_list(text: str, seeds: Any) -> None:
    assert replicates(text) == seeds
    assert RunOptions(seeds=text).problems() == []


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "ten", "0,", ",", "1e3", "10001", str(2**64), "9" * 5000, "٣"])
def test_anything_else_is_no_seeds_and_says_what_is(text: str) -> None:
    assert replicates(text) is None
    (problem,) = RunOptions(seeds=text).problems()
    assert problem.field == "--seeds"
    assert "a count from 1 to 10000 (5 means 0,1,2,3,4) or a comma-separated list" in str(problem)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"pack_size": 0}, "--pack-size"),
        ({"pack_size": -1}, "--pack-size"),
        ({"pack_size": MAX_PACK_SIZE + 1}, "--pack-size"),
        ({"gpus_per_pack": -0.1}, "--gpus-per-pack"),
        ({"gpus_per_pack": 2.0}, "--gpus-per-pack"),
        ({"gpus_per_pack": math.nan}, "--gpus-per-pack"),
        ({"gpus_per_pack": math.inf}, "--gpus-per-pack"),
        ({"local": True, "address": "auto"}, "--address"),
    ],
)
def test_an_option_out_of_range_is_named_with_its_value(given: dict[str, Any], field: str) -> None:
    (problem,) = RunOptions(**given).problems()
    assert problem.field == field and problem.value in given.values()


def test_the_ends_of_the_ranges_are_allowed() -> None:
    for given in ({"pack_size": 1}, {"pack_size": MAX_PACK_SIZE}, {"gpus_per_pack": 0.0}, {"gpus_per_pack": 1.0}):
        assert RunOptions(**given).problems() == []


def test_all_bad_options_are_named_at_once() -> None:
    bad = RunOptions(seeds="ten", pack_size=0, gpus_per_pack=2, local=True, address="auto")
    assert [p.field for p in bad.problems()] == ["--seeds", "--pack-size", "--gpus-per-pack", "--address"]
