"""Trials that another study has finished: found, copied under this study's own labels, mirrored, and never trained."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from analysis.data.settings import settings
from analysis.data.study_results import open_study
from analysis.paper.presets import markdown
from vmi.driver.launch import launch
from vmi.driver.options import RunOptions
from vmi.results import parts
from vmi.results.store import Store
from vmi.spec.config import ADDED
from vmi.study.space import choice, log_uniform
from vmi.study.study import Study

FIXED = {"hidden": "16-8", "steps": 4, "batch_size": 64}


def start(study: Study, root: Path, **options: bool) -> str:
    """Run in this process; what it said."""
    said = io.StringIO()
    run = RunOptions(results=root, local=True, gpus_per_pack=0, **options)
    assert launch(study, run, Console(file=said, width=200)) == 0
    return said.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lambda study, then one of presets that shares half of its trials with it."""
    folder = tmp_path_factory.mktemp("results")
    start(Study(name="before", fixed=FIXED, space={"mi_weight": choice(0, 8)}, seeds=range(2)), folder)
    return folder


PRESETS = Study(name="after", fixed=FIXED, space={"preset": choice("vae", "corrected", "beta_vae")}, seeds=range(2))


@pytest.fixture(scope="module")
def adopting(root: Path) -> str:
    """What the study of presets said."""
    return start(PRESETS, root)


def test_shared_trials_are_found_and_bear_the_preset_s_name(root: Path, adopting: str) -> None:
    assert "6 trials, 4 found in other studies" in adopting
    assert "2 trained in this run + 4 found in the store" in adopting
    rows = Store(root, "after").finished().values()
    assert sorted(row["preset"] for row in rows) == ["beta_vae"] * 2 + ["corrected"] * 2 + ["vae"] * 2
    assert {row["study"] for row in rows} == {"after"}


@pytest.mark.usefixtures("adopting")
def test_every_trial_of_the_study_has_its_run_in_the_mirror(root: Path) -> None:
    assert len(list((root / "after" / "wandb").glob("offline-run-*"))) == 6


@pytest.mark.usefixtures("adopting")
def test_presets_can_be_compared_after_adoption(root: Path) -> None:
    text = markdown(open_study(root / "after"), "corrected", "x")
    assert "`vae`" in text and "`beta_vae`" in text and "2 seeds" in text


def test_more_seeds_under_another_name_find_the_first_ones(tmp_path: Path) -> None:
    study = Study(name="few", fixed=FIXED, space={"mi_weight": choice(0, 8)}, seeds=range(2))
    start(study, tmp_path)
    assert "2 trained in this run + 4 found" in start(replace(study, seeds=range(3), name="more"), tmp_path)


def test_trials_stored_before_a_field_was_added_are_found_in_their_own_study_and_in_another(tmp_path: Path) -> None:
    study = Study(name="old", fixed=FIXED, space={"mi_weight": choice(0, 8)}, seeds=range(2))
    start(study, tmp_path)
    store = Store(tmp_path, "old")
    (part,) = store.folder_of("trials").glob("part-*")
    whole = parts.read(store.folder_of("trials"), "trials").table
    part.unlink()
    parts.publish(store.folder_of("trials"), whole.drop_columns(list(ADDED)))
    assert "nothing to train" in start(study, tmp_path)
    another = replace(study, name="new", space={"factor_weight": choice(0, 1)}, fixed={**FIXED, "mi_weight": 8})
    assert "2 trained in this run + 2 found in the store" in start(another, tmp_path)
    for name in ("old", "new"):
        found = open_study(tmp_path / name)
        assert {row["factor_weight"] for row in found.trials} <= {0.0, 1.0}
        assert len(settings(found.completed, found.spec)) == 2


PRUNED = Study(name="judged", fixed={"hidden": "16-8", "steps": 20, "batch_size": 64}, seeds=range(2),
               space={"mi_weight": log_uniform(0.5, 8)}, searcher="random", suggestions=2, pruner="median")  # fmt: skip


def test_what_a_judge_of_another_study_was_told_is_not_adopted(tmp_path: Path) -> None:
    """It may be of another metric, and is of completed trials alone."""
    start(PRUNED, tmp_path)
    start(replace(PRUNED, name="again", restarts=2), tmp_path)
    told, adopted = (Store(tmp_path, name).read("curves").checked()["judged"] for name in ("judged", "again"))
    assert len(adopted) == len(told) > told.null_count and adopted.null_count == len(adopted)


def test_a_run_that_keeps_models_trains_what_another_study_has_finished(root: Path) -> None:
    study = Study(name="kept", fixed=FIXED, space={"mi_weight": choice(0, 8)}, seeds=range(2))
    assert "4 trained in this run + 0 found" in start(study, root, keep_models=True)
    assert len(list(Store(root, "kept").models.glob("*.pt"))) == 1
