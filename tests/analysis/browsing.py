"""A real Chromium on a page, and everything that the page said, asked for or tried."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDE, PHONE = (1280, 900), (390, 844)


class Visit(NamedTuple):
    """An open page and everything that it said, asked for or tried."""

    page: Any
    said: list[str]
    requests: list[str]
    dialogs: list[str]


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
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
    assert [url for url in seen.requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
