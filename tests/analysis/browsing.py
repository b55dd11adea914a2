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


class Browser:
    """One Chromium with one page, which goes from document to document: it has compiled Plotly after the first."""

    def __init__(self, page: Any) -> None:
        self._page, self._now = page, Visit(page, [], [], [])
        page.on("console", lambda message: self._now.said.append(message.text))
        page.on("pageerror", lambda error: self._now.said.append(str(error)))
        page.on("request", lambda request: self._now.requests.append(request.url))
        page.on("dialog", lambda dialog: (self._now.dialogs.append(dialog.message), dialog.dismiss()))

    def leave(self) -> None:
        """Nothing is open."""
        self._page.goto("about:blank")

    def visit(self, path: Path, size: tuple[int, int] = WIDE, scheme: str = "light") -> Visit:
        self.leave()
        self._now = seen = Visit(self._page, [], [], [])
        self._page.set_viewport_size({"width": size[0], "height": size[1]})
        self._page.emulate_media(media="null", color_scheme=scheme)
        self._page.goto(path.as_uri())
        self._page.wait_for_selector("html[data-drawn]", state="attached")
        return seen


@contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield Browser(opened.new_page())
        opened.close()


def assert_quiet(seen: Visit, path: Path) -> None:
    assert (seen.said, seen.dialogs) == ([], [])
    assert [url for url in seen.requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
