"""--keep-models best: what stays is the best trial of each setting, whatever the run went through."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support.holding import Hold
from support.runs import OFF, Run, inside
from typer.testing import CliRunner

import vmi
from vmi.cli.app import app
from vmi.results.store import Store
from vmi.training.checkpoint import Saved

STUDY = """
import vmi

fixed = {"hidden": "24-12", "steps": 20, "batch_size": 64}
space = {"mi_weight": vmi.choice(0, 4)}
study = vmi.Study(name="s", fixed=fixed, space=space, seeds=range(3), metric="elbo_nats")
if __name__ == "__main__":
    vmi.main(study)
"""
FIXED = {"hidden": "24-12", "steps": 20, "batch_size": 64}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def kept(store: Store) -> set[str]:
    """The trials whose models are there."""
    files = store.models.glob("*.pt")
    return {trial.trial_id for path in files for trial in Saved(path.read_bytes()).trials}


def best(store: Store, metric: str, maximize: bool = True) -> set[str]:
    """The best trial of each setting by the stored rows."""
    rows = sorted(store.finished().values(), key=lambda row: row[metric], reverse=maximize)
    return {row["trial_id"] for row in {row["suggestion_id"]: row for row in reversed(rows)}.values()}


def study(**changes: Any) -> vmi.Study:
    given: dict[str, Any] = {"name": "s", "fixed": FIXED, "seeds": range(2), "space": {"mi_weight": vmi.choice(0, 4)}}
    return vmi.Study(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "metric", "maximize"),
    [
        ({"metric": "distortion_nats", "direction": "minimize"}, "distortion_nats", False),
        ({"seeds": range(4), "restarts": 2}, "mi_view_nats", True),
    ],
    ids=["minimised", "restarts"],
)
def test_of_each_setting_the_best_trial_is_kept(
    tmp_path: Path, changes: dict[str, Any], metric: str, maximize: bool
) -> None:
    vmi.run(study(**changes), results=tmp_path, local=True, gpus_per_pack=0, pack_size=1, keep_models="best")
    store = Store(tmp_path, "s")
    assert kept(store) == best(store, metric, maximize) and len(kept(store)) == 2


def test_a_killed_run_has_thinned_so_far_and_the_next_one_keeps_what_one_run_would(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    options = ("--pack-size", "1", "--keep-models", "best")
    hold = Hold(tmp_path, "*/curves/part-*.parquet", "trials/part-*.parquet", 4)
    first = Run(tmp_path / "study.py", "--local", *options, cwd=tmp_path, **OFF, **hold.environment)
    store = Store(tmp_path / "results", "s")
    with hold.reached(first.process):
        before, so_far = kept(store), best(store, "elbo_nats")
        os.kill(first.process.pid, signal.SIGKILL)
    first.wait()
    # The fifth trial's model is there before its row, so that its end can't be known without it.
    assert so_far < before and len(before) == len(so_far) + 1 and len(store.finished()) == 4
    again = inside(tmp_path / "study.py", *options, cwd=tmp_path)
    assert again.code == 0, again.err
    assert len(store.finished()) == 6 and kept(store) == best(store, "elbo_nats") and len(kept(store)) == 2
    assert len(list(store.models.iterdir())) == 4
    # Were it killed before it could thin: the packs of a finished study go at the next start, which trains nothing.
    stray, worst = next(store.models.glob("*.pt")), min(store.finished().values(), key=lambda row: row["elbo_nats"])
    listed = stray.with_suffix(".json").read_bytes()
    assert worst["trial_id"] not in kept(store)
    for ending, data in ((".pt", stray.read_bytes()), (".json", listed)):
        stray.with_name(f"twice{ending}").write_bytes(data)
    done = inside(tmp_path / "study.py", *options, cwd=tmp_path)
    assert done.code == 0 and "nothing to train" in done.out
    assert kept(store) == best(store, "elbo_nats") and len(list(store.models.iterdir())) == 4


def test_what_is_kept_is_found_and_what_is_not_says_how_to_keep_it(tmp_path: Path) -> None:
    results = vmi.run(study(), results=tmp_path, local=True, gpus_per_pack=0, pack_size=1, keep_models="best")
    store = Store(tmp_path, "s")
    gone = set(store.finished()) - kept(store)
    for trial_id in kept(store):
        assert vmi.load_model(results, trial_id).dataset == "digits"
    said = CliRunner().invoke(app, ["export", str(store.folder), gone.pop(), str(tmp_path / "new")])
    assert said.exit_code == 2 and "--keep-models" in said.output and not (tmp_path / "new").exists()


def test_all_keeps_every_model_none_keeps_what_is_there_and_best_thins_it(tmp_path: Path) -> None:
    store = Store(tmp_path, "s")
    for keep, expected in ((True, 4), ("none", 4), ("best", 2), ("all", 2)):
        vmi.run(study(), results=tmp_path, local=True, gpus_per_pack=0, pack_size=1, keep_models=keep)
        assert len(store.finished()) == 4 and len(kept(store)) == expected, keep
    assert kept(store) == best(store, "accuracy_majority")
