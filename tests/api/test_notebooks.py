"""`vmi` in a notebook: both notebooks are executed as they are; a run shows its bar there, and can be interrupted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from support.runs import PATIENCE

from tests.analysis.cases import usual

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
FIGURE = "application/vnd.plotly.v1+json"
LONG = """
import vmi
study = vmi.Study(
    name="long",
    fixed={"dataset": "digits", "layout": "n4+c10*", "batch_size": 32, "steps": 1_000_000},
    space={"mi_weight": vmi.choice(0, 4)},
    seeds=range(2),
)
"""


@pytest.fixture(autouse=True)
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))


def executed(path: Path) -> list[Any]:
    """The outputs of a notebook, cell by cell."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3").execute(cwd=str(EXAMPLES))
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def html_of(outputs: list[Any]) -> str:
    return "\n".join(str(output.data.get("text/html", "")) for output in outputs if "data" in output)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
    assert all(len(cell.source.splitlines()) <= 15 for cell in code)


def test_the_notebook_on_results_draws_its_figures_from_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMI_RESULTS", str(usual(tmp_path)))
    outputs = executed(EXAMPLES / "results.ipynb")
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "Best setting: λ = 8, η = 1" in text and "50 of 50 trials completed" in html_of(outputs)
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


def test_the_notebook_on_studies_writes_one_and_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMI_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("VMI_STEPS", "10")
    outputs = executed(EXAMPLES / "study.ipynb")
    html = html_of(outputs)
    assert '<progress max="6" value="6.000"' in html and "6/6 trials, 0 failed" in html
    assert "6 of 6 trials completed" in html
    assert len([output for output in outputs if FIGURE in output.get("data", {})]) == 2
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "6 trained in this run" in said and "nothing to train" in said


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[tuple[KernelManager, Any]]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def shown(client: Any) -> Iterator[Any]:
    """What a cell shows, until it is idle."""
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return
        yield message


def test_a_run_is_interrupted_and_goes_on(kernel: tuple[KernelManager, Any]) -> None:
    manager, client = kernel
    client.execute(LONG)
    list(shown(client))
    client.execute("vmi.run(study, local=True, results='results')")
    said, errors, interrupted = "", [], False
    for message in shown(client):
        content = message["content"]
        html = content.get("data", {}).get("text/html", "")
        # A training of a million steps stays under way until it is interrupted.
        if not interrupted and "4 running" in html:
            manager.interrupt_kernel()
            interrupted = True
        said += content.get("text", "") if message["msg_type"] == "stream" else ""
        errors += [content["ename"]] if message["msg_type"] == "error" else []
    assert interrupted and errors == ["KeyboardInterrupt"], (errors, said)
    assert "interrupted: 0 of 4 trials are finished" in said and "4 more resume from" in said
    assert "resume with: the same call of vmi.run" in said
    client.execute("print(len(vmi.run(study, local=True, results='results', steps=3, name='short').trials))")
    assert "\n4\n" in "".join(m["content"]["text"] for m in shown(client) if m["msg_type"] == "stream")
