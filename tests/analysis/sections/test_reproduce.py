"""The study file on the page asks for what was asked for; commands can be pasted whatever a study is called."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.data.study_results import open_study
from analysis.sections.reproduce import made_with, section, study_file
from tests.analysis.cases import hostile_name, usual
from tests.analysis.test_report import Elements
from vmi.study.loading import load
from vmi.study.study_json import spec

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["lambda", "layouts", "search", "tune", "objectives", "paper"])
def test_the_file_declares_the_same_study(name: str, tmp_path: Path) -> None:
    declared = load(ROOT / "sweeps" / f"{name}.py")
    asked = spec(declared, 7)
    file = tmp_path / "again.py"
    text = study_file(asked)
    assert text is not None
    file.write_text(text)
    again = load(file)
    assert spec(replace(again, scales={}), 7) == asked


def test_what_is_no_description_has_no_file() -> None:
    for asked in ({}, {"name": "x"}, {"name": "x", "space": {"a": {"kind": "odd"}}}, {"name": "x", "space": 3}):
        assert study_file(asked) is None


def test_commands_quote_a_name_that_a_shell_would_run(tmp_path: Path) -> None:
    results = open_study(hostile_name(tmp_path))
    text = Elements(section(results)).text
    line = next(line for line in text.split("\n") if line.startswith("vmi report"))
    assert "$(touch" in text and "again" in line
    assert shlex.quote("x; $(y)") == "'x; $(y)'"


def test_versions_devices_data_and_seeds_are_named(tmp_path: Path) -> None:
    said = made_with(open_study(usual(tmp_path)))
    assert said["Versions"] == "python 3.11, torch 2.11 (50 trials)"
    assert said["Seeds"] == "0, 1, 2, 3, 4" and said["Devices"] == "cpu (50 trials)"
    assert said["Data sets and their fingerprints"] == "digits abababababababab"
