"""What a command line changes of a study: data set, scale, steps, seeds, a smoke run."""

from __future__ import annotations

import dataclasses
from typing import Any

from vmi.study.checks import validate
from vmi.study.overrides import override
from vmi.study.space import choice, integers, log_uniform
from vmi.study.study import Study

SPACE = {"mi_weight": choice(0, 4), "entropy_weight": choice(0, 1)}


def study(**changes: Any) -> Study:
    return Study(**{"name": "s", "space": SPACE, "seeds": range(2), **changes})


def test_override() -> None:
    base = study(fixed={"dataset": "digits", "steps": 500}, baseline={"steps": 9, "mi_weight": 0})
    assert override(base) == base
    assert override(base, dataset="digits").name == "s"
    other = override(base, dataset="fashion_mnist", steps=7, seeds=[4])
    assert (other.name, other.fixed, other.seeds) == (
        "s-fashion_mnist",
        {"dataset": "fashion_mnist", "steps": 7},
        (4,),
    )
    assert other.baseline == {"mi_weight": 0}
    assert override(base, dataset="mnist", name="mine").name == "mine"
    searched = study(space={"dataset": choice("digits"), **SPACE})
    assert override(searched, dataset="digits").space == SPACE
    validate(override(base, dataset="mnist", smoke=True))


def test_the_data_set_of_a_scale_gives_way_to_one_that_is_named() -> None:
    scales = {"small": {"dataset": "mnist"}, "large": {"dataset": "mnist", "steps": 9}}
    base = study(fixed={"dataset": "digits"}, scales=scales)
    for scale, name in (("small", "s"), ("large", "s-large")):
        assert override(base, scale=scale, dataset="mnist") == override(base, scale=scale)
        other = override(base, scale=scale, dataset="digits")
        assert (other.name, other.fixed["dataset"]) == (f"{name}-digits", "digits")


def test_smoke_cuts_a_study() -> None:
    space = {"mi_weight": choice(0, 1, 2), "batch_size": integers(8, 64, 8), "steps": choice(10, 20)}
    small = override(study(space=space, seeds=range(5)), smoke=True)
    assert small.name == "s-smoke"
    assert small.fixed == {"steps": 20}
    assert small.space == {"mi_weight": choice(0, 2), "batch_size": choice(8, 64)}
    assert small.seeds == (0, 1)
    sampled = study(space={"mi_weight": log_uniform(1, 2)}, searcher="tpe", suggestions=24)
    assert override(sampled, smoke=True).suggestions == 4
    assert override(dataclasses.replace(sampled, suggestions=2), smoke=True).suggestions == 2
