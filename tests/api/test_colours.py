"""Colour images with odd sides, from a study to store, account of a kept model and page, through either network."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.coloured import held

import vmi
from analysis.figures.images import GAP
from analysis.report import write
from tests.analysis.browsing import PHONE, Browser, assert_quiet
from vmi.data.dataset import load
from vmi.estimation.model import from_checkpoint, from_folder
from vmi.estimation.q_fit import Settings
from vmi.results.store import Store
from vmi.spec import datasets
from vmi.spec.arrays import TRAVERSAL_ROWS, layout_shapes
from vmi.spec.errors import InputError
from vmi.spec.layout import parse

SHAPE, LAYOUT = (3, 10, 7), "n2*+c10*"
QUICK = Settings(hidden=(24,), learning_rate=1e-2, check_every=10, patience=3, max_steps=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = vmi.Study(
        name="coloured",
        fixed={"dataset": held(SHAPE), "layout": LAYOUT, "hidden": "8-16-32", "steps": 40, "view_strength": 0.5},
        space={"network": vmi.choice("mlp", "conv"), "preset": vmi.choice("vae", "corrected")},
        seeds=range(1),
    )
    root = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WANDB_MODE", "disabled")
        results = vmi.run(study, results=root, local=True, gpus_per_pack=0, keep_models=True)
    assert len(results.trials) == 4 and results.failed.empty
    return root / "coloured"


def test_stored_pictures_are_those_of_the_data_set(folder: Path) -> None:
    data, table = load(held(SHAPE)), Store(folder.parent, "coloured").read("arrays").checked()
    wanted = data.held_out.pixels_ND[:TRAVERSAL_ROWS].unflatten(1, SHAPE).permute(0, 2, 3, 1).numpy()
    for name, shape in layout_shapes(parse(LAYOUT), data.spec.name).items():
        stored = table.column(name).combine_chunks().to_numpy_ndarray()
        assert stored.shape == (4, *shape), name
        assert name != "inputs" or all(np.array_equal(own, wanted) for own in stored)


def test_a_kept_model_has_its_account(folder: Path) -> None:
    for row in Store(folder.parent, "coloured").finished().values():
        model = from_folder(folder, row["trial_id"])
        account = vmi.evaluate(model, held(SHAPE), settings=QUICK, seeds=1, resamples=100)
        for name in ("mi_encoder_nats", "rate_nats", "mi_view_nats"):
            assert account.estimates[name].value == pytest.approx(row[name], abs=1e-4), (row["network"], name)


def test_a_kept_model_is_found_beside_files_that_cannot_be_read(folder: Path) -> None:
    ids = list(Store(folder.parent, "coloured").finished())
    for name in ("._0.pt", "0.pt"):
        (folder / "models" / name).write_bytes(b"none")
    (folder / "models" / "1.pt").mkdir()
    try:
        assert [from_folder(folder, trial_id).name for trial_id in ids]
        with pytest.raises(InputError, match=r"a trial whose model is whole(.|\n)*0\.pt(.|\n)*1\.pt"):
            from_folder(folder, "0" * 16)
    finally:
        (folder / "models" / "1.pt").rmdir()
        for name in ("._0.pt", "0.pt"):
            (folder / "models" / name).unlink()


def test_of_a_kept_model_whose_images_are_gone_the_images_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial_id = next(iter(Store(folder.parent, "coloured").finished()))
    path = next((folder / "models").glob("*.pt"))
    monkeypatch.setattr(datasets, "_own", {})
    for action in (lambda: from_folder(folder, trial_id), lambda: from_checkpoint(path)):
        with pytest.raises(InputError, match=r"dataset = 'coloured_.*the model was trained on are missing"):
            action()


def test_the_page_draws_the_inputs_in_their_colours(folder: Path, browser: Browser) -> None:
    path = write(folder)
    seen = browser.visit(path, PHONE)
    assert_quiet(seen, path)
    assert seen.page.evaluate("Array.from(document.images).every((i) => i.complete && i.naturalWidth > 0)")
    drawn = seen.page.eval_on_selector_all("#paper-category img", "all => all.map((image) => image.src)")
    wanted = load(held(SHAPE)).held_out.pixels_ND[:TRAVERSAL_ROWS].unflatten(1, SHAPE).permute(0, 2, 3, 1).numpy()
    assert len(drawn) == 4
    for source in drawn:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
        for row, own in enumerate(wanted):
            top = row * (SHAPE[1] + GAP)
            assert np.array_equal(picture[top : top + SHAPE[1], : SHAPE[2]], own)
