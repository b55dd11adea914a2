"""`vmi export` and `vmi.load_model`: what they write and read, the account that it has, and what they refuse."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import vmi as vmi_command
from support.runs import files
from typer.testing import CliRunner

import vmi
from vmi.cli.app import app
from vmi.cli.results import model_of
from vmi.data.dataset import load
from vmi.estimation.q_fit import Settings
from vmi.export import model as plain
from vmi.export.folder import stored_row
from vmi.spec.config import TrialConfig

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "export.md"
QUICK = Settings(hidden=(24,), learning_rate=1e-2, check_every=10, patience=3, max_steps=60)
FIXED = {"hidden": "24-12", "steps": 20, "batch_size": 64, "likelihood_variance": 0.04}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> vmi.Results:
    """A study of which every model is kept, beside one that keeps none, and has a trial that fails."""
    layouts = vmi.choice("n16+c10*", "n3*")
    study = vmi.Study(name="kept", fixed=FIXED, space={"layout": layouts}, seeds=range(2), metric="elbo_nats")
    other = vmi.Study(name="bare", fixed=FIXED, space={"learning_rate": vmi.choice(1e-3, 10.0)}, seeds=range(1))
    root = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WANDB_MODE", "disabled")
        made = vmi.run(study, results=root, local=True, gpus_per_pack=0, keep_models=True)
        vmi.run(other, results=root, local=True, gpus_per_pack=0)
    return made


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["export", *map(str, arguments)])
    return done.exit_code, done.output


def one(results: vmi.Results, layout: str) -> Any:
    trials = results.trials
    return trials[trials["layout"] == layout].iloc[1]


def test_classify_has_the_stored_accuracy_and_the_account_is_the_stored_one(
    results: vmi.Results, tmp_path: Path
) -> None:
    row, digits = one(results, "n16+c10*"), load("digits")
    code, said = run(results.folder, row["trial_id"], tmp_path / "deep" / "model")
    assert (code, said) == (0, f"model: {tmp_path / 'deep' / 'model'}\n")
    model = plain.load(tmp_path / "deep" / "model")
    images = digits.images(digits.held_out, slice(None), torch.float32)
    right = model.classify(images.view(-1, 1, 8, 8)) == digits.held_out.labels_N
    assert float(right.double().mean()) == row["accuracy_majority"]
    account = vmi.evaluate(vmi.load_model(tmp_path / "deep" / "model"), "digits", settings=QUICK, seeds=1)
    for name in ("mi_encoder_nats", "rate_c10_nats", "rate_n16_nats", "mi_encoder_upper_n16_nats", "mi_view_nats"):
        found = account.estimates[name]
        assert found.low <= row[name] <= found.high and found.value == pytest.approx(row[name], abs=0.05), name
    assert account.accuracies["accuracy_majority"] == row["accuracy_majority"]


def test_the_folder_says_what_the_model_is(results: vmi.Results, tmp_path: Path) -> None:
    row = one(results, "n3*")
    assert run(results.folder, row["trial_id"], tmp_path)[0] == 0  # an empty folder is taken
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "config.json", "model.py", "model.safetensors"}
    config, card = json.loads((tmp_path / "config.json").read_text()), (tmp_path / "README.md").read_text()
    assert TrialConfig(**config["trial"]).trial_id == config["trial_id"] == row["trial_id"]
    assert config["data"]["shape"] == [1, 8, 8] and config["data"]["fingerprint"] in card
    assert config["layout"] == "n3*" and config["category_classes"] is None
    assert config["versions"]["torch"] == torch.__version__ and torch.__version__ in card
    for name in ("mi_encoder_lower_n3_nats", "rate_nats", "elbo_nats"):
        assert f"| `{name}` | {row[name]:.4g} | " in card, name
    assert "accuracy" not in card and "`seed` | 1 |" in card and "from model import load" in card


def test_a_trial_of_a_study_is_the_same_model(results: vmi.Results, tmp_path: Path) -> None:
    row, digits = one(results, "n16+c10*"), load("digits")
    run(results.folder, row["trial_id"], tmp_path / "m")
    images = digits.images(digits.held_out, slice(20), torch.float32)
    models = [vmi.load_model(tmp_path / "m"), vmi.load_model(results, row["trial_id"])]
    models += [vmi.load_model(str(results.folder), row["trial_id"]), model_of(tmp_path / "m", None, None, 1)]
    assert [model.layout for model in models] == ["n16+c10*"] * 4 and {m.dataset for m in models} == {"digits"}
    with torch.no_grad():
        (first, *others) = [torch.cat([*m.encode(images)[0], m.encode(images)[1].softmax(-1)], 1) for m in models]
    assert all(torch.allclose(first, other, atol=1e-5) for other in others)


def test_an_empty_folder_is_empty_again_where_the_last_moves_fail(
    results: vmi.Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, moved = Path.replace, list[Path]()

    def full(path: Path, target: Path) -> Path:
        if len(moved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        moved.append(replace(path, target))
        return moved[-1]

    monkeypatch.setattr(Path, "replace", full)
    code, said = run(results.folder, one(results, "n3*")["trial_id"], tmp_path)
    assert code == 1 and "No space left on device" in said and len(moved) == 2
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_named_and_nothing_is_written(results: vmi.Results, tmp_path: Path) -> None:
    root, there = results.folder.parent, one(results, "n3*")["trial_id"]
    trials = {row["outcome"]: row["trial_id"] for row in vmi.open(root / "bare").arrow().to_pylist()}
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    new = tmp_path / "new"
    cases: dict[tuple[str | Path, ...], tuple[str, ...]] = {
        (results.folder, f"{there[:-1]}x", new): ("TRIAL_ID", f"did you mean {there!r}?"),
        (root / "bare", trials["failed"], new): ("TRIAL_ID", "it failed: "),
        (root / "bare", trials["completed"], new): ("--keep-models",),
        (results.folder, there, tmp_path / "full"): ("DIR", "not empty"),
        (results.folder, there, tmp_path / "file"): ("DIR", "it is a file"),
        (results.folder, there, "s3://bucket/model"): ("DIR", "a folder of this machine"),
        (root / "kep", there, new): ("folder", "'kept'"),
        (results.folder, "0", tmp_path / "full"): ("TRIAL_ID", "DIR", "2 problems"),
        (results.folder, there): ("DIR", "the folder for the model of this trial"),
    }
    before = files(tmp_path), files(root)
    for arguments, words in cases.items():
        code, said = run(*arguments)
        assert code == 2 and all(word in said for word in words) and "Traceback" not in said, (arguments, said)
    assert (files(tmp_path), files(root)) == before and not new.exists()


def test_a_model_that_is_not_there_is_refused_in_the_same_words(results: vmi.Results, tmp_path: Path) -> None:
    row = one(results, "n3*")
    run(results.folder, row["trial_id"], tmp_path / "m")
    cases = [(results, "0" * 16), (results, None), (results.folder.parent / "bare", "0"), (tmp_path / "nothing", None)]
    for folder, trial_id in [*cases, (tmp_path / "m", "other"), (3, None)]:
        with pytest.raises(vmi.InputError):
            vmi.load_model(folder, trial_id)  # type: ignore[arg-type]
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "format": 99}))
    with pytest.raises(vmi.InputError, match="format is 99"):
        vmi.load_model(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(vmi.InputError, match="a folder that `vmi export` has written"):
        vmi.load_model(tmp_path / "m")


def test_a_trial_that_was_stopped_early_has_no_model() -> None:
    rows = [{"trial_id": "a", "outcome": "pruned", "reason": "stopped at step 10 by pruner median"}]
    with pytest.raises(vmi.InputError, match="it was pruned: stopped at step 10"):
        stored_row(rows, "a", "TRIAL_ID")


def test_onnx_that_is_not_installed_is_refused_with_what_installs_it(
    results: vmi.Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmi.export.onnx_files.PACKAGES", ("a_package_that_nobody_has",))
    code, said = run(results.folder, one(results, "n3*")["trial_id"], tmp_path / "new", "--onnx")
    assert code == 2 and "--onnx: needs the package a_package" in said and "pip install onnx onnxscript" in said
    assert not list(tmp_path.iterdir())


def test_what_the_guide_and_the_model_card_show_runs(results: vmi.Results, tmp_path: Path) -> None:
    run(results.folder, one(results, "n16+c10*")["trial_id"], tmp_path / "exported")
    (of_guide,) = (p for p in _python(GUIDE) if "exported.model" in p)
    (of_card,) = _python(tmp_path / "exported" / "README.md")
    program = f"{of_guide}\nassert new.shape == (16, 1, 8, 8) and mean.shape == (5, 16) and classes.shape == (5,)\n"
    own = f"import torch\nimages = torch.rand(3, 64)\n{of_card}"
    for folder, text in ((tmp_path, program), (tmp_path / "exported", own)):
        subprocess.run([sys.executable, "-c", text], cwd=folder, check=True)


def test_a_model_of_own_images_names_their_classes_in_a_process_that_never_saw_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    generator = np.random.default_rng(0)
    kinds = np.arange(200) % 3
    images = generator.random((200, 9, 7, 3), dtype=np.float32) * np.eye(3, dtype=np.float32)[kinds][:, None, None]
    mine = vmi.Dataset.from_arrays(images, labels=np.array(["blue", "green", "red"])[kinds])
    fixed = {**FIXED, "dataset": mine.name, "layout": "c5*", "network": "conv", "hidden": "4-16"}
    results = vmi.run(
        vmi.Study(name="own", fixed=fixed, space={"mi_weight": vmi.choice(4)}, seeds=range(1)),
        results=tmp_path, local=True, gpus_per_pack=0, keep_models="best",
    )  # fmt: skip
    row, place = results.trials.iloc[0], tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)  # the working folder itself
    said = vmi_command(tmp_path, "export", results.folder, row["trial_id"], ".")
    assert (said.code, said.out, said.err) == (0, "model: .\n", "")
    model = plain.load(Path.cwd())
    assert model.config["data"]["class_names"] == list(mine.classes) == ["blue", "green", "red"]
    held_out, labels = (torch.from_numpy(array.copy()) for array in mine.held_out)
    found = model.classify(held_out.float()) == labels
    assert float(found.double().mean()) == row["accuracy_majority"]
    assert "3 (blue, green, red)" in (place / "README.md").read_text()


def _python(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
