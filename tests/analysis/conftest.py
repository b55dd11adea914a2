"""The page of each case, written once for all tests of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from analysis.report import write
from tests.analysis.cases import CASES


@pytest.fixture(scope="session")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page of a case, written once."""
    return cache(lambda name: write(CASES[name](tmp_path_factory.mktemp(name))))
