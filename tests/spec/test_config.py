"""TrialConfig: validation that shows every problem, defaults, identity."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.coloured import held

from vmi.spec.config import ADDED, FIELD_TYPES, FIELDS, MAX_SEED, TrialConfig
from vmi.spec.errors import InputError, Problem, printable
from vmi.spec.resolving import field_problems, resolve

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**64, 0, 1, -1]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["digits", "mnist", "n16+c10*", "n16", "c10*", "paper", "corrected", "mlp", "64-32", "gaussian"]),
    st.lists(st.integers(), max_size=2),
    st.binary(max_size=3),
)
names = st.one_of(st.sampled_from(sorted(FIELD_TYPES)), st.text(max_size=12), st.integers())


@given(st.dictionaries(names, anything, max_size=8))
def test_resolve_raises_nothing_but_input_error(given_fields: dict[Any, Any]) -> None:
    try:
        config = resolve(given_fields)
    except InputError as error:
        assert error.problems
        assert str(error)
    else:
        assert all(type(getattr(config, name)) is kind for name, kind in FIELD_TYPES.items())
        assert resolve(dataclasses.asdict(config)) == config
        assert len(config.trial_id) == 16


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("mi_weight", -1, "from 0 to 1e+06"),
        ("mi_weight", math.nan, "from 0 to 1e+06"),
        ("mi_weight", math.inf, "from 0 to 1e+06"),
        ("mi_weight", 10**400, "from 0 to 1e+06"),
        ("mi_weight", "4", "a number"),
        ("mi_weight", True, "a number"),
        ("mi_weight", None, "a number"),
        ("kl_weight", -0.5, "from 0 to 1e+06"),
        ("factor_weight", -0.5, "from 0 to 1e+06"),
        ("factor_weight", math.nan, "from 0 to 1e+06"),
        ("entropy_weight", math.nan, "from 0 to 1000"),
        ("temperature", 0, "above 0"),
        ("temperature", -1.0, "above 0"),
        ("temperature_final", 0.0, "above 0"),
        ("learning_rate", 0, "above 0"),
        ("likelihood_variance", 0, "above 0"),
        ("batch_size", 0, "from 2 to 1e+06"),
        ("batch_size", 1438, "at most the 1437 training images of digits"),
        ("batch_size", 10**400, "from 2 to 1e+06"),
        ("batch_size", 12.5, "a whole number"),
        ("steps", 0, "from 1 to 1e+09"),
        ("steps", -3, "from 1 to 1e+09"),
        pytest.param("steps", 10**5000, "from 1 to 1e+09", id="steps-too-long-to-print"),
        ("seed", -1, "from 0"),
        ("seed", 2**63, "from 0"),
        ("seed", 2**64, "from 0"),
        ("seed", 1.5, "a whole number"),
        (
            "dataset",
            "mnits",
            "one of digits, fashion_mnist, mnist, or a file or folder of images (did you mean 'mnist'?)",
        ),
        ("preset", "papper", "(did you mean 'paper'?)"),
        ("network", "cnn", "one of "),
        ("likelihood", "gauss", "did you mean 'gaussian'?"),
        ("layout", "n16++c10", "bad block '' at position 4"),
        ("hidden", "", "widths from 1 to 65536"),
        ("hidden", "0", "widths"),
        ("hidden", "064-32", "widths"),
        ("hidden", "٣٢", "widths"),
        ("hidden", "64-", "widths"),
        ("hidden", "70000", "widths"),
        ("learing_rate", 1e-3, "no such field (did you mean 'learning_rate'?)"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: object, allowed: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve({name: value}, "study.json")
    problem = next(p for p in caught.value.problems if p.field == name)
    assert allowed in str(problem)
    assert problem.value is value or repr(problem.value) == repr(float(value))  # type: ignore[arg-type]
    assert str(caught.value).startswith("study.json: ")


@pytest.mark.parametrize(("layout", "most"), [("n2*+n30", 15811), ("n2*+n30*+c10*", 11180), ("n32+c10*", 50_000)])
def test_a_batch_whose_pairs_in_informed_normal_blocks_are_too_many_is_refused(layout: str, most: int) -> None:
    fields = {"dataset": "mnist", "layout": layout, "mi_weight": 0, "entropy_weight": 0}
    assert resolve({**fields, "batch_size": most}).batch_size == most
    with pytest.raises(InputError, match=r"batch_size = \d+: at most"):
        resolve({**fields, "batch_size": 60_001})
    if most < 50_000:
        with pytest.raises(InputError, match=r"at most 1 GB per trial with the informed Normal blocks? of 'n2"):
            resolve({**fields, "batch_size": most + 1})


@pytest.mark.parametrize(("shape", "most"), [((3, 10, 7), 2), ((1, 1, 30), 0), ((4, 32, 9), 3), ((1, 2, 3), 1)])
def test_a_side_that_cannot_be_halved_so_often_is_refused(shape: tuple[int, int, int], most: int) -> None:
    fields = {"dataset": held(shape), "network": "conv"}
    allowed = "4-" * most + "16"
    assert resolve({**fields, "hidden": allowed}).hidden == allowed
    said = f"{shape[1]} x {shape[2]} pixels can't be halved {most + 1} times, at most {most}"
    with pytest.raises(InputError, match=said):
        resolve({**fields, "hidden": f"4-{allowed}"})


def test_every_problem_is_shown_at_once() -> None:
    with pytest.raises(InputError) as caught:
        resolve({"steps": 0, "layout": "x", "learing_rate": 1, "temperature": -1, "dataset": "nope"})
    fields = {"steps", "layout", "learing_rate", "temperature", "dataset"}
    assert {problem.field for problem in caught.value.problems} == fields


def test_a_field_alone_is_judged_alone() -> None:
    assert field_problems("batch_size", 50_000) == []  # mnist has as many
    assert field_problems("layout", "n16") == []  # with mi_weight 0
    assert field_problems("steps", 0)[0].allowed == str(FIELDS["steps"].range)


def test_ranges_know_their_ends() -> None:
    assert 0 in FIELDS["mi_weight"].range
    assert 0 not in FIELDS["temperature"].range
    assert MAX_SEED in FIELDS["seed"].range
    assert "4" not in FIELDS["mi_weight"].range


def test_defaults_come_from_the_data_set_then_the_preset_then_the_user() -> None:
    assert resolve({"dataset": "mnist"}).hidden == "256-128"
    assert resolve({"dataset": "mnist", "hidden": "32"}).hidden == "32"
    assert resolve({"preset": "paper"}).entropy_weight == 0
    assert resolve({"temperature": 2}).temperature_final == 2.0


def test_a_preset_is_not_contradicted() -> None:
    with pytest.raises(InputError, match="preset 'paper' sets it to 0"):
        resolve({"preset": "paper", "entropy_weight": 1})


def test_an_mi_weight_needs_an_informed_block() -> None:
    with pytest.raises(InputError, match="0 for layout 'n16'"):
        resolve({"layout": "n16"})
    assert resolve({"layout": "n16", "mi_weight": 0}).mi_weight == 0


def test_one_configuration_has_one_identity() -> None:
    config = resolve({"mi_weight": 4})
    assert config.trial_id == resolve({"mi_weight": 4.0}).trial_id
    assert resolve({"mi_weight": -0.0}).trial_id == resolve({"mi_weight": 0}).trial_id
    assert config.trial_id != resolve({"mi_weight": 4, "seed": 1}).trial_id
    assert config.suggestion_id == resolve({"mi_weight": 4, "seed": 1}).suggestion_id
    named = resolve({"preset": "corrected", "mi_weight": 4})
    assert named.trial_id == resolve({"entropy_weight": 1}).trial_id


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(TrialConfig) if f.name != "preset"])
def test_every_field_decides_the_identity(name: str) -> None:
    base = resolve({})
    other = {
        "dataset": "mnist",
        "layout": "c10*",
        "network": "other",
        "hidden": "9",
        "likelihood": "bernoulli",
    }
    value = other.get(name, 3) if FIELD_TYPES[name] is str else getattr(base, name) + 1
    assert dataclasses.replace(base, **{name: value}).trial_id != base.trial_id


# As semantics 3 names them: a field that is added later may not rename what is stored.
FIRST_IDS = {
    "custom": "bc1a64feeaeb9f27",
    "paper": "faf957a0bf72da92",
    "authors": "e391a502d5953f72",
    "corrected": "058714695eabd755",
    "vae": "7537a1913cbbe8d0",
    "beta_vae": "0518aed6303229ba",
    "kl_annealing": "b59ee403b566e588",
    "joint_vae": "502fd62594e2696f",
    "beta_tcvae": "2440af810ceaa111",
    "info_vae": "0b0bd1050a077336",
    "info_gan": "95e759b5034f9940",
}


@pytest.mark.parametrize("preset", FIRST_IDS)
def test_no_stored_trial_has_changed_its_name(preset: str) -> None:
    assert resolve({"preset": preset}).trial_id == FIRST_IDS[preset]
    assert resolve({}).suggestion_id == "086ebb3aa983240f"
    assert TrialConfig().trial_id == "d785e6620f8a7577"


def test_an_added_field_is_no_part_of_the_identity_at_its_old_value_alone() -> None:
    assert {name: getattr(TrialConfig, name) for name in ADDED} == ADDED
    assert resolve({"factor_weight": 0}).trial_id == resolve({"factor_weight": -0.0}).trial_id == FIRST_IDS["custom"]
    assert resolve({"factor_weight": 1}).trial_id != resolve({"factor_weight": 2}).trial_id != FIRST_IDS["custom"]


def test_a_total_correlation_takes_two_normal_dimensions() -> None:
    for layout in ("c10*", "n1+c10*"):
        with pytest.raises(InputError, match=f"factor_weight.*0 for layout '{re.escape(layout)}'.*it takes two"):
            resolve({"layout": layout, "factor_weight": 1})
    for layout in ("n2+c10*", "n1+c10*+n1"):
        assert resolve({"layout": layout, "factor_weight": 1}).factor_weight == 1


def test_a_code_that_views_share_takes_an_informed_category_and_views() -> None:
    for name in ("view_mi_weight", "view_kl_weight", "view_pair_mi_weight", "encoder_mi_weight"):
        for layout in ("n16+c10", "n2*+c10"):
            with pytest.raises(InputError, match=f"{name} = 1.0: 0 for layout.*no categorical block is informed"):
                resolve({"layout": layout, "mi_weight": 0, name: 1})
    with pytest.raises(InputError, match=r"view_pair_strength = 0.0: above 0 with view_kl_weight"):
        resolve({"view_kl_weight": 1, "view_pair_strength": 0})
    assert resolve({"encoder_mi_weight": 1, "view_pair_strength": 0}).encoder_mi_weight == 1
    assert resolve({"preset": "invariant"}).view_kl_weight == 300


def test_members_of_one_architecture_differ_in_weights_and_seed() -> None:
    base = resolve({})
    assert base.architecture == resolve({"mi_weight": 1, "seed": 3, "learning_rate": 1e-2}).architecture
    assert base.architecture != resolve({"steps": 7}).architecture
    assert base.architecture.widths == (128, 64)


def test_a_message_drives_no_terminal_and_survives_any_value() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "\x1b" not in printable("\x1b[31mred")
    assert "\x1b" not in str(Problem("name", "\x1b]0;title\x07", "allowed"))
    assert "Broken" in str(Problem("x", Broken(), "a number"))
    assert len(str(Problem("x", "a" * 10_000, "short"))) < 300
