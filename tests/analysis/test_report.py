"""The page as text: what it says, that it is inert, and that it is written whole."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.data.study_results import open_study
from analysis.report import render, write
from tests.analysis.cases import CASES, usual
from tests.analysis.factory import LAMBDA_SPACE, choice, lambda_rows, publish, store, trial
from vmi.spec.errors import InputError

MEGABYTE = 10**6


class Elements(HTMLParser):
    """Tags with attributes as a parser sees them, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.text += data


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", Elements(page.read_text(encoding="utf-8")).text)


@pytest.mark.parametrize("case", CASES)
def test_every_case_makes_a_page(case: str, page_of: Callable[[str], Path]) -> None:
    path = page_of(case)
    assert path.name == "report.html" and path.stat().st_size < 10 * MEGABYTE
    page = path.read_text(encoding="utf-8")
    figures = re.findall(r'<script type="application/json" data-plot="[^"]*">(.*?)</script>', page)
    assert all("data" in json.loads(figure) for figure in figures)
    assert "nan" not in Elements(page).text.lower().replace("became nan", "")


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("none", "No trial has finished yet (50 planned)"),
        ("one", "The one setting has accuracy"),
        ("one_seed", "One seed per setting: no interval can be given"),
        ("all_equal", "All trials have the very same score"),
        ("all_failed", "None of the 20 finished trials was completed"),
        ("all_failed", "20 × loss became NaN at step 120"),
        ("violated", "What must hold does not in 1 trial (2 violations"),
        ("violated", "real-image bound of c10 ≤ I_q(x;c10)"),
        ("normal_only", "No accuracy for layout n2*+n14"),
        ("layouts", "No accuracy for layout n2*+n30"),
        ("searched", "4 of 64 planned trials not finished yet"),
        ("temperatures", "Best setting: τ = "),
        ("heated", "Without a value: 1 cell."),
        ("heated", "Over the 11 settings of the other parameters that every layout has"),
        ("searched", "On suggestions that it had not seen, the forest’s R² is"),
        ("usual", "Accuracy of a setting less that of the same setting with λ = 0"),
        ("all_failed", "1 min 4 s of training in 20 trials, of these 1 min 4 s in 20 failed"),
        ("usual", "python again.py --results again"),
    ],
)
def test_what_a_page_says(case: str, says: str, page_of: Callable[[str], Path]) -> None:
    assert says in text_of(page_of(case))


def test_headlines_of_the_lambda_study(page_of: Callable[[str], Path]) -> None:
    text = text_of(page_of("usual"))
    for line in (
        "Best setting: λ = 8, η = 1, with accuracy 0.743 (95 % interval",
        "beside 0.312 for an unused code (λ = 0) and 0.785 for k-means on the pixels.",
        "With η = 1, the code is used from λ = 1 on.",
        "With η = 0, the code is used at λ = 1 and 2, but not at λ = 4 and 8.",
        "High MI that is a collapse: λ = 4, η = 0 and λ = 8, η = 0.",
        "Every bound that must hold does, in all 50 completed trials.",
    ):
        assert line in text


def rows_of(page: Path) -> list[list[str]]:
    """The cells of every row of the page's tables, as text."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page.read_text(encoding="utf-8"))
    return [[Elements(cell).text for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in rows]


def test_every_block_has_its_row_where_a_layout_has_several_of_a_kind(page_of: Callable[[str], Path]) -> None:
    of_blocks = [row for row in rows_of(page_of("repeated")) if len(row) > 3 and row[2] in ("yes", "no")]
    named = {(layout, block): informed for layout, block, informed, *_ in of_blocks}
    assert named == {
        ("n4*+n4+c5*+c2", "n4"): "yes", ("n4*+n4+c5*+c2", "n4_2"): "no",
        ("n4*+n4+c5*+c2", "c5"): "yes", ("n4*+n4+c5*+c2", "c2"): "no",
        ("c10*+c10*", "c10"): "yes", ("c10*+c10*", "c10_2"): "yes",
        ("n4*+n4", "n4"): "yes", ("n4*+n4", "n4_2"): "no",
        ("n16+c10*", "n16"): "no", ("n16+c10*", "c10"): "yes",
    }  # fmt: skip
    assert len(of_blocks) == len(named)
    assert all(row[3] == "2" and "±" in row[4] for row in of_blocks)  # two seeds, and their rate
    assert "block" not in [cell for row in rows_of(page_of("usual")) for cell in row]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = usual(tmp_path)
    part = next((folder / "arrays").glob("part-*"))
    part.write_bytes(b"")
    assert part.name in text_of(write(folder))
    assert part.read_bytes() == b""


def test_writing_is_whole_and_repeatable(tmp_path: Path) -> None:
    folder = usual(tmp_path)
    first = write(folder).read_bytes()
    assert write(folder).read_bytes() == first
    assert not list(folder.glob(".tmp-*"))
    assert render(open_study(folder)).encode() == first


def test_a_folder_that_cannot_be_written_to_is_an_input_error(tmp_path: Path) -> None:
    folder = usual(tmp_path)
    (folder / "report.html").mkdir()
    with pytest.raises(InputError, match="can be written to"):
        write(folder)
    assert not list(folder.glob(".tmp-*"))


@pytest.mark.parametrize("searched", [False, True], ids=["grid", "search"])
def test_ten_thousand_trials_fit_the_budget(searched: bool, tmp_path: Path) -> None:
    rows, space = (searched_rows(), SEARCHED_SPACE) if searched else (grid_rows(), LAMBDA_SPACE)
    folder = store(tmp_path, [trial()], space=space, searcher="tpe" if searched else "grid", planned=len(rows))
    publish(folder, "trials", rows)
    start = time.process_time()  # what else runs on this machine is not the page's
    path = write(folder)
    assert time.process_time() - start < 30
    assert path.stat().st_size < 10 * MEGABYTE
    said = text_of(path)
    assert "Every trial (10,0" in said and "Drawn: every" in said


def grid_rows() -> list[dict[str, Any]]:
    """Ten settings of a thousand seeds."""
    rows = lambda_rows(range(8))
    return [row | {"trial_id": f"{i:08x}{row['trial_id'][:8]}", "seed": i} for i in range(125) for row in rows]


def searched_rows() -> list[dict[str, Any]]:
    """Two thousand suggestions of five seeds in four ranges and three layouts."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(2000):
        point: dict[str, Any] = {name: rng.uniform(r["low"], r["high"]) for name, r in RANGES.items()}
        point["layout"] = SEARCHED_SPACE["layout"]["values"][rng.integers(3)]
        made = trial(**point, temperature_final=point["temperature"])
        rows += [made | {"trial_id": f"{seed:08x}{made['trial_id'][:8]}", "seed": seed} for seed in range(5)]
    return rows


RANGES = {
    name: {"kind": "float", "low": low, "high": high, "log": False, "step": None}
    for name, low, high in (
        ("mi_weight", 0.1, 16), ("temperature", 0.1, 2), ("learning_rate", 1e-4, 1e-2), ("kl_weight", 0.5, 4),
    )
}  # fmt: skip
SEARCHED_SPACE = RANGES | {"layout": choice("n16+c10*", "n8+c10*+c2*", "n2*+n14+c10*")}
