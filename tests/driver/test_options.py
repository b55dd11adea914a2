"""Options of a run: how seeds are read, and what is out of range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from vmi.cli.arguments import takes
from vmi.cli.parsing import Gathering
from vmi.cost.packing import MAX_PACK_SIZE
from vmi.driver.options import RunOptions, flag, replicates


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
        ({"gpus_per_pack": True}, "--gpus-per-pack"),
        ({"seeds": bytearray(b"a")}, "--seeds"),
        ({"seeds": {0: 1}}, "--seeds"),
        ({"local": True, "address": "auto"}, "--address"),
        ({"hours": 0}, "--hours"),
        ({"until": "soon"}, "--until"),
        ({"trials": 0}, "--trials"),
        ({"trials": 2.5}, "--trials"),
        ({"trials": True}, "--trials"),
    ],
)
def test_an_option_out_of_range_is_named_with_its_value(given: dict[str, Any], field: str) -> None:
    (problem,) = RunOptions(**given).problems()
    assert problem.field == field and repr(problem.value) in map(repr, given.values())


def test_the_ends_of_the_ranges_are_allowed() -> None:
    for given in ({"pack_size": 1}, {"pack_size": MAX_PACK_SIZE}, {"gpus_per_pack": 0.0}, {"gpus_per_pack": 1.0}):
        assert RunOptions(**given).problems() == []


def test_numbers_of_numpy_are_numbers_and_seeds_of_an_iterator_are_there_twice() -> None:
    given = RunOptions(pack_size=np.int64(3), gpus_per_pack=np.float32(0.5), steps=np.int32(7), seeds=np.int64(2))
    assert given == RunOptions(pack_size=3, gpus_per_pack=0.5, steps=7, seeds=2) and given.problems() == []
    assert RunOptions(seeds=np.arange(3)).seeds == RunOptions(seeds=iter(range(3))).seeds == (0, 1, 2)


@pytest.mark.parametrize("value", [np.array([0, 1]), np.array([])], ids=["two", "none"])
def test_what_cannot_be_compared_is_refused_as_any_other_value(value: Any) -> None:
    switches = ("smoke", "local", "keep_models", "resume", "retry_failed")
    names = (*switches, "pack_size", "gpus_per_pack", "results", "address")
    names += ("hours", "until", "trials")
    found = RunOptions(**dict.fromkeys(names, value)).problems()
    assert {problem.field for problem in found} == {flag(name) for name in names}


@pytest.mark.parametrize("place", ["x" * 5000, "\0"], ids=["too long", "no character"])
def test_a_place_that_no_file_can_have_is_refused(place: str) -> None:
    (problem,) = RunOptions(results=place).problems()
    assert problem.field == "--results" and "a path that there can be on this system" in str(problem)


def test_all_bad_options_are_named_at_once() -> None:
    bad = RunOptions(seeds="ten", pack_size=0, gpus_per_pack=2, local=True, address="auto")
    assert [p.field for p in bad.problems()] == ["--seeds", "--pack-size", "--gpus-per-pack", "--address"]


@pytest.mark.parametrize(("given", "kept"), [(True, "all"), (False, "none"), ("best", "best"), ("all", "all")])
def test_models_are_kept_by_name_or_by_a_truth_value(given: Any, kept: str) -> None:
    assert RunOptions(keep_models=given).keep_models == kept and RunOptions(keep_models=given).problems() == []


@pytest.mark.parametrize("given", ["some", "bets", "", None, 1, 2.0])
def test_another_way_to_keep_models_is_refused(given: Any) -> None:
    (problem,) = RunOptions(keep_models=given).problems()
    assert problem.field == "--keep-models" and "one of all, best, none" in str(problem)
    assert given != "bets" or "did you mean 'best'?" in str(problem)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("", "none"), ("--keep-models", "all"), ("--keep-models --local", "all"), ("--keep-models best", "best"),
        ("--keep-models=none", "none"), ("--local --keep-models", "all"), ("--keep-models 3", 3),
    ],
)  # fmt: skip
def test_a_command_line_keeps_models_with_a_word_or_without(line: str, kept: str | int) -> None:
    found: list[RunOptions] = []

    @takes(RunOptions)
    def command(context: typer.Context, options: RunOptions) -> None:
        found.append(options)

    own = typer.Typer()
    own.command(cls=Gathering)(command)
    assert CliRunner().invoke(own, line.split()).exit_code == 0
    assert found[0].keep_models == kept and found[0].local == ("--local" in line)
