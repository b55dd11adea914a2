"""Studies: every bad field at once, trials, spec and differences."""

from __future__ import annotations

import itertools
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmi.search.grid import GridSearcher
from vmi.spec.config import FIELD_TYPES, FIELDS
from vmi.spec.errors import InputError
from vmi.spec.goals import Bound
from vmi.spec.resolving import resolve
from vmi.spec.trial import Suggestion
from vmi.study.checks import validate
from vmi.study.overrides import override
from vmi.study.space import choice, integers, uniform
from vmi.study.study import Study, trials
from vmi.study.study_json import differences, spec

SPACE = {"mi_weight": choice(0, 4), "entropy_weight": choice(0, 1)}


def study(**changes: Any) -> Study:
    return Study(**{"name": "s", "space": SPACE, "seeds": range(2), **changes})


def message(bad: Study) -> str:
    with pytest.raises(InputError) as caught:
        validate(bad)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../x"}, "name = '../x': 1 to 64 characters of the pattern [a-z0-9][a-z0-9_-]{0,63}"),
        ({"name": "/abs"}, "name = '/abs': 1 to 64"),
        ({"name": "a\nb"}, "name = 'a\\nb': 1 to 64"),
        ({"name": "a\n"}, "name = 'a\\n': 1 to 64"),
        ({"name": ""}, "name = '': 1 to 64"),
        ({"name": "a" * 300}, "1 to 64 characters"),
        ({"name": "<script>"}, "1 to 64 characters"),
        ({"name": 5}, "name = 5: 1 to 64"),
        ({"space": {}}, "space = {}: at least one searched field"),
        ({"space": None}, "space = None: at least one searched field"),
        ({"fixed": [1]}, "fixed = [1]: a mapping"),
        ({"fixed": {"mi_weight": 1}}, "fixed.mi_weight and space.mi_weight = 1: a field is fixed or"),
        ({"fixed": {"learing_rate": 1}}, "learing_rate = 1: no such field (did you mean 'learning_rate'?)"),
        ({"fixed": {"steps": 0}}, "fixed.steps = 0: from 1 to 1e+09"),
        ({"fixed": {"seed": 0}}, "fixed.seed = 0: not fixed"),
        ({"fixed": {"batch_size": 2000}}, "batch_size = 2000: at most the 1437 training images of digits"),
        ({"fixed": {"layout": "n16++c10"}}, "fixed.layout = 'n16++c10': bad block '' at position 4"),
        ({"space": {"seed": integers(0, 4)}}, "use seeds="),
        ({"space": {"mi_weight": uniform(3, 1)}}, "(low=3, high=1): low must be at most high"),
        ({"space": {"mi_weight": choice(0, 0)}}, "space.mi_weight[1] = 0: different values; index 0"),
        ({"metric": "acuracy_majority"}, "did you mean 'accuracy_majority'?"),
        ({"metric": ["nmi"]}, "metric = ['nmi']: one of accuracy_hungarian, "),
        ({"direction": "max"}, "direction = 'max': one of maximize, minimize"),
        ({"searcher": "gird"}, "searcher = 'gird': one of grid, random, tpe (did you mean 'grid'?)"),
        ({"seeds": []}, "seeds = (): 1 to 10000 of them"),
        ({"seeds": [-1]}, "seeds[0] = -1: a whole number from 0 to 9223372036854775807"),
        ({"seeds": [2**63]}, "seeds[0] = 9223372036854775808: a whole number from 0 to"),
        ({"seeds": [2**64]}, "seeds[0] = 18446744073709551616: a whole number"),
        ({"seeds": [0, 1.5]}, "seeds[1] = 1.5: a whole number"),
        ({"seeds": [True]}, "seeds[0] = True: a whole number"),
        ({"seeds": [0, 1, 0]}, "seeds[2] = 0: different seeds; index 0 is the same"),
        ({"seeds": 5}, "seeds = 5: 1 to 10000 whole numbers"),
        ({"seeds": "01"}, "seeds = '01': 1 to 10000 whole numbers"),
        ({"seeds": None}, "seeds = None"),
        ({"seeds": range(10_001)}, "1 to 10000 of them"),
        ({"suggestions": 3}, "suggestions = 3: absent: a grid takes every combination"),
        *[
            ({"searcher": "tpe", "suggestions": value}, f"suggestions = {value!r}: a whole number from 1")
            for value in (None, 0, -1, 1.5, "ten", True, 10**12)
        ],
        ({"searcher": "random", "suggestions": 90_000}, "trials = 180000: at most 100000; this is 90000 p"),
        ({"space": {"mi_weight": uniform(0, 1)}}, "searcher='tpe' and searcher='random' take such a range"),
        ({"space": {"batch_size": integers(2, 9, log=True)}}, "a grid takes values"),
        ({"fixed": {"layout": "n16"}}, "mi_weight = 4.0: 0 for layout 'n16' (no block is informed"),
        ({"fixed": {"preset": "paper"}}, "entropy_weight = 1.0: preset 'paper' sets it to 0"),
        ({"fixed": {"layout": "n2*+n30"}}, "'accuracy_majority': one that layout 'n2*+n30' can give"),
        ({"fixed": {"layout": "c10*"}, "metric": "mi_encoder_lower_nats"}, "one that layout 'c10*' can give"),
        ({"baseline": {"layout": "n2*"}}, "one that layout 'n2*' can give (one of distortion_nats"),
        ({"baseline": {"mi_weight": -1}}, "baseline.mi_weight = -1.0: from 0"),
        ({"baseline": {"layout": "n16+c10"}}, "mi_weight = 4.0: 0 for layout 'n16+c10'"),
        ({"baseline": 3}, "baseline = 3: a mapping"),
    ],
)  # fmt: skip
def test_a_bad_study_is_refused(changes: dict[str, Any], said: str) -> None:
    assert said in message(study(**changes))


