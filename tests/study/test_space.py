"""Domains: constructors hold anything, `problems` says everything, values come out exactly."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.study import space
from vmi.study.space import Choice, Domain, Float, Integer, choice, integers, log_uniform, uniform

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.none()),
)


def test_specs_are_json() -> None:
    assert choice(0, 1).spec() == {"kind": "choice", "values": [0, 1]}
    assert uniform(0, 1).spec() == {"kind": "float", "low": 0, "high": 1, "log": False, "step": None}
    assert log_uniform(1e-3, 1).spec()["log"] is True
    assert integers(1, 9, step=2).spec() == {"kind": "int", "low": 1, "high": 9, "log": False, "step": 2}
    for domain in (choice("a"), uniform(0, 1, 0.5), integers(1, 2, log=True)):
        assert json.loads(json.dumps(domain.spec())) == domain.spec()


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("mi_weight", choice(0, 0.5, 4)),
        ("mi_weight", uniform(0, 8)),
        ("mi_weight", uniform(0, 8, step=2)),
        ("mi_weight", integers(0, 8)),
        ("mi_weight", uniform(3, 3)),
        ("batch_size", integers(3, 3)),
        ("learning_rate", log_uniform(1e-4, 1e-2)),
        ("batch_size", integers(32, 256, log=True)),
        ("batch_size", choice(32, 50_000)),
        ("layout", choice("n16+c10*", "n16")),
        ("dataset", choice("digits", "mnist")),
    ],
)
def test_good_domains(name: str, domain: Domain) -> None:
    assert space.problems(name, domain) == []


@pytest.mark.parametrize(
    ("name", "domain", "field", "said"),
    [
        ("mi_weight", uniform(3, 1), "space.mi_weight", "(low=3, high=1): low must be at most high"),
        ("mi_weight", log_uniform(0, 1), "space.mi_weight", "(low=0, high=1): low must be above 0"),
        ("mi_weight", log_uniform(-1, 1), "space.mi_weight", "low must be above 0 in a logarithmic range"),
        ("mi_weight", uniform(math.nan, 1), "space.mi_weight", "(low=nan, high=1): finite numbers"),
        ("mi_weight", uniform(0, math.inf), "space.mi_weight", "(low=0, high=inf): finite numbers"),
        ("mi_weight", uniform("a", 1), "space.mi_weight", "finite numbers"),
        ("mi_weight", uniform(False, True), "space.mi_weight", "finite numbers"),
        ("mi_weight", uniform(0, 10**400), "space.mi_weight", "from 0 to 1e+06"),
        ("mi_weight", uniform(0, 1, step=0), "space.mi_weight", "high=1, step=0): step must be above 0"),
        ("mi_weight", uniform(0, 1, step=-1), "space.mi_weight", "step must be above 0"),
        ("mi_weight", uniform(0, 1, step=2), "space.mi_weight", "at most high - low"),
        ("mi_weight", uniform(0, 1, step=math.nan), "space.mi_weight", "step must be a finite number"),
        ("batch_size", integers(8, 16, step=9), "space.batch_size", "(low=8, high=16, step=9)"),
        ("batch_size", integers(8, 16, step=True), "space.batch_size", "step must be a whole number"),
        ("batch_size", integers(8, 16, step=2, log=True), "space.batch_size", "takes no step"),
        ("batch_size", integers(8, 16, log="yes"), "space.batch_size", "True or False"),
        ("batch_size", integers(8, 16.5), "space.batch_size", "whole numbers"),
        ("batch_size", integers(0, 16), "space.batch_size", "low and high from 2 to 1e+06"),
        ("batch_size", uniform(2, 16), "space.batch_size", "integers(low, high)"),
        ("layout", uniform(0, 1), "space.layout", "choice(...) for this field"),
        ("mi_weight", choice(), "space.mi_weight", "1 to 100000 values"),
        ("mi_weight", choice(0, 4, 0), "space.mi_weight[2]", "index 0 is the same"),
        ("mi_weight", choice(1, 1.0), "space.mi_weight[1]", "index 0 is the same"),
        ("mi_weight", choice(1, True), "space.mi_weight[1]", "a number"),
        ("mi_weight", choice(1, "4"), "space.mi_weight[1]", "strings or numbers, not both"),
        ("mi_weight", choice(0, -1), "space.mi_weight[1]", "from 0 to 1e+06"),
        ("mi_weight", choice(0, math.nan), "space.mi_weight[1]", "from 0 to 1e+06"),
        ("mi_weight", choice(0, [1]), "space.mi_weight[1]", "a number"),
        ("layout", choice("n16", "n16++c10"), "space.layout[1]", "bad block '' at position 4"),
        ("layout", choice("n16", "n16"), "space.layout[1]", "index 0 is the same"),
        ("dataset", choice("mnits"), "space.dataset[0]", "did you mean 'mnist'?"),
        ("temperature", choice(0), "space.temperature[0]", "above 0"),
        ("learing_rate", uniform(0, 1), "space.learing_rate", "did you mean 'learning_rate'?"),
        ("seed", integers(0, 4), "space.seed", "use seeds="),
        ("mi_weight", [0, 1], "space.mi_weight", "choice(...), uniform(low, high)"),
    ],
)
def test_bad_domains(name: str, domain: Any, field: str, said: str) -> None:
    found = space.problems(name, domain)
    assert field in {problem.field for problem in found}
    assert said in "\n".join(map(str, found))


def test_all_problems_of_a_domain_are_shown() -> None:
    assert len(space.problems("mi_weight", log_uniform(-1, -2))) == 3


@given(st.text(max_size=5) | st.sampled_from(["mi_weight", "layout", "steps", "seed"]), st.data())
def test_problems_never_raises(name: str, data: st.DataObject) -> None:
    a, b, c, d = (data.draw(anything) for _ in range(4))
    for domain in (choice(a, b, c), uniform(a, b, c), log_uniform(a, b), integers(a, b, c, d), a):
        if not space.problems(name, domain):
            assert isinstance(domain, Choice | Float | Integer)
            ends = space.ends(space.canonical_space({name: domain})[name])
            assert len(ends) == 2


def test_values_are_exact_and_counted_without_being_enumerated() -> None:
    assert list(space.values(uniform(0.0, 0.5, step=0.1))) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(space.values(integers(2, 9, step=3))) == [2, 5, 8]
    assert space.ends(integers(2, 9, step=3)) == (2, 8)
    assert space.ends(log_uniform(0.5, 32)) == (0.5, 32)
    assert space.size(integers(1, 10**9)) == 10**9
    assert space.size(uniform(0, 1e6, step=1e-300)) == 10**306 + 1
    assert space.size(uniform(0, 1)) is None
    assert space.size(integers(1, 9, log=True)) is None


def test_a_drawn_value_is_put_on_its_step() -> None:
    stepped = uniform(0.0, 1.0, step=0.3)
    assert space.nearest(stepped, 0.8999999999999999) == 0.9
    assert space.nearest(stepped, 0.0) == 0.0
    assert space.nearest(uniform(0, 1), 0.8999999999999999) == 0.8999999999999999
    assert space.nearest(choice("a"), "a") == "a"


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 9))
def test_size_counts_what_values_gives(low: int, width: int, step: int) -> None:
    for domain in (integers(low, low + width, step), uniform(low / 10, (low + width) / 10, step / 10)):
        found = list(space.values(domain))
        assert len(found) == space.size(domain)
        assert (found[0], found[-1]) == space.ends(domain)
        assert domain.low <= found[0] <= found[-1] <= domain.high


def test_canonical_values_have_the_type_of_their_field() -> None:
    given_space = {"mi_weight": choice(0, 4), "temperature": uniform(1, 2), "batch_size": choice(32)}
    found = space.canonical_space(given_space)
    assert [type(value) for value in found["mi_weight"].spec()["values"]] == [float, float]
    assert type(found["temperature"].spec()["low"]) is float
    assert type(found["batch_size"].spec()["values"][0]) is int
