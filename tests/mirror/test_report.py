"""`vmi report --wandb`: the real clients against a server on loopback; offline and bad input without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.analysis.factory import choice, grid, publish, store, trial
from tests.support.commands import KEY, here, holds_key, vmi
from tests.support.wandb_server import Backend, serving


def small(root: Path) -> Path:
    """Four settings with two seeds each."""
    space = {"mi_weight": choice(0, 8), "entropy_weight": choice(0, 1)}
    return store(root, [trial(**point) for point in grid(space, range(2))], space=space)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with serving() as served:
        yield served


def panel_kinds(view) -> list[str]:
    grids = [b for b in json.loads(view["spec"])["blocks"] if b["type"] == "panel-grid"]
    return [p["viewType"] for grid in grids for p in grid["metadata"]["panelBankSectionConfig"]["panels"]]


def test_a_report_is_made_once_and_updated_from_then_on(tmp_path: Path, backend: Backend) -> None:
    folder = small(tmp_path)
    said = vmi(tmp_path, "report", folder, "--wandb", "lab/lambda", url=backend.url)
    assert said.code == 0 and f"W&B report made: {backend.url}/lab/lambda/reports/" in said.out, said.err
    assert backend.unknown == []
    (view,) = backend.views.values()
    assert panel_kinds(view) == [
        *["Run History Line Plot"] * 5, "Weave", "Media Browser",
        "Scatter Plot", "Parallel Coordinates Plot", "Parameter Importance", "Run History Line Plot", "Run Comparer",
    ]  # fmt: skip
    spec = json.loads((folder / "wandb-report.json").read_text())
    (run,) = backend.runs.values()
    history = [json.loads(run["history"][at]) for at in sorted(run["history"])]
    assert run["jobType"] == "report" and run["exitcode"] == 0
    for point, asked in zip(history, spec["run"]["history"], strict=False):
        assert {key: point[key] for key in asked} == asked
    assert len(history) == len(spec["run"]["history"]) + 1
    assert f"{backend.url}/lab/lambda/artifacts/report/lambda-page" in view["spec"]
    sent = {name: a for name, a in backend.artifacts.items() if name.startswith("lambda-")}
    assert {a["artifactTypeName"] for a in sent.values()} == {"report", "dataset"}
    assert (folder / "report.html").read_bytes() in backend.files.values()
    assert {p.read_bytes() for p in folder.glob("*/part-*.parquet")} <= set(backend.files.values())
    # The factory draws the same blobs for every trial, so that one file holds all four pictures.
    assert history[-1]["traversals"]["captions"] == [item["caption"] for item in spec["run"]["media"]["traversals"]]
    assert len(history[-1]["traversals"]["filenames"]) == 4
    assert any("media/images/traversals" in name for name in backend.files)

    before, lines = set(backend.artifacts), len(history)
    again = vmi(tmp_path, "report", folder, "--wandb", "lab/lambda", url=backend.url)
    assert again.code == 0 and "W&B report updated" in again.out
    assert list(backend.views) == ["view1"], "the same report, not another one"
    assert set(backend.artifacts) == before and list(backend.runs) == [run["name"]]
    assert len(run["history"]) == lines

    publish(folder, "trials", [trial(mi_weight=8, entropy_weight=1, seed=7)])
    grown = vmi(tmp_path, "report", folder, "--wandb", "lab/lambda", url=backend.url)
    assert grown.code == 0 and list(backend.views) == ["view1"]
    assert len(backend.runs) == 2, "other intervals are another report run, because a history cannot be taken back"
    assert len({name for name in backend.artifacts if name.startswith("lambda-")}) == 4
    assert holds_key(tmp_path) == [] and not any(KEY.encode() in data for data in backend.files.values())


def test_a_server_that_refuses_is_an_error_without_the_key(tmp_path: Path, backend: Backend) -> None:
    folder = small(tmp_path)
    backend.refuse = "upsertView"
    said = vmi(tmp_path, "report", folder, "--wandb", "lab/lambda", url=backend.url)
    assert said.code == 1 and "W&B: " in said.err
    assert not (folder / "wandb-online.json").exists() and (folder / "report.html").exists()
    assert holds_key(tmp_path) == []


def test_offline_writes_what_would_be_sent_and_says_what_is_missing(tmp_path: Path) -> None:
    folder = small(tmp_path)
    said = here(tmp_path, "report", folder, "--wandb", "lab/lambda", "--offline", key="")
    assert said.code == 0 and "Not sent. That needs WANDB_API_KEY and a network" in said.out
    first = (folder / "wandb-report.json").read_bytes()
    assert json.loads(first)["project"] == "lambda"
    said = here(tmp_path, "report", folder, "--wandb", "lab/lambda", "--offline")
    assert said.code == 0 and (folder / "wandb-report.json").read_bytes() == first
    assert holds_key(tmp_path) == [] and not (folder / "wandb").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--wandb", "lab/lambda"], "WANDB_API_KEY"),
        (["--wandb", "lambda", "--offline"], "ENTITY/PROJECT"),
        (["--wandb", "lab/../x", "--offline"], "ENTITY/PROJECT"),
        (["--wandb", "lab/<script>", "--offline"], "ENTITY/PROJECT"),
        (["--wandb", "lab/\x1b[31mx", "--offline"], r"\x1b"),
        (["--wandb", f"lab/{'ab' * 20}", "--offline"], "[hidden]"),
        (["--offline"], "only beside --wandb"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path: Path, arguments: list[str], says: str) -> None:
    folder = small(tmp_path)
    said = here(tmp_path, "report", folder, *arguments, key="")
    assert said.code == 2 and says in said.err and "ab" * 20 not in said.err
    assert not (folder / "report.html").exists() and not (folder / "wandb-report.json").exists()


def test_no_study_is_2_and_a_damaged_store_3_naming_the_file(tmp_path: Path, backend: Backend) -> None:
    folder = small(tmp_path)
    said = here(tmp_path, "report", tmp_path / "lamda", "--wandb", "lab/lambda", "--offline")
    assert said.code == 2 and "did you mean 'lambda'" in said.err
    (folder / "wandb-online.json").write_text("{")
    said = vmi(tmp_path, "report", folder, "--wandb", "lab/lambda", url=backend.url)
    assert said.code == 3 and "wandb-online.json" in said.err and backend.views == {}
    part = next((folder / "trials").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-40])
    said = here(tmp_path, "report", folder, "--wandb", "lab/lambda", "--offline")
    assert said.code == 3 and part.name in said.err
