"""The page in a real Chromium: draws everything, asks for nothing, runs nothing but its own, fits a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from analysis.report import write
from tests.analysis.cases import CASES, PAYLOADS, hostile, usual

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: the page is not tried in a browser")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the page is not tried in a browser")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
BROWSED = ("usual", "layouts", "repeated", "searched", "normal_only", "presets", "hostile", "violated", "none")
WIDE, PHONE = (1280, 900), (390, 844)
SIZES = """() => Array.from(document.querySelectorAll('.plot'), (plot) => {
  const box = plot.querySelector('svg.main-svg')?.getBoundingClientRect();
  return box ? Math.min(box.width, box.height) : 0;
})"""


class Visit(NamedTuple):
    """An open page and everything that it said, asked for or tried."""

    page: Any
    said: list[str]
    requests: list[str]
    dialogs: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


def visit(browser: Any, path: Path, size: tuple[int, int] = WIDE, scheme: str = "light") -> Visit:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    seen = Visit(page, [], [], [])
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    return seen


def assert_quiet(seen: Visit, path: Path) -> None:
    assert (seen.said, seen.dialogs) == ([], [])
    assert [url for url in seen.requests if not url.startswith("data:")] == [path.as_uri()]


@pytest.mark.parametrize("case", BROWSED)
def test_draws_every_plot_and_fits_a_phone(case: str, browser: Any, tmp_path: Path) -> None:
    path = write(CASES[case](tmp_path))
    seen = visit(browser, path, PHONE)
    assert all(size > 100 for size in seen.page.evaluate(SIZES))
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert_quiet(seen, path)
    seen.page.close()


def test_the_policy_stops_what_is_not_the_pages_own(browser: Any, tmp_path: Path) -> None:
    path = write(usual(tmp_path))
    foreign = "<script>document.title = 'run'</script><img src='https://example.invalid/x.png'>"
    page = path.read_text(encoding="utf-8").replace("</main>", f"{foreign}</main>")
    path.write_text(page, encoding="utf-8")
    seen = visit(browser, path)
    assert seen.page.title() != "run"
    assert sum("Content Security Policy" in text for text in seen.said) == 2
    seen.page.close()


def test_hostile_text_is_shown_as_text_in_plots_too(browser: Any, tmp_path: Path) -> None:
    path = write(hostile(tmp_path))
    seen = visit(browser, path)
    shown = seen.page.evaluate("Array.from(document.querySelectorAll('.legendtext'), (text) => text.textContent)")
    assert f"likelihood = {PAYLOADS[0]}" in shown
    for marker in seen.page.query_selector_all("#score-accuracy_majority-0 .point")[:12]:
        marker.hover(force=True)
    assert seen.page.evaluate("document.querySelectorAll('.plot a, .plot image[href^=x], .plot script').length") == 0
    assert_quiet(seen, path)
    seen.page.close()


def test_dark_and_print_take_the_texts_of_plots_along(browser: Any, tmp_path: Path) -> None:
    path = write(usual(tmp_path))
    ink = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"
    seen = visit(browser, path, scheme="dark")
    assert (seen.page.evaluate(ink), seen.page.evaluate(paper)) == ("rgb(231, 234, 238)", "rgb(20, 23, 27)")
    seen.page.emulate_media(media="print")
    assert (seen.page.evaluate(ink), seen.page.evaluate(paper)) == ("rgb(27, 31, 36)", "rgb(255, 255, 255)")
    assert_quiet(seen, path)
    seen.page.close()
