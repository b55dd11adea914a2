"""The page's account of cost: predicted beside actual, and nothing where there is nothing to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.sections.cost import section
from vmi.storage.checksum import sealed

KEPT: dict[str, Any] = {
    "vmi_prediction_version": 1, "workers": 2, "trials": 50, "device": "cpu",
    "predicted": {
        "wall_seconds": 30.0, "worker_seconds": 60.0, "cpu_seconds": 60.0, "hardware": "CPU <b>",
        "measured": "2026-01-01", "at_most": False,
    },
    "actual": {"wall_seconds": 45.0, "worker_seconds": 66.0, "cpu_seconds": 57.0, "trials": 50, "packs": 4},
}  # fmt: skip


def page(folder: Path, **changed: Any) -> str:
    (folder / "prediction.json").write_bytes(sealed(KEPT | changed))
    return section(folder)


def test_predicted_and_actual_seconds_stand_side_by_side(tmp_path: Path) -> None:
    made = page(tmp_path)
    assert "Predicted and actual cost" in made and "50 of 50 trials on 2 workers" in made
    for cell in ("30.0", "45.0", "1.50", "60.0", "57.0", "0.95"):
        assert f">{cell}</td>" in made
    assert "CPU &lt;b&gt;" in made and "<b>" not in made


def test_without_a_measurement_the_actual_seconds_stand_alone(tmp_path: Path) -> None:
    made = page(tmp_path, predicted=None)
    assert "Nothing was predicted" in made and "45.0" in made


def test_a_run_that_was_cut_short_is_said_to_be(tmp_path: Path) -> None:
    assert "cut short" in page(tmp_path, actual=KEPT["actual"] | {"trials": 13})
    assert "At most" in page(tmp_path, predicted=KEPT["predicted"] | {"at_most": True})


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"actual": 1}', "\x00"])
def test_a_page_needs_no_prediction(tmp_path: Path, text: str) -> None:
    assert section(tmp_path) == ""
    (tmp_path / "prediction.json").write_text(text)
    assert section(tmp_path) == ""


def test_values_of_any_kind_are_inert(tmp_path: Path) -> None:
    made = page(tmp_path, workers="x", trials=None, actual={"wall_seconds": "<script>", "cpu_seconds": True})
    assert "<script>" not in made
