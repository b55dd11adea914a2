"""What the tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.starting import elsewhere


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """The folder that commands are started in."""
    folder = tmp_path / "work"
    folder.mkdir()
    with elsewhere(folder):
        yield folder
