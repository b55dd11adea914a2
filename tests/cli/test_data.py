"""`vmi data`: what it says of images, their copies across a declared split, and what it draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import vmi

from vmi.sources.dataset import Dataset
from vmi.spec.errors import InputError


def test_it_says_what_is_there_and_warns_of_copies_across_the_split(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
    images[50] = images[0]
    split = np.where(np.arange(60) < 45, "train", "test")
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(60) % 3, split=split)
    said = vmi(tmp_path, "data", tmp_path / "a.npz", "--preview", tmp_path / "a.png")
    told = " ".join(said.out.split())
    assert said.code == 0 and "45 to train on, 15 held out" in told and "6 x 5 pixels, 3 channels" in told
    assert "classes 3: 0 (20), 1 (20), 2 (20)" in told
    assert "copies 1 held-out images are also trained on; 0 images are copies within a split" in told
    assert "warning: 1 held-out images" in told
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    # Three rows of classes, ten images each; the first is the one whose pixels come first of its class.
    first = {tuple(image[0, 0]) for image in images[:45:3]}
    assert tuple(drawn[0, 0]) in {tuple(int(v) for v in pixel) for pixel in first}


def test_what_is_none_ends_with_2(tmp_path: Path) -> None:
    said = vmi(tmp_path, "data", tmp_path / "nothing.npz")
    assert said.code == 2 and "no such file" in said.err


@pytest.mark.parametrize("place", ["", " ", "::8x8", " ::3x8x8"])
def test_no_place_is_not_the_current_folder(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may have images, as that of who forgot to set a variable of the shell."""
    for i in range(50):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    assert vmi(tmp_path, "data", ".").code == 0
    said = vmi(tmp_path, "data", place)
    assert said.code == 2 and "'.' is the current folder" in said.err and not said.out
    with pytest.raises(InputError, match="the current folder"):
        Dataset.from_file(place)