def test_every_problem_is_shown_at_once() -> None:
    bad = study(
        name="../x",
        space={"mi_weight": uniform(3, 1), "layout": choice("n16", "x3"), "learing_rate": choice(1)},
        fixed={"steps": 0, "batch_size": 5000},
        seeds=[-1],
        metric="nope",
        direction="up",
        searcher="tpe",
        suggestions=0,
    )
    found = message(bad)
    parts = "name space.mi_weight space.layout[1] space.learing_rate fixed.steps batch_size seeds[0] metric"
    for part in (*parts.split(), "direction", "suggestions"):
        assert f"  {part} = " in found


def test_each_layout_is_told_what_it_cannot_give() -> None:
    found = message(study(space={"layout": choice("n2*", "n3*+n4", "c10*")}))
    assert "layout 'n2*'" in found
    assert "layout 'n3*+n4'" in found
    assert "layout 'c10*'" not in found


def test_data_sets_of_one_study_share_shape_and_classes() -> None:
    mixed = study(space={"dataset": choice("digits", "mnist")})
    assert "digits 8x8 10 classes, mnist 28x28 10 classes" in message(mixed)
    validate(study(space={"dataset": choice("mnist", "fashion_mnist")}))


def test_a_huge_grid_is_counted_and_not_enumerated() -> None:
    huge = {
        "batch_size": integers(2, 1001),
        "steps": integers(1, 1000),
        "likelihood_variance": uniform(1, 100, 0.099),
    }
    start = time.process_time()
    found = message(study(space=huge, seeds=range(1)))
    assert "trials = 1001000000: at most 100000; this is 1001000000 points x 1 seeds" in found
    assert time.process_time() - start < 0.5


def test_many_searched_numbers_are_checked_at_once_and_what_does_not_fit_is_named() -> None:
    numbers = [
        name for name, field in FIELDS.items()
        if field.range and FIELD_TYPES[name] is float and not field.follows and name != "capacity_normal_nats"
    ]  # fmt: skip
    assert len(numbers) > 20
    space: dict[str, Any] = {name: uniform(0.1, 0.5) for name in numbers}
    many = study(space={"layout": choice("n2*+c10*", "n4*+c5*"), **space}, searcher="random", suggestions=4)
    validate(many)
    lacking = study(space={"layout": choice("n2*+c10*", "c10*"), **space}, searcher="random", suggestions=4)
    assert "tc_weight = 0.1: 0 for layout 'c10*'" in message(lacking)


