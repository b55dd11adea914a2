"""The paper's figures: from the same inputs and seed in every preset, in order, in a page that holds together."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from analysis.data.mi_checks import violations
from analysis.data.preset_groups import groups
from analysis.data.study_results import StudyResults, open_study
from analysis.paper import figures as paper_figures
from analysis.paper.figures import ENTRIES, MAX_GROUPS
from analysis.paper.plots import bars
from analysis.paper.scene import NOT_STORED, Scene, same_inputs
from analysis.report import render
from tests.analysis import cases
from tests.analysis.factory import choice, store, trial
from tests.analysis.test_report import Elements
from tests.support.runs import ROOT, inside

PRESETS = ("vae", "paper", "corrected")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """sweeps/paper.py itself, on the embedded data and cut short."""
    folder = tmp_path_factory.mktemp("paper")
    short = ("--data", "digits", "--steps", "20", "--seeds", "2", "--scale", "laptop")
    done = inside(ROOT / "sweeps" / "paper.py", *short, "--results", folder, cwd=folder)
    assert done.code == 0, done.err
    (study,) = folder.glob("*/study.json")
    return open_study(study.parent)


def section(results: StudyResults) -> str:
    return paper_figures.section(results, violations(results.completed))


def pages(text: str) -> dict[str, str]:
    """The sub-sections by anchor."""
    found = re.findall(r'<section id="paper-([^"]+)" class="page">(.*?)</section>', text, re.DOTALL)
    return dict(found)


def test_every_preset_of_a_seed_starts_from_the_same_inputs(trained: StudyResults) -> None:
    found = groups(trained)
    assert [group.layout for group in found] == ["n16+c10*", "n2*+n30"]
    arrays = trained.arrays(trained.completed)
    inputs = [arrays[row["trial_id"]]["inputs"] for row in trained.completed]
    assert len(inputs) == 12 and all(np.array_equal(a, inputs[0]) for a in inputs)
    for group in found:
        assert tuple(group.settings) == PRESETS
        assert {row["seed"] for row in group.rows().values()} == {0}
        reconstructed = [arrays[row["trial_id"]]["reconstructions"] for row in group.rows().values()]
        assert not np.array_equal(reconstructed[0], reconstructed[2])


def test_the_nine_figures_stand_in_order_each_with_all_presets(trained: StudyResults) -> None:
    text = section(trained)
    found = pages(text)
    assert list(found) == [entry.anchor for entry in ENTRIES] and len(found) == 9
    for anchor, page in found.items():
        shown = Elements(page)
        labels = shown.text + str(re.findall(r'data-plot="[^"]*">(.*?)</script>', page))
        assert all(preset in labels for preset in PRESETS), anchor
        assert "differ between these presets" not in shown.text and NOT_STORED not in shown.text
    assert "after figure" not in text.lower()


def test_pictures_are_of_one_size_side_by_side_with_their_inputs(trained: StudyResults) -> None:
    found = pages(section(trained))
    counts = {anchor: page.count("<img ") for anchor, page in found.items()}
    assert {a: n for a, n in counts.items() if n} == {"plane": 3, "informed": 6, "category": 3, "normal": 6}
    assert all("data:image/png" in found[a] for a in ("plane", "category"))


def test_the_page_holds_together(trained: StudyResults) -> None:
    page = render(trained)
    elements = Elements(page).found
    names = [attributes["id"] for _, attributes in elements if attributes.get("id")]
    assert len(names) == len(set(names))
    links = [attributes["href"] or "" for tag, attributes in elements if tag == "a"]
    inner = [link.removeprefix("#") for link in links if link.startswith("#")]
    assert len([name for name in inner if name.startswith("paper-")]) == 9 and set(inner) <= set(names)
    assert page.count("<section") == page.count("</section>") and len(page) < 10**7
    assert "nan" not in Elements(page).text.lower()
    assert page.index(">Verdict</h2>") < page.index(">The paper’s figures</h2>")


@pytest.mark.parametrize("case", ["usual", "none", "layouts", "hostile", "all_failed"])
def test_a_study_that_does_not_vary_its_preset_has_no_such_section(case: str, tmp_path: Path) -> None:
    results = open_study(cases.CASES[case](tmp_path))
    assert section(results) == ""
    assert "The paper’s figures" not in render(results)


def test_a_store_without_inputs_shows_what_it_has_and_says_what_it_lacks(tmp_path: Path) -> None:
    from tests.analysis.factory import arrays, publish

    folder = cases.presets(tmp_path)
    rows = open_study(folder).completed
    for part in (folder / "arrays").iterdir():
        part.unlink()
    added = ("inputs", "reconstructions", "manipulation", "plane")
    old = [{n: a for n, a in arrays(row).items() if not n.startswith(added)} for row in rows]
    publish(folder, "arrays", old)
    found = pages(section(open_study(folder)))
    assert NOT_STORED in found["plane"] and "<img" not in found["plane"]
    assert found["informed"].count("<img") == 6 and found["category"].count("<img") == 3


def test_no_arrays_at_all_are_said_to_be_missing(tmp_path: Path) -> None:
    folder = cases.presets(tmp_path)
    for part in (folder / "arrays").iterdir():
        part.unlink()
    found = pages(section(open_study(folder)))
    assert all(NOT_STORED in found[anchor] for anchor in ("plane", "informed", "category", "normal"))
    assert "one-hot" not in found and "weight" in found


def test_presets_without_a_common_seed_are_said_to_have_none(tmp_path: Path) -> None:
    rows = [trial(preset=p, mi_weight=w, seed=s) for p, w, s in (("vae", 0, 0), ("paper", 2, 1))]
    folder = store(tmp_path, rows, space={"preset": choice(*PRESETS)})
    text = section(open_study(folder))
    assert "These presets share no seed" in text and "Without a completed trial: corrected." in text
    assert "share no seed" not in pages(text)["kl"]


def test_inputs_that_differ_are_an_alarm(tmp_path: Path) -> None:
    results = open_study(cases.presets(tmp_path))
    group = groups(results)[0]
    one, other = np.zeros((8, 4, 4), np.uint8), np.ones((8, 4, 4), np.uint8)
    stored = {"vae": {"inputs": one}, "paper": {"inputs": one}, "corrected": {"inputs": other}}
    scene = Scene(group, PRESETS, group.rows(), stored, {}, ())
    assert not same_inputs(scene)
    assert same_inputs(scene._replace(arrays=stored | {"corrected": {}}))
    assert "do not compare" in paper_figures.heading(scene, True)
    assert "do not compare" not in paper_figures.heading(scene, False)


def test_many_groups_are_cut_and_said_to_be(tmp_path: Path) -> None:
    rates = [1e-3 * (i + 1) for i in range(MAX_GROUPS + 1)]
    rows = [
        trial(preset=p, mi_weight=w, learning_rate=rate) for rate in rates for p, w in (("vae", 0), ("corrected", 8))
    ]
    space = {"preset": choice("vae", "corrected"), "learning_rate": choice(*rates)}
    results = open_study(store(tmp_path, rows, space=space))
    text = section(results)
    assert f"the first {MAX_GROUPS} of {MAX_GROUPS + 1} groups" in text
    assert "digits, n16+c10*, learning rate = 0.001" in text


def test_hostile_text_makes_no_element(tmp_path: Path) -> None:
    space = {"preset": choice("vae", "paper"), "likelihood": choice(*cases.PAYLOADS[:5])}
    rows = [
        trial(preset=p, mi_weight=w) | {"likelihood": payload, "trial_id": f"{p}{i}"}
        for p, w in (("vae", 0), ("paper", 2))
        for i, payload in enumerate(cases.PAYLOADS[:5])
    ]
    results = open_study(store(tmp_path, rows, name="hostile", space=space, with_arrays=False))
    elements = Elements(section(results))
    tags = {tag for tag, _ in elements.found}
    assert not {"img", "svg", "iframe", "form"} & tags
    assert all("data-plot" in attributes for tag, attributes in elements.found if tag == "script")
    assert all((attributes["href"] or "").startswith("#paper-") for tag, attributes in elements.found if tag == "a")
    assert cases.PAYLOADS[0] in elements.text


def test_the_one_hot_chart_has_a_bar_per_category_and_class_on_one_scale() -> None:
    counts = np.arange(12).reshape(3, 4)
    made = bars(counts, 40).to_plotly_json()
    assert [np.asarray(trace["y"]).tolist() for trace in made["data"]] == counts.tolist()
    assert {tuple(made["layout"][axis]["range"]) for axis in ("yaxis", "yaxis2", "yaxis3")} == {(0, 42.0)}
