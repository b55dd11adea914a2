"""One Chromium for all tests of the page; where there is none they are skipped by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from analysis.report import write
from tests.analysis.browsing import CHROMIUM, chromium
from tests.analysis.cases import CASES


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="no playwright: the page is not tried in a browser")
    if CHROMIUM is None:
        pytest.skip("no Chromium: the page is not tried in a browser")
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page of a case, written once."""
    return cache(lambda name: write(CASES[name](tmp_path_factory.mktemp(name))))
