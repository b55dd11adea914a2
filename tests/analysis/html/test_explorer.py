"""Tables that sort, filter, leaf and save: by keyboard, without a request, the same text as in print."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analysis.data.settings import interval
from analysis.data.study_results import open_study
from analysis.html.cells import Head
from analysis.html.downloads import parquet
from analysis.html.explorer import Line, explorer
from analysis.report import write
from tests.analysis.browsing import Browser, assert_quiet
from tests.analysis.cases import usual
from tests.analysis.factory import lambda_rows, publish, store, trial
from tests.analysis.test_report import rows_of

LAMBDA = 0  # the column of the settings


def rows(seen: Any, table: str = "settings") -> list[list[str]]:
    return [line.split("\t") for line in seen.page.locator(f"#{table} tbody tr").all_inner_texts()]


def status(seen: Any, table: str = "settings") -> str:
    return str(seen.page.inner_text(f"#{table} [role=status]"))


def test_data_is_the_rows_and_nothing_is_left_out() -> None:
    heads = [Head("λ", "mi_weight"), Head("accuracy", "accuracy_majority", 3)]
    lines = [Line("", [w, interval([0.1 * w, 0.1 * w + 0.02])]) for w in range(60)]
    text = explorer("t", heads, [*lines, Line("bad", [None, None])], "c", 1)
    data = json.loads(re.search(r'data-table="t">(.*?)</script>', text)[1])  # type: ignore[index]
    assert [len(column["cells"]) for column in data["columns"]] == [61, 61]
    assert data["columns"][0]["texts"][-1] == "–" and data["columns"][0]["values"][-1] is None
    assert data["columns"][1]["cells"][1][0] == 0.11 and data["columns"][1]["cells"][-1] is None
    assert data["marks"] == {"60": "bad"} and text.count("<tr") == 26
    assert "The first 25 of 61 rows" in text


@pytest.mark.parametrize("case", ["usual", "searched", "normal_only", "violated"])
def test_a_script_writes_the_cells_as_print_has_them(
    case: str, browser: Browser, page_of: Callable[[str], Path]
) -> None:
    path = page_of(case)
    seen = browser.visit(path)
    made = seen.page.evaluate(
        "Array.from(document.querySelectorAll('.explorer tbody tr'), (r) => Array.from(r.cells, (c) => c.textContent))"
    )
    static = rows_of(path)
    assert made and [row for row in made if row not in static] == []
    assert_quiet(seen, path)


def test_a_head_sorts_by_number_and_says_so(browser: Browser, page_of: Callable[[str], Path]) -> None:
    seen = browser.visit(page_of("usual"))
    heads = seen.page.locator("#settings th")
    at = heads.all_inner_texts().index("accuracy")
    said = []
    for _ in range(3):
        heads.nth(at).locator("button").focus()
        seen.page.keyboard.press("Enter")
        said.append((heads.nth(at).get_attribute("aria-sort"), [float(row[at].split(" ")[0]) for row in rows(seen)]))
    (up, rising), (down, falling), (none, before) = said
    assert (up, down, none) == ("ascending", "descending", None)
    assert rising == sorted(rising) and falling == sorted(rising, reverse=True)
    assert sorted(before) == rising and before != rising


@pytest.mark.parametrize(
    ("typed", "kept"),
    [(">2", {"4", "8"}), ("<= 1", {"0", "1"}), ("=4", {"4"}), ("1..4", {"1", "2", "4"}), ("8", {"8"})],
)
def test_a_filter_compares_numbers_or_looks_for_text(
    typed: str, kept: set[str], browser: Browser, page_of: Callable[[str], Path]
) -> None:
    seen = browser.visit(page_of("usual"))
    seen.page.get_by_label("Filter λ").first.scroll_into_view_if_needed()
    seen.page.locator("#settings").get_by_label("Filter λ").fill(typed)
    assert {row[LAMBDA] for row in rows(seen)} == kept
    assert "(of 10)" in status(seen)


def test_a_search_that_finds_nothing_says_so(browser: Browser, page_of: Callable[[str], Path]) -> None:
    seen = browser.visit(page_of("usual"))
    seen.page.locator("#settings input[type=search]").fill("collapse")
    assert {row[LAMBDA] for row in rows(seen)} == {"4", "8"}
    seen.page.locator("#settings input[type=search]").fill("nowhere")
    assert rows(seen) == [] and status(seen) == "No row of 10"


def test_ten_thousand_trials_are_leafed_through_quickly(browser: Browser, tmp_path: Path) -> None:
    made = [
        row | {"trial_id": f"{i:08x}{row['trial_id'][:8]}", "seed": i} for i in range(1000) for row in lambda_rows([0])
    ]
    folder = store(tmp_path, [trial()])
    publish(folder, "trials", made)
    seen = browser.visit(write(folder))
    seen.page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    assert status(seen, "trials").startswith("Rows 1 to 25 of 10,000")
    seen.page.locator("#trials").get_by_role("button", name="Next").press("Enter")
    assert status(seen, "trials").startswith("Rows 26 to 50")
    took = seen.page.evaluate(
        """() => {
          const field = document.querySelector('#trials input[type=search]');
          const start = performance.now();
          field.value = '0.7';
          field.dispatchEvent(new Event('input'));
          document.querySelector('#trials th:nth-child(3) button').click();
          return performance.now() - start;
        }"""
    )
    assert took < 2000


def test_a_csv_has_the_rows_that_are_left_with_stable_names(browser: Browser, page_of: Callable[[str], Path]) -> None:
    path = page_of("usual")
    seen = browser.visit(path)
    seen.page.locator("#settings").get_by_label("Filter λ").fill("=4")
    with seen.page.expect_download() as download:
        seen.page.locator("#settings .tools button").first.click()
    assert download.value.suggested_filename == "settings.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    saved = list(csv.DictReader(io.StringIO(text)))
    assert [row["mi_weight"] for row in saved] == ["4", "4"]
    assert 0.6 < float(saved[1]["accuracy_majority"]) < 0.8 and float(saved[1]["accuracy_majority_half_width"]) > 0
    assert_quiet(seen, path)


def test_the_parquet_link_gives_every_trial_offline(browser: Browser, page_of: Callable[[str], Path]) -> None:
    path = page_of("usual")
    seen = browser.visit(path)
    with seen.page.expect_download() as download:
        seen.page.get_by_role("link", name="as Parquet").click()
    table = pq.read_table(download.value.path())
    assert table.num_rows == 50 and {"mi_weight", "rate_c10_nats", "versions"} <= set(table.column_names)
    assert table.schema.field("distortion_nats").metadata
    assert_quiet(seen, path)


def test_parquet_bytes_are_the_same_each_time_and_none_without_trials(tmp_path: Path) -> None:
    results = open_study(usual(tmp_path))
    assert parquet(results) == parquet(results) is not None
    assert parquet(open_study(store(tmp_path, [], name="none", planned=5))) is None
