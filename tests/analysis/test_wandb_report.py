"""The specification of the report on W&B: plain JSON, the same for the same results, with our own intervals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.data.settings import settings
from analysis.data.study_results import open_study
from analysis.wandb_report import specification
from tests.analysis.cases import CASES, PAYLOADS, usual
from tests.analysis.factory import choice, grid, lambda_rows, store, trial
from vmi.storage.checksum import sealed, unsealed


def panels(spec):
    return [panel for block in spec["blocks"] if block["kind"] == "panels" for panel in block["panels"]]


@pytest.mark.parametrize("case", CASES)
def test_every_case_makes_a_specification_of_plain_values(case: str, tmp_path: Path) -> None:
    results = open_study(CASES[case](tmp_path))
    spec = specification(results, "lab", "lambda")
    text = json.dumps(spec, allow_nan=False, sort_keys=True)
    assert json.loads(text) == spec
    assert text == json.dumps(specification(open_study(results.folder), "lab", "lambda"), sort_keys=True)
    assert bool(panels(spec)) == bool(results.completed)


def test_the_panels_are_those_that_a_reader_wants(tmp_path: Path) -> None:
    spec = specification(open_study(usual(tmp_path)), "lab", "lambda")
    kinds = [panel["kind"] for panel in panels(spec)]
    assert set(kinds) == {"line", "table", "media", "scatter", "parallel", "importance", "curves", "comparer"}
    accuracy = next(panel for panel in panels(spec) if panel["kind"] == "line")
    assert accuracy["title_x"] == "MI weight λ" and accuracy["run"] == spec["run"]["id"]
    assert accuracy["y"]["accuracy_majority_line1_low"] == "η = 1, low"
    assert {a["name"]: a["type"] for a in spec["artifacts"]} == {"lambda-page": "report", "lambda-parts": "dataset"}
    assert {b["name"] for b in spec["blocks"] if b["kind"] == "artifact"} == {"lambda-page", "lambda-parts"}


def test_history_and_table_hold_our_own_intervals(tmp_path: Path) -> None:
    results = open_study(usual(tmp_path))
    run = specification(results, "lab", "lambda")["run"]
    best = next(
        s
        for s in settings(results.completed, results.spec)
        if s.params == (("mi_weight", 8.0), ("entropy_weight", 1.0))
    )
    own = best.interval("accuracy_majority")
    point = next(row for row in run["history"] if row["x"] == 8 and "accuracy_majority_line1_mean" in row)
    columns = run["tables"]["settings"]["columns"]
    cells = dict(zip(columns, run["tables"]["settings"]["rows"][-1], strict=True))
    assert own is not None and cells["seeds"] == 5
    for end in ("mean", "low", "high"):
        assert point[f"accuracy_majority_line1_{end}"] == getattr(own, end) == cells[f"accuracy_majority_{end}"]
    assert [row["x"] for row in run["history"]] == [0, 1, 2, 4, 8] * 2


def test_the_report_run_is_another_once_its_content_is(tmp_path: Path) -> None:
    few = specification(open_study(store(tmp_path / "a", lambda_rows(range(4)))), "lab", "lambda")
    more = specification(open_study(store(tmp_path / "b", lambda_rows(range(5)))), "lab", "lambda")
    assert few["run"]["id"] != more["run"]["id"]
    assert few["artifacts"] == more["artifacts"]


def test_one_seed_has_no_ends_and_names_on_the_x_axis_have_places(tmp_path: Path) -> None:
    space = {"preset": choice("vae", "corrected")}
    rows = [trial("p", mi_weight=8 * (p["preset"] == "corrected"), **p) for p in grid(space, range(1))]
    spec = specification(open_study(store(tmp_path, rows, name="p", space=space)), "lab", "p")
    assert [row["x"] for row in spec["run"]["history"]] == [0, 1]
    assert not any(key.endswith(("_low", "_high")) for row in spec["run"]["history"] for key in row)
    assert any("0: vae, 1: corrected" in block.get("text", "") for block in spec["blocks"])
    assert "scatter" not in [panel["kind"] for panel in panels(spec)]


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_hostile_name_is_inert(name: str, tmp_path: Path) -> None:
    folder = store(tmp_path, lambda_rows(range(2)))
    spec = unsealed((folder / "study.json").read_bytes()) | {"name": name}
    (folder / "study.json").write_bytes(sealed(spec))
    made = specification(open_study(folder), "lab", "lambda")
    assert all(
        set(a["name"]) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
        for a in made["artifacts"]
    )
    assert made["title"].isprintable() and made["run"]["name"].isprintable()
    # Text goes up as text: no kind of block is read as Markdown or HTML.
    assert {block["kind"] for block in made["blocks"]} <= {"heading", "paragraph", "list", "link", "panels", "artifact"}


def test_the_specification_loads_no_wandb() -> None:
    code = "import sys, analysis.wandb_report; sys.exit(any(m.startswith('wandb') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
