"""Hostile text in every field: nothing runs in a real browser, and it stays inert in CSV and terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from analysis.data.study_results import open_study
from analysis.terminal import terminal
from tests.analysis.browsing import PHONE, Browser, assert_quiet
from tests.analysis.cases import PAYLOADS, hostile, hostile_goals, hostile_name
from tests.analysis.test_report import Elements
from vmi.results.schema import trials_schema
from vmi.results.study_file import PARTS

CASES_HERE = ("hostile", "hostile_name", "hostile_goals")
FORMULA = re.compile(r"^[\s\x00-\x1f]*[=+\-@]")
NUMBER = re.compile(r"^-?\d+(\.\d+)?(e[+-]\d+)?$")


def test_every_text_column_of_a_trial_and_every_text_of_study_json_holds_payloads(tmp_path: Path) -> None:
    """So that a column that is added, and drawn, is tried too."""
    rows = open_study(hostile(tmp_path)).trials
    texts = [field.name for field in trials_schema(["n2"]) if pa.types.is_string(field.type)]
    tried = {name: {p for p in PAYLOADS if any(p in str(row[name]) for row in rows)} for name in texts}
    assert len(texts) > 15 and not [name for name, found in tried.items() if len(found) < 5], tried
    written = [open_study(case(tmp_path / "more")).spec for case in (hostile, hostile_name, hostile_goals)]
    numbers = {"seeds", "confirm_seeds", "confirm", "planned", "suggestions", "restarts"}
    for name in PARTS.keys() - numbers:
        said = [str(spec.get(name)) for spec in written]
        assert any(p in text or repr(p)[1:-1] in text for text in said for p in PAYLOADS), name


def test_there_are_thirty_payloads_and_more() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 30


@pytest.mark.parametrize("case", CASES_HERE)
def test_hostile_text_makes_no_element_and_no_attribute(case: str, page_of: Callable[[str], Path]) -> None:
    page = page_of(case).read_text(encoding="utf-8")
    elements = Elements(page).found
    scripts = [a for tag, a in elements if tag == "script" and not {"data-plot", "data-table"} & set(a)]
    assert len(scripts) == 4
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    assert not {"iframe", "object", "embed", "svg", "form", "base", "input", "math"} & {tag for tag, _ in elements}
    assert [tag for tag, _ in elements].count("style") == 1
    assert all((a["src"] or "").startswith("data:image/png") for tag, a in elements if tag == "img")
    links = [a["href"] or "" for tag, a in elements if tag == "a"]
    assert all(link.startswith(("#", "data:application/vnd.apache.parquet;base64,")) for link in links)
    body = page.split("<main")[1].split("</main>")[0]
    assert not set("\x00\x1b\x07\u2028\u202e\u2066\u200f") & set(body)
    assert PAYLOADS[0] in Elements(page).text


@pytest.mark.parametrize("case", CASES_HERE)
def test_hostile_text_runs_nothing_however_the_page_is_used(
    case: str, browser: Browser, page_of: Callable[[str], Path]
) -> None:
    path = page_of(case)
    seen = browser.visit(path, PHONE)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    for summary in page.query_selector_all("summary"):
        summary.evaluate("(it) => it.click()")
    for button in page.query_selector_all("th button"):
        button.evaluate("(it) => it.click()")
    for field in page.query_selector_all("input")[:12]:
        for payload in PAYLOADS[:6]:
            field.evaluate("(it, text) => { it.value = text; it.dispatchEvent(new Event('input')); }", payload)
        field.evaluate("(it) => { it.value = ''; it.dispatchEvent(new Event('input')); }")
    for marker in page.query_selector_all(".plot .point")[:12]:
        marker.hover(force=True)
    made = "document.querySelectorAll('.plot a, image[href^=x], .plot script, iframe, main form, td img, td a').length"
    assert page.evaluate(made) == 0
    assert page.evaluate("[typeof {}.polluted, document.querySelectorAll('script:not([type])').length]") == [
        "undefined", 4
    ]  # fmt: skip
    assert_quiet(seen, path)


def test_hostile_text_is_shown_as_text(browser: Browser, page_of: Callable[[str], Path]) -> None:
    path = page_of("hostile")
    seen = browser.visit(path)
    # The page writes a table's rows when it comes to it: each is waited for.
    shown = "text => Array.from(document.querySelectorAll('#settings td')).some((cell) => cell.textContent === text)"
    seen.page.locator("#settings input[type=search]").fill("alert(1)")
    seen.page.wait_for_function(shown, arg=PAYLOADS[0])
    figure = seen.page.locator("figure:has(#score-accuracy_majority-0)")
    figure.locator("summary").click()
    figure.locator("td", has_text="<svg/onload=alert(4)>").first.wait_for()
    assert_quiet(seen, path)


def test_no_cell_of_a_saved_csv_is_a_formula(browser: Browser, page_of: Callable[[str], Path]) -> None:
    seen = browser.visit(page_of("hostile"))
    seen.page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    saved = 0
    for box in seen.page.query_selector_all(".explorer"):
        with seen.page.expect_download() as download:
            box.query_selector(".tools button").click()
        rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"), newline="")))
        assert len({len(row) for row in rows}) == 1
        cells = [cell for row in rows for cell in row]
        assert not [cell for cell in cells if FORMULA.match(cell) and not NUMBER.match(cell)]
        assert not [cell for cell in cells if set("\x00\x1b\x07\t\r\n\u202e") & set(cell)]
        saved += any(cell.startswith("'=cmd()") for cell in cells)
    assert saved


@pytest.mark.parametrize("case", [hostile, hostile_name, hostile_goals])
def test_the_terminal_gets_no_control_character(case: Callable[[Path], Path], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(terminal(open_study(case(tmp_path))))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(c.isprintable() or c == "\n" for c in said) and "alert" in said
