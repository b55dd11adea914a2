"""A data set of the user's own with results in an object store: kept there once, read by workers, found by readers."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.object_servers import stored
from support.spoiling_proxy import Faulty

import vmi
from tests.driver.test_own_data import images
from vmi.sources.dataset import Dataset
from vmi.storage.paths import ObjectPath


def test_a_study_of_own_images_runs_resumes_and_is_read_in_a_bucket(
    proxy: Faulty, root: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.chdir(tmp_path)
    pixels, labels = images()
    data = Dataset.from_arrays(pixels, labels=labels)
    study = vmi.Study(
        name="own",
        fixed={"dataset": data, "steps": 20, "hidden": "16-8", "batch_size": 16},
        space={"mi_weight": vmi.choice(0, 4)},
        seeds=range(2),
    )
    here = vmi.run(study, results=tmp_path / "here", local=True)
    there = vmi.run(study, results=root, local=True, keep_models="all")
    metrics = ["accuracy_majority", "elbo_nats", "majority_class_share"]
    assert here.trials.set_index("trial_id")[metrics].equals(there.trials.set_index("trial_id")[metrics])
    kept = {key for key in stored(proxy, root) if "/.data/" in key}
    assert len(kept) == 5 and any(key.endswith("train_pixels.npy") for key in kept)
    assert "nothing to train" not in capsys.readouterr().out
    vmi.run(study, results=root, local=True)
    assert "nothing to train" in capsys.readouterr().out
    assert {key for key in stored(proxy, root) if "/.data/" in key} == kept
    page = there.report()
    assert "data-" in page.read_text(encoding="utf-8")
