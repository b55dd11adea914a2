"""The notebook: kept without outputs, and it runs from a store to its three figures."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.analysis.cases import usual

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "results.ipynb"
FIGURE = "application/vnd.plotly.v1+json"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return usual(tmp_path)


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
    assert all(len(cell.source.splitlines()) <= 15 for cell in code)


def test_the_notebook_draws_its_figures_from_a_store(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMI_RESULTS", str(study))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.execute(cwd=str(NOTEBOOK.parent))
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert "Best setting: λ = 8, η = 1" in outputs[0].text
    drawn = [output.data[FIGURE] for output in outputs if FIGURE in output.get("data", {})]
    titles = [figure["layout"]["yaxis"]["title"]["text"] for figure in drawn]
    assert titles == [
        "held-out accuracy (majority vote)",
        "nats per image",
        "nats per image",
        "distortion −E log p(x|z,c) (nats per image)",
    ]
    assert any("error_y" in trace for trace in drawn[0]["data"]), "intervals"
    assert {"the paper’s bound", "I_q(x;c), exact"} <= {trace.get("name") for trace in drawn[1]["data"]}
