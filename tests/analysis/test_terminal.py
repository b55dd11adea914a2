"""The terminal's table: narrow, complete, and inert."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from analysis.data.study_results import open_study
from analysis.terminal import WIDTH, terminal
from tests.analysis.cases import CASES, PAYLOADS, hostile, usual, violated


def printed(folder: Path, colour: bool = False) -> str:
    out = io.StringIO()
    Console(file=out, width=WIDTH, force_terminal=colour).print(terminal(open_study(folder)))
    return out.getvalue()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_line_is_wider_than_the_terminal(case: Callable[[Path], Path], tmp_path: Path) -> None:
    text = printed(case(tmp_path))
    assert text.strip() and max(map(len, text.splitlines())) <= WIDTH


def test_every_setting_with_its_interval_and_collapse(tmp_path: Path) -> None:
    lines = printed(usual(tmp_path)).splitlines()
    assert all(name in lines[2] for name in ("λ", "η", "n", "accuracy", "I_q(x;c)", "paper bound", "used"))
    assert sum(" ± " in line and line.startswith((" 0", " 1", " 2", " 4", " 8")) for line in lines) == 10
    assert sum(" collapse " in line and " ± " in line for line in lines) == 2


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    text = printed(hostile(tmp_path))
    assert "\x1b" not in text and "\x07" not in text
    assert f"{2 * len(PAYLOADS)} trials failed" in text


def test_violations_are_listed(tmp_path: Path) -> None:
    assert "not real-image bound of c10 ≤ I_q(x;c10), by 0.25 nats" in printed(violated(tmp_path))
