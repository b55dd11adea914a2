"""`vmi mirror`: W&B's runs from the store alone, whatever became of the runs that a sweep wrote."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.factory import choice, grid, publish, store, trial
from tests.mirror.test_runs import items, records, run_files
from tests.support.commands import here, holds_key, vmi
from tests.support.wandb_server import serving
from vmi.mirror.runs import mirror
from vmi.results.store import Store

SPACE = {"mi_weight": choice(0, 4)}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three completed trials and one that failed."""
    rows = [trial(**point) for point in grid(SPACE, range(2))]
    rows[-1] = trial(mi_weight=4, seed=1, outcome="failed", reason="loss became NaN at step 30")
    return store(tmp_path, rows, space=SPACE, with_arrays=False)


def content(folder: Path) -> Mapping[str, Any]:
    """What each run holds, times of W&B's own aside."""
    found = {}
    for path in run_files(folder):
        of = records(path)
        run = of["run"][0]
        summary = {k: v for k, v in items(s.update for s in of["summary"]).items() if not k.startswith("_")}
        lines = [
            {k: v for k, v in items([h.item]).items() if k not in ("_timestamp", "_runtime")}
            for h in of.get("history", [])
        ]
        config = {k: v for k, v in items([run.config.update]).items() if k != "_wandb"}
        head = (run.run_id, run.project, run.run_group, run.display_name, run.job_type, tuple(run.tags))
        found[run.run_id] = (head, config, lines, summary, of["exit"][0].exit_code)
    return found


def test_runs_that_were_deleted_come_back_as_they_were(study: Path, tmp_path: Path) -> None:
    live = Store(study.parent, study.name)
    rows = sorted(live.finished().values(), key=lambda row: row["trial_id"])
    assert mirror(rows, live.read("curves").table.to_pylist(), study, "lambda", "offline").runs == 4
    before = content(study)
    shutil.rmtree(study / "wandb")
    said = here(tmp_path, "mirror", study)
    assert (said.code, said.err) == (0, "") and "4 runs written" in said.out and "0 were there" in said.out
    assert content(study) == before and len(before) == 4
    said = here(tmp_path, "mirror", study)
    assert "0 runs written" in said.out and "4 were there" in said.out
    assert len(run_files(study)) == 4 and holds_key(tmp_path) == []


def test_a_run_that_is_missing_or_torn_is_written_again(study: Path, tmp_path: Path) -> None:
    assert here(tmp_path, "mirror", study).code == 0
    before = content(study)
    gone, torn, *_ = run_files(study)
    shutil.rmtree(gone.parent)
    torn.write_bytes(torn.read_bytes()[:7])
    assert "1 runs written" in here(tmp_path, "mirror", study).out, "one that changed just now may be in writing"
    os.utime(torn, (0, 0))
    assert "1 runs written" in here(tmp_path, "mirror", study).out
    assert content(study) == before and len(run_files(study)) == 4


def test_online_twice_is_once(study: Path, tmp_path: Path) -> None:
    with serving() as backend:
        for _ in range(2):
            said = vmi(tmp_path, "mirror", study, "--online", "lab/lambda", url=backend.url)
            assert said.code == 0 and "4 runs sent to lab/lambda" in said.out, said.err
            assert backend.unknown == [] and len(backend.runs) == 4
            steps = {
                name: [json.loads(h)["_step"] for h in run["history"].values()] for name, run in backend.runs.items()
            }
            assert sorted(map(len, steps.values())) == [0, 3, 3, 3] and [100, 200, 300] in steps.values()
    assert {run["summary"]["outcome"] for run in backend.runs.values()} == {"completed", "failed"}
    assert {run["project"] for run in backend.runs.values()} == {"lambda"} and holds_key(tmp_path) == []


def test_online_the_run_of_a_trial_that_completes_at_last_loses_its_old_reason(study: Path, tmp_path: Path) -> None:
    with serving() as backend:
        assert vmi(tmp_path, "mirror", study, "--online", "lab/lambda", url=backend.url).code == 0
        row = trial(mi_weight=4, seed=1) | {"attempt": 2}
        (before,) = (run["summary"] for run in backend.runs.values() if run["summary"]["outcome"] == "failed")
        assert before["reason"] == "loss became NaN at step 30"
        publish(study, "trials", [row])
        assert vmi(tmp_path, "mirror", study, "--online", "lab/lambda", url=backend.url).code == 0
        after = backend.runs[row["trial_id"]]["summary"]
    assert len(backend.runs) == 4 and after["outcome"] == "completed" and after["nmi"] == row["nmi"]
    assert not after.get("reason")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--online", "lab/lambda"], "WANDB_API_KEY"), (["--online", "lab"], "ENTITY/PROJECT")],
)
def test_bad_input_is_refused_and_nothing_is_written(
    study: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    said = here(tmp_path, "mirror", study, *arguments, key="")
    assert said.code == 2 and says in said.err and not (study / "wandb").exists()


def test_no_study_is_2_and_a_damaged_store_3(study: Path, tmp_path: Path) -> None:
    said = here(tmp_path, "mirror", tmp_path / "nothing")
    assert said.code == 2 and "nothing" in said.err
    part = next((study / "curves").glob("part-*.parquet"))
    part.write_bytes(b"")
    said = here(tmp_path, "mirror", study)
    assert said.code == 3 and part.name in said.err and not (study / "wandb").exists()
