"""Differences against a reference with the same seeds, and none dropped without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.data.axes import design
from analysis.data.study_results import open_study
from analysis.findings.findings import findings
from analysis.sections.differences import reference_of, section
from tests.analysis.cases import one, searched, temperatures
from tests.analysis.factory import LAMBDA_SPACE, lambda_rows, store, trial
from tests.analysis.test_report import Elements


def opened(folder: Path) -> tuple[Any, Any, Any]:
    results = open_study(folder)
    plan = design(results)
    return results, plan, findings(results, plan)


def test_a_setting_is_beside_its_like_at_lambda_zero(tmp_path: Path) -> None:
    parts = opened(store(tmp_path, lambda_rows(range(3)), with_arrays=False))
    said, reference = reference_of(*parts)
    pairs = [(s.params, r.params) for s in parts[1].settings if (r := reference(s)) is not None]
    assert said == "the same setting with λ = 0"
    assert all(dict(r) == dict(s) | {"mi_weight": 0} for s, r in pairs) and len(pairs) == 10
    text = Elements(section(*parts)).text
    assert "Without a row, as references or for want of one: 2 settings." in text


def test_a_parameter_that_is_searched_beside_lambda_alone_leaves_each_setting_its_like(tmp_path: Path) -> None:
    rows = [row for row in lambda_rows(range(2)) if row["mi_weight"] or row["entropy_weight"]]
    where = {"entropy_weight": {"mi_weight": [1, 2, 4, 8]}}
    parts = opened(store(tmp_path, rows, conditions=where, with_arrays=False))
    said, reference = reference_of(*parts)
    (unused,) = [s for s in parts[1].settings if s.get("mi_weight") == 0]
    assert said == "the same setting with λ = 0" and unused.get("entropy_weight") is None
    assert len(parts[1].settings) == 9 and all(reference(s) is unused for s in parts[1].settings)


def test_of_several_that_could_be_its_like_none_is_taken(tmp_path: Path) -> None:
    rows = [row for row in lambda_rows(range(2)) if row["mi_weight"] == 0 or row["entropy_weight"]]
    where = {"entropy_weight": {"mi_weight": [0]}}
    parts = opened(store(tmp_path, rows, conditions=where, with_arrays=False))
    _, reference = reference_of(*parts)
    assert [reference(s) is s for s in parts[1].settings] == [True, True, False, False, False, False]
    assert reference(parts[1].settings[-1]) is None


def test_only_seeds_of_both_are_paired_and_the_others_counted(tmp_path: Path) -> None:
    rows = [
        trial("s", mi_weight=w, seed=s) | {"accuracy_majority": 0.1 * s + 0.02 * w}
        for w, seeds in ((0, range(3)), (4, range(1, 5)))
        for s in seeds
    ]
    text = section(*opened(store(tmp_path, rows, name="s", space={"mi_weight": LAMBDA_SPACE["mi_weight"]})))
    (row,) = [r for r in text.split("<tbody>")[1].split("</tbody>")[0].split("</tr>") if "<td" in r]
    cells = [cell.split("</td>")[0].split(">")[-1] for cell in row.split("<td")[1:]]
    assert cells == ["4", "0.080 ± 0.000", "2", "2", "above", "λ = 0"]


def test_a_declared_baseline_is_the_reference(tmp_path: Path) -> None:
    rows = [trial("s", mi_weight=w, seed=s) for w in (0, 1, 4) for s in range(2)]
    space = {"mi_weight": LAMBDA_SPACE["mi_weight"]}
    said, _ = reference_of(*opened(store(tmp_path, rows, name="s", space=space, baseline={"mi_weight": 1.0})))
    assert said == "the baseline (λ = 1)"


def test_a_search_without_one_is_beside_its_best(tmp_path: Path) -> None:
    results, plan, found = opened(searched(tmp_path))
    said, reference = reference_of(results, plan, found)
    assert said == "the best setting (selected on these seeds)" and reference(plan.settings[0]) is found.best


def test_temperatures_have_a_table_and_one_setting_has_none(tmp_path: Path) -> None:
    assert "differences" in section(*opened(temperatures(tmp_path)))
    assert section(*opened(one(tmp_path))) == ""