@pytest.mark.parametrize("numbers", [{}, {"mi_weight": uniform(1, 2)}, {"steps": choice(5, 7, 9)}])
def test_of_many_texts_each_is_looked_at_however_few_numbers_are_beside_them(numbers: dict[str, Any]) -> None:
    layouts = [f"n{n}*+c10*" for n in range(2, 10)]
    texts = {
        "hidden": choice(*(f"{n}-8" for n in range(8, 72))),
        "likelihood": choice("gaussian", "bernoulli"),
        "phase_order": choice("q_first", "vae_first"),
        "precision": choice("float32", "bfloat16"),
    }
    fixed = {"tc_weight": 1.0}
    for middle, said in (("n11*+c10*", ""), ("c10*", "tc_weight = 1.0: 0 for layout 'c10*'")):
        space = {"layout": choice(*layouts[:4], middle, *layouts[4:]), **texts, **numbers}
        made = study(space=space, fixed=fixed, searcher="random", suggestions=4)
        assert said in message(made) if said else validate(made) is None


def test_among_many_numbers_what_depends_on_a_middle_value_is_looked_at() -> None:
    fields = (name for name, field in FIELDS.items() if field.range and field.range.high >= 1e6)
    space: dict[str, Any] = {
        name: uniform(1, 2) for name in fields if FIELD_TYPES[name] is float and name != "mi_weight"
    }
    space |= {"layout": choice("n2*+c10*", "c10*"), "batch_size": choice(16, 32, 64)}
    inside = {"layout": ("n2*+c10*",)}
    conditions = {name: inside for name in ("tc_weight", "mmd_weight", "factor_weight") if name in space}
    wrong = {**conditions, "tc_weight": {"batch_size": (32,)}}
    assert "tc_weight" in message(study(space=space, conditions=wrong, searcher="random", suggestions=4))


