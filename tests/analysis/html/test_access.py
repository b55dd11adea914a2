"""Whoever reads the page with other means than a wide bright screen: structure, names, contrast."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from analysis.sections.heatmaps import INK, SCALE
from tests.analysis.cases import CASES
from tests.analysis.test_report import Elements

CSS = files("analysis.html").joinpath("page.css").read_text(encoding="utf-8")
# What is written on what: names of colours in page.css.
PAIRS = (
    ("ink", "paper"), ("ink", "panel"), ("ink", "good-soft"), ("soft", "paper"), ("soft", "panel"),
    ("accent", "paper"), ("accent", "panel"), ("bad", "paper"), ("bad", "panel"), ("bad", "bad-soft"),
)  # fmt: skip


def colours(mode: int) -> Mapping[str, str]:
    """The colours of light (0) or dark (1)."""
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", CSS, re.S)[mode]))


def contrast(one: str, other: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05) of relative luminances, WCAG 2.2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_that_of_the_definition() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_stands_out_in_both_modes(mode: int) -> None:
    named = colours(mode)
    low = {pair: round(c, 2) for pair in PAIRS if (c := contrast(*(named[name] for name in pair))) < 4.5}
    assert low == {}
    assert contrast(named["edge"], named["paper"]) >= 3  # the edge of a field


def test_figures_in_cells_stand_out_on_every_colour_of_a_heat_map() -> None:
    assert all(contrast(INK, colour) >= 4.5 for colour in SCALE)


@pytest.mark.parametrize("case", CASES)
def test_structure_for_a_screen_reader(case: str, page_of: Callable[[str], Path]) -> None:
    elements = Elements(page_of(case).read_text(encoding="utf-8")).found
    levels = [int(tag[1]) for tag, _ in elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tags = [tag for tag, _ in elements]
    assert [tags.count(tag) for tag in ("header", "nav", "main")] == [1, 1, 1]
    assert dict(elements)["html"]["lang"] == "en"  # type: ignore[index]
    assert all((a.get("alt") or "").strip(". ") for tag, a in elements if tag == "img")
    plots = [a for tag, a in elements if tag == "div" and a.get("class") == "plot"]
    assert all(a["role"] == "img" and len(a["aria-label"] or "") > 10 for a in plots)
    assert tags.count("details") >= len(plots)  # each figure has its values
    assert tags.count("caption") == tags.count("table")
    ids = [a["id"] for _, a in elements if a.get("id")]
    assert len(ids) == len(set(ids))
    targets = [(a["href"] or "")[1:] for tag, a in elements if tag == "a" and (a["href"] or "").startswith("#")]
    assert set(targets) <= set(ids)
