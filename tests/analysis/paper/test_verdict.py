"""The verdict: what its sentences say is true of the rows, whatever is higher, lower, missing or published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.data.preset_groups import Group, groups
from analysis.data.settings import Interval, Setting, interval
from analysis.data.study_results import open_study
from analysis.findings.against_published import conditions, difference, relation, sentences
from analysis.paper import verdict
from tests.analysis import cases
from tests.analysis.factory import choice, store, trial
from tests.analysis.test_report import Elements

ACCURACY = "accuracy_majority"
JOINT = "n16+c10*"


def made(values: Mapping[str, Sequence[Any]], layout: str = JOINT, dataset: str = "mnist", **columns: Any) -> Group:
    """A group whose presets reached these accuracies, held out and in training, seed by seed (None: no value)."""
    settings = {}
    for preset, reached in values.items():
        rows = [
            {"seed": k, "preset": preset, "layout": layout, "dataset": dataset, ACCURACY: v, "accuracy_train": v}
            | columns
            for k, v in enumerate(reached)
        ]
        settings[preset] = Setting((("preset", preset),), tuple(rows))
    return Group(f"{dataset}, {layout}", dataset, layout, settings)


def text(group: Group) -> str:
    return " ".join(sentences(group))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0.70, 0.71, 0.72], "below the published 0.74"),
        ([0.76, 0.77, 0.78], "above the published 0.74"),
        ([0.70, 0.74, 0.80], "with the published 0.74 inside its interval"),
        ([0.74, 0.74, 0.74], "with the published 0.74 inside its interval"),
        ([0.5], "below the published 0.74"),
        ([0.9], "above the published 0.74"),
        ([0.742], "as the published 0.74, to its two decimals"),
    ],
)
def test_a_mean_stands_to_a_published_figure_as_its_interval_says(values: list[float], says: str) -> None:
    found = interval(values)
    assert found is not None and relation(found, 0.74) == says


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ([0.6, 0.61, 0.62], [0.3, 0.31, 0.33], "“corrected” is 0.297 above “paper” (95 % interval"),
        ([0.3, 0.31, 0.33], [0.6, 0.61, 0.62], "“corrected” is 0.297 below “paper” (95 % interval"),
        ([0.5, 0.25], [0.25, 0.5], "are not told apart: the interval of the difference is −3.177 to 3.177, 2 seeds"),
        ([0.3, 0.5, 0.4], [0.4, 0.3, 0.5], "are not told apart: the interval of the difference is"),
        ([0.6], [0.5], "is 0.100 above “paper” in the one seed that both have: no interval"),
        ([0.5], [0.6], "is 0.100 below “paper” in the one seed that both have: no interval"),
        ([0.5], [0.5], "are equal, 1 seed."),
        ([0.5, 0.5], [0.5, 0.5], "are equal, 2 seeds."),
        ([None], [0.6], "share no seed that has held-out accuracy"),
        ([None, 0.6], [0.5, None], "share no seed that has held-out accuracy"),
    ],
)
def test_a_difference_between_presets_is_paired_and_as_sure_as_its_interval(
    one: list[float | None], other: list[float | None], says: str
) -> None:
    assert says in difference(made({"paper": other, "corrected": one}), "corrected", "paper", ACCURACY)


def test_a_preset_that_is_absent_is_not_compared() -> None:
    assert difference(made({"paper": [0.5]}), "corrected", "paper", ACCURACY) == ""
    said = text(made({"paper": [0.42, 0.43]}))
    assert "“corrected” has no held-out accuracy here." in said
    assert "“vae” has no training accuracy here to stand beside the published 0.21." in said


def test_training_accuracy_stands_beside_the_published_one_and_held_out_apart() -> None:
    group = made({"vae": [0.2, 0.21, 0.22], "paper": [0.4, 0.41, 0.42], "corrected": [0.58, 0.59, 0.6]})
    said = text(group)
    assert "“vae” reaches 0.210 ± 0.025 on the training set, with the published 0.21 inside its interval." in said
    assert "“paper” reaches 0.410 ± 0.025 on the training set, below the published 0.74." in said
    assert "“corrected” reaches 0.590 ± 0.025 held out and 0.590 ± 0.025 on the training set, the latter below" in said


def test_without_a_training_accuracy_the_published_figure_is_named_as_another_kind() -> None:
    rows = made({"corrected": [0.6, 0.62]}, accuracy_train=None)
    assert "held out, where the published 0.74 is of the training set." in text(rows)


def test_what_is_not_published_is_not_compared_with() -> None:
    said = text(made({"paper": [0.4, 0.5], "corrected": [0.5, 0.7]}, dataset="fashion_mnist"))
    assert "No published accuracy of “vae” or “paper” is listed for this data set and layout." in said
    assert "0.74" not in said and "0.21" not in said


def test_one_seed_is_said_to_give_no_interval() -> None:
    said = text(made({"vae": [0.2], "paper": [0.4], "corrected": [0.6]}))
    assert "“paper” reaches 0.400 (one seed, so no interval) on the training set, below the published 0.74." in said
    assert "±" not in said and "95 %" not in said


def test_lost_categories_are_named_beside_the_bound() -> None:
    columns = {"categories_used": 7, "mi_paper_c10_nats": 2.05, "mi_encoder_c10_nats": 1.78}
    said = text(made({"paper": [0.4, 0.5]}, **columns))
    assert "“paper” uses 7 of 10 categories; the paper’s bound reads 2.05 and I_q(x;c) is 1.78, of ln 10 = 2.30" in said
    assert "“paper” uses 7 of 10 categories." in text(made({"paper": [0.4]}, categories_used=7))


def test_a_layout_without_a_category_is_judged_by_its_information() -> None:
    group = made({"vae": [None] * 2, "paper": [None] * 2}, layout="n2*+n30", mi_encoder_lower_nats=1.5)
    said = text(group)
    assert said.startswith("No accuracy: the layout has no categorical block. I_q(x;z) is at least 1.50 ± 0.00")
    assert "held-out accuracy" not in said and "categories" not in said


def test_trials_of_another_size_than_the_authors_are_said_to_be() -> None:
    row = {"network": "mlp", "hidden": "256-128", "steps": 1200}
    assert "trained mlp 256-128 for 1,200 steps" in conditions([row])
    assert conditions([{"network": "conv", "hidden": "64-128-512", "steps": 150_000}]) == ""


def test_the_table_has_a_column_per_preset_and_keeps_held_out_and_training_apart(tmp_path: Path) -> None:
    results = open_study(_mnist(tmp_path))
    lines = verdict.markdown(results)
    assert "| data set, layout | quantity | published | `vae` (λ = 0) | `paper` | `corrected` |" in lines
    (held_out,) = (line for line in lines if "held-out accuracy |" in line)
    (training,) = (line for line in lines if "| training accuracy |" in line)
    assert "| – |" in held_out and "| 0.21 / 0.74 |" in training and held_out.count("±") == 3
    assert any(line.startswith("- `mnist, n2*+n30`: No accuracy") for line in lines)
    page = verdict.section(results)
    assert all(head in page for head in ("published", "vae (λ = 0)", "corrected", "0.21 / 0.74"))


def test_a_preset_without_trials_is_an_empty_column(tmp_path: Path) -> None:
    rows = [trial("p", preset="paper", entropy_weight=0, seed=s) for s in range(2)]
    folder = store(tmp_path, rows, space={"preset": choice("vae", "paper", "corrected")}, with_arrays=False)
    (line,) = (text for text in verdict.markdown(open_study(folder)) if "held-out accuracy |" in text)
    assert line.count("| – ") == 3


@pytest.mark.parametrize("case", ["usual", "none", "one", "hostile", "all_failed"])
def test_a_study_that_does_not_vary_its_preset_has_no_verdict(case: str, tmp_path: Path) -> None:
    results = open_study(cases.CASES[case](tmp_path))
    assert (groups(results), verdict.section(results), verdict.markdown(results)) == ((), "", [])


def test_neither_has_one_that_has_trained_neither_of_the_two(tmp_path: Path) -> None:
    space = {"preset": choice("vae", "paper", "corrected")}
    for rows in ([], [trial(preset="vae")], [trial(preset="paper", outcome="failed", reason="x")]):
        results = open_study(store(tmp_path / str(len(rows)) / str(rows)[:9], rows, space=space, with_arrays=False))
        assert verdict.section(results) == ""


def test_groups_have_no_fresh_seed_and_no_survivor_of_what_was_cut_short(tmp_path: Path) -> None:
    weights = {"vae": 0, "paper": 2, "corrected": 8}
    rows = [trial("p", preset=p, seed=s, mi_weight=w) for p, w in weights.items() for s in range(3)]
    rows[-2] |= {"outcome": "stopped"}
    asked = {"space": {"preset": choice(*weights)}, "confirm": 1, "confirm_seeds": [2], "with_arrays": False}
    (group,) = groups(open_study(store(tmp_path, rows, **asked)))
    assert {preset: [row["seed"] for row in s.rows] for preset, s in group.settings.items()} == {
        "vae": [0, 1], "paper": [0, 1],
    }  # fmt: skip


def test_hostile_text_is_inert_and_breaks_no_table(tmp_path: Path) -> None:
    space = {"preset": choice("vae", "paper"), "likelihood": choice(*cases.PAYLOADS)}
    bad = {"dataset": cases.PAYLOADS[0], "hidden": "a|b`c", "network": cases.PAYLOADS[1]}
    rows = [
        trial(preset=p, seed=i, mi_weight=w) | bad | {"likelihood": payload}
        for p, w in (("vae", 0), ("paper", 2))
        for i, payload in enumerate((*cases.PAYLOADS, "x|`y"))
    ]
    results = open_study(store(tmp_path, rows, space=space, with_arrays=False))
    elements = Elements(verdict.section(results))
    harmless = "section h2 p div table caption thead tbody tr th td ul li strong span"
    assert {tag for tag, _ in elements.found} <= set(harmless.split())
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert cases.PAYLOADS[0] in elements.text and "\x1b" not in elements.text
    table = [line for line in verdict.markdown(results) if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {6}


def _mnist(root: Path) -> Path:
    """Figures are published of MNIST alone; without arrays, as those of the factory are digits."""
    weights = {"vae": (0, 1), "paper": (8, 0), "corrected": (8, 1)}
    space = {"layout": choice(JOINT, "n2*+n30"), "preset": choice(*weights)}
    rows = [
        trial("p", dataset="mnist", layout=layout, preset=p, seed=s, mi_weight=mi, entropy_weight=entropy)
        for layout in (JOINT, "n2*+n30")
        for p, (mi, entropy) in weights.items()
        for s in range(3)
    ]
    return store(root, rows, name="p", space=space, with_arrays=False)


def test_an_interval_needs_two_values() -> None:
    assert interval([0.5]) == Interval(0.5, None, None, 1)