def test_seeds_are_held_without_being_enumerated() -> None:
    assert len(study(seeds=range(10**30)).seeds) == 10_001  # type: ignore[arg-type]
    assert len(study(seeds=itertools.count()).seeds) == 10_001  # type: ignore[arg-type]
    assert study(seeds=(seed for seed in (3, 1))).seeds == (3, 1)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_validate_raises_nothing_but_input_error(data: st.DataObject) -> None:
    scalar = st.one_of(
        st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=6),
        st.sampled_from(["grid", "tpe", "nmi", "digits", "mnist", "n16", "c10*", "paper", "minimize"]),
    )  # fmt: skip
    name = st.sampled_from(["mi_weight", "layout", "preset", "steps", "dataset", "batch_size", "seed"]) | st.text(
        max_size=4
    )
    domain = st.one_of(
        st.lists(scalar, max_size=3).map(lambda values: choice(*values)),
        st.builds(uniform, scalar, scalar, scalar),
        st.builds(integers, scalar, scalar, scalar, scalar),
        scalar,
    )
    fixed = st.dictionaries(name, scalar, max_size=3) | scalar
    seeds = st.lists(scalar, max_size=3) | scalar
    scalars = ("name", "metric", "direction", "searcher", "suggestions", "pruner", "confirm", "restarts", "choose_by")
    metric = st.sampled_from(["nmi", "rate_nats", "elbo_nats", "nope"]) | scalar
    bound = st.builds(Bound, scalar, scalar) | scalar
    several = st.lists(scalar, max_size=2).map(tuple) | scalar
    made = Study(
        **{field: data.draw(scalar) for field in scalars},  # type: ignore[arg-type]
        fixed=data.draw(fixed),  # type: ignore[arg-type]
        space=data.draw(st.dictionaries(name, domain, max_size=3) | scalar),  # type: ignore[arg-type]
        seeds=data.draw(seeds),  # type: ignore[arg-type]
        baseline=data.draw(fixed),  # type: ignore[arg-type]
        objectives=data.draw(st.dictionaries(metric, st.just("maximize") | scalar, max_size=3) | scalar),
        constraints=data.draw(st.dictionaries(metric, bound, max_size=2) | scalar),
        conditions=data.draw(
            st.dictionaries(name, st.dictionaries(name, several, max_size=2) | scalar, max_size=2) | scalar
        ),
        confirm_seeds=data.draw(seeds),  # type: ignore[arg-type]
    )
    for each in (made, override(made, dataset="mnist", steps=3, smoke=True)):
        try:
            validate(each)
        except InputError as error:
            assert error.problems


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_validate_accepts_resolves_at_every_point(data: st.DataObject) -> None:
    def some(*values: Any) -> st.SearchStrategy[Any]:
        return st.lists(st.sampled_from(values), min_size=1, unique=True).map(lambda v: choice(*v))

    domains = {
        "mi_weight": some(0, 1, 4),
        "entropy_weight": some(0, 0.5, 1),
        "layout": some("n16+c10*", "c10", "c4*"),
        "preset": some("custom", "paper", "corrected"),
        "batch_size": some(128, 2000, 70_000),
        "dataset": some("mnist", "fashion_mnist"),
    }
    names = data.draw(st.lists(st.sampled_from(sorted(domains)), min_size=1, max_size=4, unique=True))
    made = study(space={name: data.draw(domains[name]) for name in names})
    points = itertools.product(*(domain.spec()["values"] for domain in made.space.values()))
    good = True
    for point in points:
        try:
            resolve(dict(zip(made.space, point, strict=True)))
        except InputError:
            good = False
    try:
        validate(made)
    except InputError:
        assert not good
    else:
        assert good
        assert GridSearcher(made).ask(1)


def test_trials_are_one_per_seed() -> None:
    found = trials(study(seeds=(3, 1)), Suggestion("id", {"mi_weight": 4, "entropy_weight": 0}))
    assert [trial.config.seed for trial in found] == [3, 1]
    assert len({trial.trial_id for trial in found}) == 2
    assert {trial.suggestion_id for trial in found} == {found[0].config.suggestion_id}
    assert all(trial.trial_id == trial.config.trial_id for trial in found)


def test_spec_is_canonical_json() -> None:
    made = spec(study(fixed={"kl_weight": 1}, baseline={"temperature": 1}), planned=8)
    assert json.loads(json.dumps(made)) == made
    assert made["space"]["mi_weight"] == {"kind": "choice", "values": [0.0, 4.0]}
    assert type(made["fixed"]["kl_weight"]) is float
    names = "vmi_study_version name fixed space seeds metric direction searcher suggestions baseline planned"
    assert list(made) == names.split()
    assert made == spec(study(fixed={"kl_weight": 1.0}, baseline={"temperature": 1.0}), planned=8)


def test_differences_are_field_by_field() -> None:
    old = json.loads(json.dumps(spec(study(fixed={"steps": 9}), planned=8)))
    assert differences(old, spec(study(fixed={"steps": 9}), planned=99)) == []
    new = spec(study(fixed={"kl_weight": 2}, seeds=range(3), space={"mi_weight": choice(0)}), planned=8)
    found = {problem.field: str(problem) for problem in differences(old, new)}
    assert set(found) == {
        "fixed.steps",
        "fixed.kl_weight",
        "space.mi_weight",
        "space.entropy_weight",
        "seeds",
    }
    assert found["seeds"] == "seeds = [0, 1, 2]: the stored study has [0, 1]"
    assert found["fixed.kl_weight"] == "fixed.kl_weight = 2.0: the stored study has none"
    assert found["fixed.steps"] == "fixed.steps = 'absent': the stored study has 9"


def test_nan_in_a_study_is_a_problem_and_not_a_crash() -> None:
    assert "from 0" in message(study(fixed={"kl_weight": math.nan}))
