"""The page in a real Chromium: draws everything, asks for nothing, runs nothing but its own, fits a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.data.study_results import open_study
from analysis.report import publish, write
from tests.analysis.browsing import PHONE, Browser, assert_quiet
from tests.analysis.cases import under_way, usual

BROWSED = (
    "usual", "layouts", "repeated", "searched", "normal_only", "presets", "heated", "violated", "none", "one",
    "one_seed", "all_equal", "all_failed", "under_way", "begun",
)  # fmt: skip
SIZES = """() => Array.from(document.querySelectorAll('.plot'), (plot) => {
  const box = plot.querySelector('svg.main-svg')?.getBoundingClientRect();
  return box ? Math.min(box.width, box.height) : 0;
})"""


@pytest.mark.parametrize("case", BROWSED)
def test_draws_every_plot_and_fits_a_phone(case: str, browser: Browser, page_of: Callable[[str], Path]) -> None:
    path = page_of(case)
    seen = browser.visit(path, PHONE)
    assert all(size > 100 for size in seen.page.evaluate(SIZES))
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert_quiet(seen, path)


def test_the_policy_stops_what_is_not_the_pages_own(browser: Browser, tmp_path: Path) -> None:
    path = write(usual(tmp_path))
    foreign = "<script>document.title = 'run'</script><img src='https://example.invalid/x.png'>"
    page = path.read_text(encoding="utf-8").replace("</main>", f"{foreign}</main>")
    path.write_text(page, encoding="utf-8")
    seen = browser.visit(path)
    assert seen.page.title() != "run"
    assert sum("Content Security Policy" in text for text in seen.said) == 2


def test_dark_and_print_take_the_texts_of_plots_along(browser: Browser, tmp_path: Path) -> None:
    path = write(usual(tmp_path))
    ink = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"
    seen = browser.visit(path, scheme="dark")
    assert (seen.page.evaluate(ink), seen.page.evaluate(paper)) == ("rgb(231, 234, 238)", "rgb(20, 23, 27)")
    seen.page.emulate_media(media="print")
    assert (seen.page.evaluate(ink), seen.page.evaluate(paper)) == ("rgb(27, 31, 36)", "rgb(255, 255, 255)")
    assert_quiet(seen, path)


def test_print_leaves_out_what_only_a_screen_can_use(browser: Browser, page_of: Callable[[str], Path]) -> None:
    seen = browser.visit(page_of("usual"))
    seen.page.emulate_media(media="print")
    for what in (".tools button", ".tools input", ".filters", ".skip", ".screen"):
        assert not any(found.is_visible() for found in seen.page.query_selector_all(what))
    assert seen.page.query_selector("#settings tbody tr").is_visible()
    assert seen.page.inner_text("#settings .said") == "Rows 1 to 10 of 10"
    assert seen.page.pdf().startswith(b"%PDF")


def test_a_figures_values_are_a_table_when_asked_for(browser: Browser, page_of: Callable[[str], Path]) -> None:
    path = page_of("heated")
    seen = browser.visit(path)
    tables = {}
    for plot in ("score-accuracy_majority-0", "heatmap-0-0"):
        figure = seen.page.locator(f"figure:has(#{plot})")
        figure.locator("summary").focus()
        seen.page.keyboard.press("Enter")
        figure.locator("td").first.wait_for()
        tables[plot] = figure.locator("tbody tr").all_inner_texts()
    cell = next(row for row in tables["heatmap-0-0"] if row.split("\t")[1:3] == ["4", "0.5"])
    assert "±" in cell and "n=3" in cell
    assert any("n = 3" in row for row in tables["score-accuracy_majority-0"])
    assert_quiet(seen, path)


def test_a_page_that_is_written_anew_loads_itself_again_and_asks_for_nothing_else(
    browser: Browser, tmp_path: Path
) -> None:
    path = publish(open_study(under_way(tmp_path)), refresh=1)
    seen = browser.visit(path)
    with seen.page.expect_navigation(wait_until="load"):
        pass
    seen.page.wait_for_selector("html[data-drawn]", state="attached")
    assert seen.said == [] and {url for url in seen.requests if not url.startswith("data:")} == {path.as_uri()}
