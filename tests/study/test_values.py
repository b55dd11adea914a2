"""What a study is given is held in Python's own types; what has none is kept apart and compares to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from faults.hostile_inputs import Lying, Raising

from vmi.spec.errors import InputError
from vmi.study.checks import validate
from vmi.study.space import choice, uniform
from vmi.study.study import Study
from vmi.study.study_json import spec
from vmi.study.values import Opaque, plain


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (np.float64(1.5), 1.5), (np.float32(0.5), 0.5), (np.int64(3), 3), (np.str_("n16"), "n16"), (True, True),
        (None, None), ([1, (2.0, "x")], [1, (2.0, "x")]), ({"a": np.int8(1)}, {"a": 1}),
        (uniform(np.float64(0), 1), uniform(0.0, 1)),
        (choice(*np.arange(3)), choice(0, 1, 2)),
    ],
)  # fmt: skip
def test_numbers_and_texts_are_pythons_own(given: Any, held: Any) -> None:
    found = plain(given)
    assert found == held and type(found) is type(held)


def test_a_subclass_that_lies_is_what_it_says() -> None:
    assert type(plain(Lying("x"))) is str and plain(Lying("x")) == "x" and plain(Lying("x")) != "y"


@pytest.mark.parametrize("given", [Raising(), object(), np.bool_(True), np.zeros(2), {1, 2}, len, 1 + 2j])
def test_anything_else_prints_and_equals_itself_alone(given: Any) -> None:
    found = plain(given)
    assert isinstance(found, Opaque) and repr(found) and found == plain(given) and found != 3 and hash(found)


def test_a_study_over_an_array_is_the_study_over_its_numbers() -> None:
    array = Study(name="s", space={"mi_weight": choice(*np.linspace(0, 4, 3))}, seeds=np.arange(2))
    plainly = Study(name="s", space={"mi_weight": choice(0, 2, 4)}, seeds=range(2))
    validate(array)
    assert spec(array, 6) == spec(plainly, 6)


def test_a_study_constructed_in_any_way_is_refused_by_validate_alone() -> None:
    made: Any = Study
    for study in (made(), made("s"), made(name="s", spcae={}), made(name=Raising(), fixed=Raising())):
        with pytest.raises(InputError):
            validate(study)
